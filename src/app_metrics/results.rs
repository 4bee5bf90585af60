//! Keeps the workers' merged metrics and the results of reading them.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{info, warn};

use crate::app_metrics::merge::{Conflict, Disagreement, Merger, ProcessKey, Rules};
use crate::app_metrics::{AppScrape, AppTotals};
use crate::exposition::{Family, Parsed};
use crate::model::{ListenerId, Pid, SlotId};

/// Number of keys reserved for one worker and its children; the worker's own key is the first.
pub(super) const FAMILY: u64 = 1 << 16;

/// The key of a worker, from the number of workers started before it in all slots.
pub fn process_key(started: u64) -> ProcessKey {
    ProcessKey(started.saturating_mul(FAMILY))
}

/// A worker to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrapeTarget {
    /// Identifies the process; never reused.
    pub process: ProcessKey,
    /// Its present or former slot.
    pub slot: SlotId,
    /// Its PID.
    pub pid: Pid,
    /// The listener through which it is reached.
    pub listener: ListenerId,
}

/// Result of asking a worker.
#[derive(Clone, Copy, Debug)]
struct ScrapeOutcome {
    success: bool,
    took: Duration,
}

/// Failure state of one slot, for the log. If reading its metrics fails again and again, it is reported less and less
/// often: each time, twice as many successful answers in a row are needed before the recovery is reported.
#[derive(Debug)]
struct Trouble {
    /// The failure was reported, and its end was not.
    told: bool,
    /// Successful answers in a row; below: how many are needed.
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

/// Limit of the answers in a row that are needed.
const MOST_WANTED: u32 = 256;

impl Trouble {
    /// Records a failure. Returns whether to report it.
    fn begins(&mut self) -> bool {
        self.well = 0;
        !std::mem::replace(&mut self.told, true)
    }

    /// Records an answer. Returns whether to report the recovery.
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
pub(super) struct ScrapeResults {
    pub(super) merger: Merger,
    /// The workers to ask, with the last result.
    workers: BTreeMap<ProcessKey, (ScrapeTarget, Option<ScrapeOutcome>)>,
    /// Slots that failed at least once.
    troubles: BTreeMap<SlotId, Trouble>,
    /// Whether dropped series were reported: because of a limit, and because they were invalid.
    told: [bool; 2],
}

impl ScrapeResults {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            merger: Merger::new(rules),
            workers: BTreeMap::new(),
            troubles: BTreeMap::new(),
            told: [false; 2],
        }
    }

    /// From now on, these are the workers to ask.
    pub(super) fn set_workers(&mut self, workers: &[ScrapeTarget]) {
        let mut before = std::mem::take(&mut self.workers);
        for worker in workers {
            let known = before.remove(&worker.process);
            let last = known.and_then(|(_, last)| last);
            self.workers.insert(worker.process, (*worker, last));
        }
        // The other workers were told to stop: their counters stay, their gauges are removed.
        for (process, (worker, _)) in before {
            self.merger.missing(worker.slot, process);
        }
    }

    pub(super) fn workers(&self) -> impl Iterator<Item = ScrapeTarget> + '_ {
        self.workers.values().map(|(worker, _)| *worker)
    }

    pub(super) fn worker(&self, process: ProcessKey) -> Option<ScrapeTarget> {
        self.workers.get(&process).map(|(worker, _)| *worker)
    }

    /// Records the answer of a worker, or the reason why there is none.
    pub(super) fn answered(
        &mut self,
        worker: ScrapeTarget,
        answer: Result<Parsed, String>,
        took: Duration,
    ) {
        let success = answer.is_ok();
        match answer {
            Ok(parsed) => {
                self.take(worker.slot, worker.process, worker.process, parsed);
                let trouble = self.troubles.get_mut(&worker.slot);
                if trouble.is_some_and(Trouble::ends) {
                    info!(
                        slot = worker.slot.0,
                        pid = worker.pid.get(),
                        "the worker's metrics can be read again"
                    );
                }
            }
            // The worker was told to stop or ended meanwhile.
            Err(_) if !self.workers.contains_key(&worker.process) => {}
            Err(reason) => {
                self.merger.missing(worker.slot, worker.process);
                if self.troubles.entry(worker.slot).or_default().begins() {
                    warn!(
                        slot = worker.slot.0,
                        pid = worker.pid.get(),
                        reason,
                        "cannot read a worker's metrics (RPM_APP_METRICS); its counters keep their last values"
                    );
                }
            }
        }
        if let Some((_, last)) = self.workers.get_mut(&worker.process) {
            *last = Some(ScrapeOutcome { success, took });
        }
    }

    /// Takes the page of a process: of the worker `worker` itself or of one of its children.
    pub(super) fn take(
        &mut self,
        slot: SlotId,
        worker: ProcessKey,
        process: ProcessKey,
        parsed: Parsed,
    ) {
        self.merger.note_dropped(parsed.dropped);
        let conflicts = self.merger.take_child(slot, worker, process, parsed.page);
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
                slot = slot.0,
                series = dropped.limit,
                "series of the workers' metrics are left out: there are too many, or a name or value is too long (logged once; rpm_metrics_dropped_series_total counts all)"
            );
        }
        if dropped.invalid > 0 && !*invalid {
            *invalid = true;
            warn!(
                slot = slot.0,
                series = dropped.invalid,
                "series of the workers' metrics are left out: they are invalid (logged once; rpm_metrics_dropped_series_total counts all)"
            );
        }
    }

    /// Records that a scrape has waited this long for the worker and continues without it.
    pub(super) fn timed_out(&mut self, process: ProcessKey, waited: Duration) {
        if let Some((worker, last)) = self.workers.get_mut(&process) {
            *last = Some(ScrapeOutcome {
                success: false,
                took: waited,
            });
            self.merger.missing(worker.slot, process);
        }
    }

    /// Whether the last attempt to read this worker failed.
    pub(super) fn has_failed(&self, process: ProcessKey) -> bool {
        let last = self.workers.get(&process).and_then(|(_, last)| *last);
        last.is_some_and(|outcome| !outcome.success)
    }

    /// Records the end of the process.
    pub(super) fn process_ended(&mut self, process: ProcessKey) {
        self.workers.remove(&process);
        self.merger.process_ended(process);
    }

    pub(super) fn merged(&self) -> Vec<Family> {
        self.merger.merged()
    }

    pub(super) fn totals(&self) -> AppTotals {
        // For each slot the youngest worker comes last and wins.
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

/// Reports a conflict, once for each name.
fn tell(conflict: &Conflict) {
    let name = &conflict.name;
    match conflict.kind {
        Disagreement::Type => warn!(
            %name, "workers export a metric with different types: the first type is shown, the others are left out"
        ),
        Disagreement::Help => info!(
            %name, "workers describe a metric differently: the first description is shown"
        ),
        Disagreement::Buckets => info!(
            %name, "workers export a histogram with different buckets: only the common buckets are shown"
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
        // The first recovery is reported at once.
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
