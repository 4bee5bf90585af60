//! Merges gauges and similar kinds: the present values of the workers.

use std::collections::BTreeMap;

use super::account::{Account, Cost};
use super::processes::{ProcessKey, Speaker};
use super::rules::Aggregation;
use super::series;
use crate::exposition::{Labels, Sample, Suffix};

/// The series of one family.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    processes: BTreeMap<ProcessKey, Said>,
    /// All labels in use, each stored once, with the number of uses.
    labels: BTreeMap<Labels, usize>,
}

/// The last samples of one process.
#[derive(Debug)]
struct Said {
    /// The number of the page.
    turn: u64,
    samples: Box<[(Suffix, Labels, f64)]>,
}

/// Cost of one value.
const SAID: Cost = Cost {
    series: 1,
    bytes: size_of::<(Suffix, Labels, f64)>(),
};

impl Gauges {
    /// Replaces the samples of `process`. Returns the number of samples for which there was no room.
    pub(super) fn take(
        &mut self,
        process: ProcessKey,
        turn: u64,
        samples: Vec<Sample>,
        account: &mut Account<'_>,
    ) -> usize {
        if let Some(said) = self.processes.get_mut(&process)
            && said.is_like(&samples)
        {
            said.turn = turn;
            for (said, sample) in said.samples.iter_mut().zip(samples) {
                said.2 = sample.value;
            }
            return 0;
        }
        self.process_ended(process, account);
        let all = samples.len();
        let mut said = Vec::with_capacity(all);
        for sample in samples {
            if let Some(labels) = self.hold(sample.labels, account) {
                said.push((sample.suffix, labels, sample.value));
            }
        }
        let dropped = all - said.len();
        let samples = said.into();
        self.processes.insert(process, Said { turn, samples });
        dropped
    }

    /// Removes the samples of a process that ended or no longer exports this family.
    pub(super) fn process_ended(&mut self, process: ProcessKey, account: &mut Account<'_>) {
        let Some(said) = self.processes.remove(&process) else {
            return;
        };
        for (_, labels, _) in said.samples {
            account.refund(SAID);
            if let Some(uses) = self.labels.get_mut(&labels) {
                *uses -= 1;
                if *uses == 0 {
                    account.refund(Cost::bytes(series::bytes(&labels)));
                    self.labels.remove(&labels);
                }
            }
        }
    }

    /// Whether `process` has samples, but none from the page `turn`.
    pub(super) fn is_silent(&self, process: ProcessKey, turn: u64) -> bool {
        self.processes
            .get(&process)
            .is_some_and(|said| said.turn != turn)
    }

    /// The merged samples of the present speakers, sorted by labels. If `is_grouped`, keeps the order of a page.
    pub(super) fn samples(
        &self,
        aggregation: Aggregation,
        is_grouped: bool,
        speakers: &[Speaker],
    ) -> Vec<Sample> {
        let said = speakers
            .iter()
            .filter_map(|speaker| Some((speaker, self.processes.get(&speaker.process)?)));
        match aggregation {
            Aggregation::Drop => Vec::new(),
            Aggregation::Worker if is_grouped => {
                // Values that belong together cannot be added one by one, so use those of the youngest process.
                let mut all: Vec<_> = said.collect();
                all.reverse();
                all.dedup_by_key(|(speaker, _)| speaker.slot);
                let each = all.iter().rev().flat_map(|(speaker, said)| {
                    let said = said.samples.iter();
                    said.map(|(suffix, labels, value)| {
                        Sample::with(*suffix, speaker.label(labels), *value)
                    })
                });
                each.collect()
            }
            Aggregation::Worker => {
                let mut all = Vec::new();
                for (speaker, said) in said {
                    for (suffix, labels, value) in &said.samples {
                        all.push((labels, speaker, *suffix, *value));
                    }
                }
                all.sort_by_key(|(labels, speaker, suffix, _)| (*labels, speaker.slot, *suffix));
                let places = all.chunk_by(|one, next| {
                    (one.1.slot, one.2) == (next.1.slot, next.2) && one.0 == next.0
                });
                let sample = |place: &[(&Labels, &Speaker, Suffix, f64)]| {
                    let (labels, speaker, suffix, _) = *place.first()?;
                    let aggregation = match suffix {
                        // An info is always 1.
                        Suffix::Info => Aggregation::Max,
                        _ => Aggregation::Sum,
                    };
                    let mut together = Together::default();
                    for (_, speaker, _, value) in place {
                        together.add(aggregation, speaker.process, *value);
                    }
                    let value = together.value(aggregation);
                    Some(Sample::with(suffix, speaker.label(labels), value))
                };
                places.filter_map(sample).collect()
            }
            _ => {
                let mut together: BTreeMap<(&Labels, Suffix), Together> = BTreeMap::new();
                for (speaker, said) in said {
                    for (suffix, labels, value) in &said.samples {
                        let entry = together.entry((labels, *suffix)).or_default();
                        entry.add(aggregation, speaker.process, *value);
                    }
                }
                let sample = |((labels, suffix), all): ((&Labels, Suffix), Together)| {
                    Sample::with(suffix, labels.clone(), all.value(aggregation))
                };
                together.into_iter().map(sample).collect()
            }
        }
    }

    /// Returns the shared copy of these labels and counts one more use. `None` if there is no room for another value.
    fn hold(&mut self, labels: Labels, account: &mut Account<'_>) -> Option<Labels> {
        let Some((held, _)) = self.labels.get_key_value(&labels) else {
            let Cost { series, bytes } = SAID;
            let cost = Cost::new(series, bytes + series::bytes(&labels));
            return account.charge(cost).then(|| {
                self.labels.insert(labels.clone(), 1);
                labels
            });
        };
        let held = held.clone();
        if !account.charge(SAID) {
            return None;
        }
        if let Some(uses) = self.labels.get_mut(&held) {
            *uses += 1;
        }
        Some(held)
    }
}

impl Said {
    /// Whether `samples` differ from the last ones only in their values.
    fn is_like(&self, samples: &[Sample]) -> bool {
        let same = |((suffix, labels, _), new): (&(Suffix, Labels, f64), &Sample)| {
            *suffix == new.suffix && *labels == new.labels
        };
        self.samples.len() == samples.len() && self.samples.iter().zip(samples).all(same)
    }
}

/// One value merged over several workers. `NaN` is ignored, unless all values are `NaN`.
#[derive(Debug, Default)]
struct Together {
    value: Option<f64>,
    workers: u32,
    youngest: Option<ProcessKey>,
}

impl Together {
    fn add(&mut self, aggregation: Aggregation, process: ProcessKey, value: f64) {
        if value.is_nan() {
            return;
        }
        self.workers += 1;
        let Some(kept) = &mut self.value else {
            self.value = Some(value);
            self.youngest = Some(process);
            return;
        };
        match aggregation {
            Aggregation::Sum | Aggregation::Avg => *kept += value,
            Aggregation::Max => *kept = kept.max(value),
            Aggregation::Min => *kept = kept.min(value),
            Aggregation::Last | Aggregation::Worker | Aggregation::Drop => {
                if Some(process) > self.youngest {
                    *kept = value;
                    self.youngest = Some(process);
                }
            }
        }
    }

    fn value(&self, aggregation: Aggregation) -> f64 {
        match self.value {
            None => f64::NAN,
            Some(sum) if aggregation == Aggregation::Avg => sum / f64::from(self.workers),
            Some(value) => value,
        }
    }
}
