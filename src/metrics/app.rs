//! Metrics about reading the workers' own metrics (RPM_APP_METRICS).

use crate::app_metrics::AppTotals;
use crate::app_metrics::merge::Disagreement;

use super::family::{Family, flag, number};

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
        "Conflicts between the workers' metrics, counted once for each name and process.",
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
        "Series of the workers' metrics in memory, including those of ended workers.",
    )
    .only(number(u64::try_from(totals.series).unwrap_or(u64::MAX)));
    [success, duration, conflicts, dropped, held]
}
