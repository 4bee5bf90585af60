//! How the gathering of the workers' own metrics goes.

use std::time::Duration;

use crate::exposition::Dropped;
use crate::model::SlotId;

use super::merge::Conflicts;

/// How one worker's metrics were read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppScrape {
    /// Where it sits.
    pub slot: SlotId,
    /// Whether they could be read, in time.
    pub success: bool,
    /// How long that, or the wait for it, took.
    pub took: Duration,
}

/// All that is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppTotals {
    /// By slot; those never asked are left out.
    pub workers: Vec<AppScrape>,
    /// What workers did not agree about.
    pub conflicts: Conflicts,
    /// Series that were left out.
    pub dropped: Dropped,
    /// Series that are held.
    pub series: usize,
}
