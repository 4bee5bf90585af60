//! What is known of the workers' metrics: the last answers, merged, and how asking went.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{info, warn};

use crate::app_metrics::merge::{Conflict, Disagreement, Life, Merger, Rules};
use crate::app_metrics::{AppScrape, AppTotals};
use crate::exposition::{Family, Parsed};
use crate::model::{ListenerId, Pid, SlotId};

/// Lives that belong to one worker: its own comes first.
pub(super) const FAMILY: u64 = 1 << 16;

/// The life of the worker that was started as the one of that number, counted over all slots.
pub fn life(started: u64) -> Life {
    Life(started.saturating_mul(FAMILY))
}

/// One who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Which process; no other ever has the same.
    pub life: Life,
    /// Where it sits, or sat.
    pub slot: SlotId,
    /// Its number.
    pub pid: Pid,
    /// Through which listener it is reached.
    pub listener: ListenerId,
}

/// How asking one went.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    success: bool,
    took: Duration,
}

/// What is told of a slot whose metrics could not be read at some time. One that comes and goes is told of ever less
/// often: each time it has to answer twice as often in a row before it is believed to be well again.
#[derive(Debug)]
struct Trouble {
    /// It was told of, and not yet of its end.
    told: bool,
    /// Answers in a row, and how many there have to be.
    well: u32,
    wanted: u32,
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            told: false,
            well: 0,
            wanted: 1,
        }
    }
}

/// The most answers in a row that are asked of one.
const MOST_WANTED: u32 = 256;

impl Trouble {
    /// It failed; whether that is to be told.
    fn begins(&mut self) -> bool {
        self.well = 0;
        !std::mem::replace(&mut self.told, true)
    }

    /// It answered; whether that is to be told.
    fn ends(&mut self) -> bool {
        self.well = self.well.saturating_add(1);
        if !self.told || self.well < self.wanted {
            return false;
        }
        self.told = false;
        self.wanted = (self.wanted * 2).min(MOST_WANTED);
        true
    }
}

#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) merger: Merger,
    /// Who is asked, and how it went last.
    workers: BTreeMap<Life, (Worker, Option<Outcome>)>,
    /// Slots that failed at some time.
    troubles: BTreeMap<SlotId, Trouble>,
    /// Losses were told: of the limit, and of what is invalid.
    told: [bool; 2],
}

