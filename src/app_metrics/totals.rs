//! Results of reading the workers' metrics.

use std::time::Duration;

use crate::exposition::Dropped;
use crate::model::SlotId;

use super::merge::Conflicts;

/// The last result for one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppScrape {
    /// Its slot.
    pub slot: SlotId,
    /// Whether its metrics could be read in time.
    pub success: bool,
    /// How long that took, or how long the scrape waited.
    pub took: Duration,
}

/// All results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppTotals {
    /// By slot; slots that were never asked are left out.
    pub workers: Vec<AppScrape>,
    /// Conflicts between workers.
    pub conflicts: Conflicts,
    /// Series that were left out.
    pub dropped: Dropped,
    /// Series in memory.
    pub series: usize,
}
