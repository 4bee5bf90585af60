//! Counts what happened, so that a walk that no longer reaches something does not count as a proof.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use rpm_runtime::model::{DrainEnd, ReloadResult};

/// The counts of one walk.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    hits: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub fn hit(&mut self, what: &'static str) {
        *self.hits.entry(what).or_default() += 1;
    }

    pub fn drain(&mut self, end: DrainEnd) {
        self.hit(match end {
            DrainEnd::Empty => "drain: empty",
            DrainEnd::Quiet => "drain: quiet",
            DrainEnd::Timeout => "drain: timeout",
            DrainEnd::Exited => "drain: exited",
            DrainEnd::Stopped => "drain: stopped",
        });
    }

    pub fn result(&mut self, result: ReloadResult, replaced: usize) {
        self.hit(match result {
            ReloadResult::Success if replaced > 0 => "reload: success",
            ReloadResult::Success => "reload: nobody there",
            ReloadResult::Failure if replaced > 0 => "reload: failure half-way",
            ReloadResult::Failure => "reload: failure",
            ReloadResult::Superseded => "reload: superseded",
        });
    }

    /// Adds the counts of another run of the same walk.
    pub fn add(&mut self, other: &Self) {
        for (what, hits) in &other.hits {
            *self.hits.entry(what).or_default() += hits;
        }
    }
}

/// The counts of all walks of a test.
#[derive(Debug, Default)]
pub struct Totals {
    walks: u64,
    pub steps: u64,
    /// In how many walks, and how often in all.
    seen: BTreeMap<&'static str, (u64, u64)>,
}

impl Totals {
    pub fn add(&mut self, walk: &Tally, steps: u64) {
        self.walks += 1;
        self.steps += steps;
        for (what, hits) in &walk.hits {
            let (walks, all) = self.seen.entry(what).or_default();
            *walks += 1;
            *all += hits;
        }
    }

    /// Checks that each of these happened in at least the given percentage of the walks.
    pub fn show(&self, least: &[(&str, u64)]) {
        for (what, percent) in least {
            let (walks, _) = self.seen.get(what).copied().unwrap_or_default();
            assert!(
                walks * 100 >= percent * self.walks,
                "{what}: in {walks} of {} walks\n{self:#?}",
                self.walks
            );
        }
    }
}
