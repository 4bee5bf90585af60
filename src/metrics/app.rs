//! How the gathering of the workers' own metrics goes (RPM_APP_METRICS).
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::model::SlotId;

use super::exposition::Dropped;
use super::family::{Family, flag, number};
use super::merge::{Conflicts, Disagreement};

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

pub(super) fn families(totals: &AppTotals) -> [Family; 5] {
    let mut success = Family::gauge(
        "rpm_metrics_worker_scrape_success",
        "Whether the worker's own metrics could be read the last time, and in time.",
    );
    let mut duration = Family::gauge(
        "rpm_metrics_worker_scrape_duration_seconds",
        "How long it took to read the worker's own metrics the last time, or how long they were waited for.",
    );
    for worker in &totals.workers {
        let label = || [("worker", worker.slot.to_string())];
        success.add(label(), flag(worker.success));
        duration.add(label(), worker.took.as_secs_f64());
    }
    let conflicts = Family::counter(
        "rpm_metrics_conflicts_total",
        "What the workers' metrics do not agree about, once for each name and process.",
    )
    .each(
        "kind",
        Disagreement::ALL.map(|kind| (kind.label(), number(totals.conflicts.of(kind)))),
    );
    let dropped = Family::counter(
        "rpm_metrics_dropped_series_total",
        "Series of the workers' metrics that were left out, each time they were read.",
    )
    .each(
        "reason",
        [
            ("invalid", number(totals.dropped.invalid)),
            ("limit", number(totals.dropped.limit)),
        ],
    );
    let held = Family::gauge(
        "rpm_metrics_series",
        "Series of the workers' metrics that are held, what ended workers counted with them.",
    )
    .only(number(u64::try_from(totals.series).unwrap_or(u64::MAX)));
    [success, duration, conflicts, dropped, held]
}
