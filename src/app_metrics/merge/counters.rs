//! Merges counters: the sum over all workers.

use std::collections::BTreeMap;

use super::account::{Account, Cost};
use super::processes::ProcessKey;
use super::series::{self, ENTRY, newer};
use super::visit::{place, visit};
use crate::exposition::{Exemplar, Labels, Sample, Suffix};

/// The series of one family.
#[derive(Debug, Default)]
pub(super) struct Counters {
    series: BTreeMap<Labels, Count>,
}

/// One series.
#[derive(Debug)]
struct Count {
    /// The sum is only ever increased. A newly calculated sum could decrease by rounding, which readers would take for
    /// a restart.
    total: f64,
    /// The last value of each worker, sorted by process.
    seen: Vec<(ProcessKey, f64)>,
    exemplar: Option<Box<Exemplar>>,
}

/// A value and its exemplar.
type Said = (f64, Option<Box<Exemplar>>);

impl Counters {
    /// Takes the samples of `process`. Returns the number of samples for which there was no room.
    pub(super) fn take(
        &mut self,
        process: ProcessKey,
        samples: Vec<Sample>,
        account: &mut Account<'_>,
    ) -> usize {
        let (mut left_out, mut usual) = (0, 0);
        let samples = samples.into_iter();
        let new = visit(
            &mut self.series,
            samples.map(|sample| (sample.labels, (sample.value, sample.exemplar))),
            |count, said| left_out += usize::from(!count.take(process, said, &mut usual, account)),
        );
        for (labels, said) in new {
            let taken = match self.series.get_mut(&labels) {
                Some(count) => count.take(process, said, &mut usual, account),
                None => self.begin(process, labels, said, account),
            };
            left_out += usize::from(!taken);
        }
        left_out
    }

    /// Adds a new series; false if there is no room.
    fn begin(
        &mut self,
        process: ProcessKey,
        labels: Labels,
        (value, exemplar): Said,
        account: &mut Account<'_>,
    ) -> bool {
        let bytes = series::bytes(&labels) + size_of::<Count>() + ENTRY;
        let room = account.charge(Cost::new(1, bytes));
        if room {
            let mut count = Count {
                total: value,
                seen: vec![(process, value)],
                exemplar: None,
            };
            newer(&mut count.exemplar, exemplar, account);
            self.series.insert(labels, count);
        }
        room
    }

    /// Handles the end of a process: what it counted stays in the sum.
    pub(super) fn process_ended(&mut self, process: ProcessKey, account: &mut Account<'_>) {
        for count in self.series.values_mut() {
            if let Ok(at) = count
                .seen
                .binary_search_by_key(&process, |(process, _)| *process)
            {
                count.seen.remove(at);
                account.refund(Cost::bytes(ENTRY));
            }
        }
    }

    pub(super) fn samples(&self, bare: bool) -> Vec<Sample> {
        let suffix = if bare { Suffix::None } else { Suffix::Total };
        let sample = |(labels, count): (&Labels, &Count)| Sample {
            suffix,
            labels: labels.clone(),
            value: count.total,
            exemplar: count.exemplar.clone(),
        };
        self.series.iter().map(sample).collect()
    }
}

impl Count {
    /// Takes a value of `process`; false if there is no room.
    fn take(
        &mut self,
        process: ProcessKey,
        (value, exemplar): Said,
        usual: &mut usize,
        account: &mut Account<'_>,
    ) -> bool {
        match place(&self.seen, process, usual) {
            Ok(at) => {
                let last = &mut self.seen[at].1;
                // The value decreased, so the counter was restarted from zero.
                let more = if value >= *last { value - *last } else { value };
                *last = value;
                self.add(more);
            }
            Err(at) => {
                if !account.charge_known(Cost::bytes(ENTRY)) {
                    return false;
                }
                self.seen.insert(at, (process, value));
                self.add(value);
            }
        }
        newer(&mut self.exemplar, exemplar, account);
        true
    }

    /// Adds to the total, unless the result is infinite; the total would then stay infinite.
    fn add(&mut self, more: f64) {
        let total = self.total + more;
        if total.is_finite() {
            self.total = total;
        }
    }
}
