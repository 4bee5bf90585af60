//! Metrics of the log.

use super::family::{Family, number};
use crate::model::{FileLosses, LogOrigin, LogTotals, LossReason, PerOrigin, Snapshot};

/// All families. The snapshot tells which slots exist.
pub(super) fn families(totals: &LogTotals, snapshot: &Snapshot) -> [Family; 11] {
    [
        Family::counter("rpm_log_lines_total", "Lines written, by source.")
            .each("stream", by_origin(&totals.lines)),
        Family::counter("rpm_log_bytes_total", "Bytes written, by source.")
            .each("stream", by_origin(&totals.bytes)),
        dropped(totals),
        dropped_by_worker(totals, snapshot),
        Family::counter(
            "rpm_log_split_lines_total",
            "Lines longer than RPM_LOG_MAX_LINE, passed in pieces.",
        )
        .only(number(totals.split)),
        Family::gauge(
            "rpm_log_buffer_bytes",
            "Bytes of lines that were read and are not written yet.",
        )
        .only(number(totals.buffer)),
        Family::gauge("rpm_log_buffer_limit_bytes", "RPM_LOG_BUFFER.")
            .only(number(totals.buffer_limit)),
        Family::counter(
            "rpm_log_write_blocked_seconds_total",
            "Time that writes to stdout and stderr waited for their reader, a millisecond or more each.",
        )
        .only(totals.blocked.as_secs_f64()),
        Family::counter(
            "rpm_log_file_dropped_lines_total",
            "Lines that a log file did not get, by reason.",
        )
        .each("reason", by_reason(totals.files)),
        Family::counter(
            "rpm_log_own_file_dropped_lines_total",
            "The runtime's own lines that RPM_LOG_OWN_FILE did not get, by reason.",
        )
        .each("reason", by_reason(totals.own_file)),
        Family::counter(
            "rpm_log_file_rotations_total",
            "Rotations of log files, by result.",
        )
        .each(
            "result",
            [
                ("success", number(totals.rotations.success)),
                ("failure", number(totals.rotations.failure)),
            ],
        ),
    ]
}

fn dropped(totals: &LogTotals) -> Family {
    let mut family = Family::counter(
        "rpm_log_dropped_lines_total",
        "Lines dropped, by source and reason.",
    );
    for reason in LossReason::ALL {
        let origins = LogOrigin::ALL.into_iter();
        for origin in origins.filter(|origin| reason.applies_to(*origin)) {
            let labels = [("reason", reason.label()), ("stream", origin.label())];
            let lines = *totals.dropped.of(origin).of(reason);
            family.add(
                labels.map(|(name, value)| (name, value.to_owned())),
                number(lines),
            );
        }
    }
    family
}

fn by_reason(lost: FileLosses) -> [(&'static str, f64); 2] {
    [
        ("buffer_full", number(lost.buffer_full)),
        ("write_error", number(lost.write_error)),
    ]
}

fn by_origin(counts: &PerOrigin<u64>) -> [(&'static str, f64); 3] {
    LogOrigin::ALL.map(|origin| (origin.label(), number(*counts.of(origin))))
}

fn dropped_by_worker(totals: &LogTotals, snapshot: &Snapshot) -> Family {
    let mut family = Family::counter(
        "rpm_worker_log_dropped_lines_total",
        "Lines of a worker that were dropped, by reason.",
    );
    for slot in snapshot.slots.iter().map(|view| view.slot) {
        let counts = totals.workers.get(&slot).copied().unwrap_or_default();
        let reasons = LossReason::ALL.into_iter();
        for reason in reasons.filter(|reason| reason.applies_to(LogOrigin::Stdout)) {
            let labels = [
                ("reason", reason.label().to_owned()),
                ("worker", slot.to_string()),
            ];
            family.add(labels, number(*counts.of(reason)));
        }
    }
    family
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{SlotId, WorkerState, WorkerView};

    fn snapshot(slots: u16) -> Snapshot {
        let view = |slot| WorkerView::blank(slot, WorkerState::Ready);
        Snapshot {
            slots: (0..slots).map(view).collect(),
            ..Snapshot::default()
        }
    }

    fn series(totals: &LogTotals) -> Vec<String> {
        let mut all = Vec::new();
        for family in families(totals, &snapshot(2)) {
            let family = family.finish().unwrap();
            for sample in &family.samples {
                let labels: Vec<_> = sample.labels.iter().map(|(_, value)| value).collect();
                let (name, labels) = (family.text_name(), labels.join(" "));
                all.push(format!("{name} {labels} {}", sample.value));
            }
        }
        all
    }

    #[test]
    fn each_loss_has_its_series_from_the_start() {
        let all = series(&LogTotals::default());
        let named = |name: &str| all.iter().filter(|line| line.starts_with(name)).count();
        assert_eq!(named("rpm_log_dropped_lines_total "), 9);
        assert_eq!(named("rpm_worker_log_dropped_lines_total "), 6);
        assert_eq!(named("rpm_log_file_dropped_lines_total "), 2);
        assert_eq!(named("rpm_log_own_file_dropped_lines_total "), 2);
        assert!(all.iter().all(|line| line.ends_with(" 0")), "{all:?}");
    }

    #[test]
    fn each_number_stands_at_its_labels() {
        let all = series(&LogTotals {
            dropped: [[1, 2, 3, 0], [4, 5, 6, 0], [7, 0, 8, 9]].into(),
            workers: [(SlotId(1), [1, 2, 3, 0].into())].into(),
            buffer: 10,
            buffer_limit: 11,
            blocked: Duration::from_millis(1500),
            files: [12, 13].into(),
            own_file: [16, 17].into(),
            rotations: [14, 15].into(),
            ..LogTotals::default()
        });
        for line in [
            "rpm_log_dropped_lines_total buffer_full stdout 1",
            "rpm_log_dropped_lines_total rate_limit stderr 5",
            "rpm_log_dropped_lines_total closed runtime 8",
            "rpm_log_dropped_lines_total own_queue_full runtime 9",
            "rpm_worker_log_dropped_lines_total rate_limit 1 2",
            "rpm_worker_log_dropped_lines_total closed 0 0",
            "rpm_log_buffer_bytes  10",
            "rpm_log_buffer_limit_bytes  11",
            "rpm_log_write_blocked_seconds_total  1.5",
            "rpm_log_file_dropped_lines_total buffer_full 12",
            "rpm_log_file_dropped_lines_total write_error 13",
            "rpm_log_own_file_dropped_lines_total buffer_full 16",
            "rpm_log_own_file_dropped_lines_total write_error 17",
            "rpm_log_file_rotations_total success 14",
            "rpm_log_file_rotations_total failure 15",
        ] {
            assert!(all.iter().any(|one| one == line), "{line}: {all:?}");
        }
    }
}