impl Keeper {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            merger: Merger::new(rules),
            workers: BTreeMap::new(),
            troubles: BTreeMap::new(),
            told: [false; 2],
        }
    }

    /// These are asked from now on, and nobody else.
    pub(super) fn set_workers(&mut self, workers: &[Worker]) {
        let mut before = std::mem::take(&mut self.workers);
        for worker in workers {
            let known = before.remove(&worker.life);
            let last = known.and_then(|(_, last)| last);
            self.workers.insert(worker.life, (*worker, last));
        }
        // They were told to stop: what they counted stays, what they are is over.
        for (life, (worker, _)) in before {
            self.merger.missing(worker.slot, life);
        }
    }

    pub(super) fn workers(&self) -> impl Iterator<Item = Worker> + '_ {
        self.workers.values().map(|(worker, _)| *worker)
    }

    pub(super) fn worker(&self, life: Life) -> Option<Worker> {
        self.workers.get(&life).map(|(worker, _)| *worker)
    }

    /// One answered, or it is known why not.
    pub(super) fn answered(
        &mut self,
        worker: Worker,
        answer: Result<Parsed, String>,
        took: Duration,
    ) {
        let success = answer.is_ok();
        match answer {
            Ok(parsed) => {
                self.take(worker.slot, worker.life, worker.life, parsed);
                let trouble = self.troubles.get_mut(&worker.slot);
                if trouble.is_some_and(Trouble::ends) {
                    info!(slot = %worker.slot, pid = %worker.pid, "the worker's metrics are read again");
                }
            }
            // It was told to stop in the meantime, or is gone.
            Err(_) if !self.workers.contains_key(&worker.life) => {}
            Err(reason) => {
                self.merger.missing(worker.slot, worker.life);
                if self.troubles.entry(worker.slot).or_default().begins() {
                    warn!(
                        slot = %worker.slot, pid = %worker.pid, reason,
                        "cannot read a worker's metrics (RPM_APP_METRICS); its counters stay as they were last"
                    );
                }
            }
        }
        if let Some((_, last)) = self.workers.get_mut(&worker.life) {
            *last = Some(Outcome { success, took });
        }
    }

    /// The page of a process that is, or descends from, the worker `worker`.
    pub(super) fn take(&mut self, slot: SlotId, worker: Life, life: Life, parsed: Parsed) {
        self.merger.note_dropped(parsed.dropped);
        let conflicts = self.merger.take_child(slot, worker, life, parsed.page);
        for conflict in conflicts {
            if conflict.first {
                tell(&conflict);
            }
        }
        let dropped = self.merger.dropped();
        let [limit, invalid] = &mut self.told;
        if dropped.limit > 0 && !*limit {
            *limit = true;
            warn!(
                slot = %slot, series = dropped.limit,
                "series of the workers' metrics are left out: there are too many, or a name or value is too long (told once; rpm_metrics_dropped_series_total counts)"
            );
        }
        if dropped.invalid > 0 && !*invalid {
            *invalid = true;
            warn!(
                slot = %slot, series = dropped.invalid,
                "series of the workers' metrics are left out: they are against the format (told once; rpm_metrics_dropped_series_total counts)"
            );
        }
    }

    /// Somebody has waited for its answer so long, and goes on without.
    pub(super) fn overdue(&mut self, life: Life, waited: Duration) {
        if let Some((worker, last)) = self.workers.get_mut(&life) {
            *last = Some(Outcome {
                success: false,
                took: waited,
            });
            self.merger.missing(worker.slot, life);
        }
    }

    /// Whether one that is asked did not answer the last time.
    pub(super) fn has_failed(&self, life: Life) -> bool {
        let last = self.workers.get(&life).and_then(|(_, last)| *last);
        last.is_some_and(|outcome| !outcome.success)
    }

    /// The process ended.
    pub(super) fn gone(&mut self, life: Life) {
        self.workers.remove(&life);
        self.merger.gone(life);
    }

    pub(super) fn merged(&self) -> Vec<Family> {
        self.merger.merged()
    }

    pub(super) fn totals(&self) -> AppTotals {
        // The youngest of a slot comes last.
        let mut slots = BTreeMap::new();
        for (worker, last) in self.workers.values() {
            if let Some(outcome) = last {
                slots.insert(worker.slot, *outcome);
            }
        }
        let conflicts = self.merger.conflicts();
        AppTotals {
            workers: slots
                .into_iter()
                .map(|(slot, outcome)| AppScrape {
                    slot,
                    success: outcome.success,
                    took: outcome.took,
                })
                .collect(),
            conflicts,
            dropped: self.merger.dropped(),
            series: self.merger.series(),
        }
    }
}

/// Once for each name.
fn tell(conflict: &Conflict) {
    let name = &conflict.name;
    match conflict.kind {
        Disagreement::Type => warn!(
            %name, "the workers give a metric two types: that of the first is shown, the others' is left out"
        ),
        Disagreement::Help => info!(
            %name, "the workers describe a metric in two ways: that of the first is shown"
        ),
        Disagreement::Buckets => info!(
            %name, "the workers count a histogram by different bounds: those that all have are shown"
        ),
        Disagreement::Label => info!(
            %name, "the program has a label worker of its own: it is shown as exported_worker"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_comes_and_goes_is_told_of_ever_less_often() {
        let mut trouble = Trouble::default();
        // Once ill and well again is told at once.
        assert!(trouble.begins());
        assert!(!trouble.begins());
        assert!(trouble.ends());
        assert!(!trouble.ends());
        let mut told = 0;
        for _ in 0..10_000 {
            told += u32::from(trouble.begins()) + u32::from(trouble.ends());
        }
        assert_eq!(told, 1);
        for rest in [1, 10, 100, 1000] {
            told = 0;
            for _ in 0..10_000 {
                told += u32::from(trouble.begins());
                told += (0..rest).map(|_| u32::from(trouble.ends())).sum::<u32>();
            }
            assert!(told < 20 || rest > MOST_WANTED, "{rest}: {told}");
        }
    }
}
