mod docs;
pub(super) mod formats;
mod made;
mod slots;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::model::{BalanceSample, Cause, HandoverInfo, LogTotals, SlotId, Snapshot, WorkerState};

use super::{Facts, Metrics, Scrape};
use made::{facts, full, full_page, render, sample, snapshot, worker, written};

fn has(page: &str, line: &str) -> bool {
    page.lines().any(|found| found == line)
}

fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}

#[test]
fn every_promised_family_is_there_with_its_type() {
    let page = full_page();
    for (kind, names) in [
        (
            "counter",
            "rpm_worker_exits_total rpm_worker_restarts_total rpm_worker_spawn_failures_total \
             rpm_orphans_reaped_total rpm_signals_received_total rpm_log_lines_total rpm_log_bytes_total \
             rpm_log_dropped_lines_total rpm_log_split_lines_total rpm_worker_cpu_seconds_total \
             process_cpu_seconds_total",
        ),
        (
            "gauge",
            "rpm_app_info rpm_build_info rpm_state rpm_ready rpm_generation rpm_workers_desired rpm_workers rpm_worker_up \
             rpm_worker_start_time_seconds rpm_worker_last_exit_code rpm_listen_queue_length \
             rpm_listen_queue_limit rpm_worker_in_rotation rpm_handover_info rpm_cgroup_cpu_limit_cores \
             rpm_cgroup_memory_limit_bytes rpm_worker_resident_memory_bytes rpm_worker_open_fds \
             rpm_worker_threads process_open_fds process_max_fds process_virtual_memory_bytes \
             process_resident_memory_bytes process_start_time_seconds process_threads",
        ),
        ("histogram", "rpm_worker_ready_duration_seconds"),
    ] {
        for name in names.split_ascii_whitespace() {
            assert!(
                has(&page, &format!("# TYPE {name} {kind}")),
                "{name}\n{page}"
            );
            assert!(page.contains(&format!("# HELP {name} ")), "{name}");
        }
    }
}

#[test]
fn families_and_series_are_in_order_and_none_comes_twice() {
    let page = full_page();
    let families: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    assert!(families.is_sorted());
    let series: Vec<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' ').map(|(series, _)| series))
        .collect();
    let once: HashSet<&&str> = series.iter().collect();
    assert_eq!(once.len(), series.len());
    let page_of = |family: &str| -> Vec<&str> {
        let all = series.iter().filter(|series| series.starts_with(family));
        all.copied().collect()
    };
    assert!(page_of("rpm_listen_queue_length{").is_sorted());
    assert!(page_of("rpm_signals_received_total{").is_sorted());
}

#[test]
fn known_labels_start_at_zero() {
    let metrics = Metrics::new(2, facts("/nonexistent")).unwrap();
    let page = render(&metrics, &Snapshot::default(), Vec::new());
    for cause in Cause::ALL {
        let label = cause.label();
        assert!(has(
            &page,
            &format!("rpm_worker_exits_total{{cause=\"{label}\"}} 0")
        ));
    }
    for line in [
        "rpm_worker_restarts_total{worker=\"0\"} 0",
        "rpm_worker_restarts_total{worker=\"1\"} 0",
        "rpm_worker_spawn_failures_total 0",
        "rpm_orphans_reaped_total 0",
        "rpm_notify_refused_total 0",
        "rpm_signals_received_total{signal=\"HUP\"} 0",
        "rpm_worker_ready_duration_seconds_count 0",
        "rpm_state{state=\"starting\"} 1",
        "rpm_state{state=\"stopping\"} 0",
        "rpm_workers{state=\"stopped\"} 0",
        "rpm_ready 0",
    ] {
        assert!(has(&page, line), "{line}\n{page}");
    }
}

#[test]
fn events_are_counted() {
    let page = full_page();
    for line in [
        "rpm_worker_exits_total{cause=\"signal\"} 1",
        "rpm_worker_last_exit_code{worker=\"1\"} 137",
        "rpm_worker_restarts_total{worker=\"1\"} 1",
        "rpm_worker_spawn_failures_total 1",
        "rpm_orphans_reaped_total 1",
        "rpm_notify_refused_total 4",
        "rpm_signals_received_total{signal=\"HUP\"} 1",
        "rpm_signals_received_total{signal=\"RTMIN+1\"} 1",
        "rpm_worker_ready_duration_seconds_bucket{le=\"0.25\"} 0",
        "rpm_worker_ready_duration_seconds_bucket{le=\"0.5\"} 1",
        "rpm_worker_ready_duration_seconds_bucket{le=\"+Inf\"} 1",
        "rpm_log_lines_total{stream=\"runtime\"} 3",
        "rpm_log_bytes_total{stream=\"stdout\"} 10",
        "rpm_log_dropped_lines_total{reason=\"rate_limit\",stream=\"stderr\"} 5",
        "rpm_worker_log_dropped_lines_total{reason=\"rate_limit\",worker=\"0\"} 5",
        "rpm_log_write_blocked_seconds_total 1.5",
        "rpm_log_split_lines_total 6",
    ] {
        assert!(has(&page, line), "{line}\n{page}");
    }
}

#[test]
fn states_are_shown_as_they_are() {
    let page = full_page();
    for line in [
        "rpm_build_info{revision=\"abc123\",target=\"x86_64-unknown-linux-musl\",version=\"0.1.0\"} 1",
        "rpm_app_info{branch=\"main\",name=\"shop\",revision=\"abcdef0\",version=\"1.2.3\"} 1",
        "rpm_state{state=\"running\"} 1",
        "rpm_state{state=\"starting\"} 0",
        "rpm_ready 1",
        "rpm_generation 3",
        "rpm_workers_desired 2",
        "rpm_workers{state=\"ready\"} 1",
        "rpm_workers{state=\"retiring\"} 1",
        "rpm_workers{state=\"starting\"} 0",
        "rpm_worker_up{worker=\"0\"} 1",
        "rpm_worker_up{worker=\"1\"} 0",
        "rpm_worker_start_time_seconds{worker=\"0\"} 1700000002.5",
        "rpm_cgroup_cpu_limit_cores 1.5",
        "rpm_handover_info{handover=\"intercept\",reason=\"a \\\"quoted\\\" reason\\nof two lines \\\\\",\
         steering=\"random\"} 1",
    ] {
        assert!(has(&page, line), "{line}\n{page}");
    }
    assert!(!page.contains("rpm_worker_start_time_seconds{worker=\"1\"}"));
}

#[test]
fn spares_of_one_address_are_added_up_and_rotation_means_everywhere() {
    let page = full_page();
    for line in [
        "rpm_listen_queue_length{listener=\"[::]:3000\",worker=\"spare\"} 3",
        "rpm_listen_queue_limit{listener=\"[::]:3000\",worker=\"spare\"} 200",
        "rpm_listen_queue_length{listener=\"0.0.0.0:3000\",worker=\"0\"} 1",
        "rpm_worker_in_rotation{worker=\"0\"} 1",
        "rpm_worker_in_rotation{worker=\"1\"} 0",
    ] {
        assert!(has(&page, line), "{line}\n{page}");
    }
    assert!(!page.contains("rpm_worker_in_rotation{worker=\"spare\"}"));
    let metrics = Metrics::new(1, facts("/nonexistent")).unwrap();
    let queues = vec![
        sample("a", Some(0), 0, true),
        sample("b", Some(0), 0, false),
    ];
    let page = render(&metrics, &Snapshot::default(), queues);
    assert!(has(&page, "rpm_worker_in_rotation{worker=\"0\"} 0"));
}

#[test]
fn without_proc_its_series_are_absent() {
    let metrics = Metrics::new(1, facts("/nonexistent")).unwrap();
    let page = render(
        &metrics,
        &snapshot(vec![worker(0, WorkerState::Ready, Some(4242))], vec![]),
        Vec::new(),
    );
    for name in [
        "process_",
        "rpm_worker_cpu",
        "rpm_worker_resident",
        "rpm_worker_open",
        "rpm_worker_threads",
    ] {
        assert!(!page.contains(name), "{name}\n{page}");
    }
    assert!(has(&page, "rpm_worker_up{worker=\"0\"} 1"));
}

#[test]
fn cpu_time_of_a_slot_never_falls() {
    let proc = std::env::temp_dir().join(format!("rpm-metrics-proc-{}", std::process::id()));
    let stat = |pid: i32, ticks: u64, started: u64| {
        let directory = proc.join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        let line =
            format!("{pid} (a) b) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {started} 0 0 0\n");
        fs::write(directory.join("stat"), line).unwrap();
    };
    let metrics = Metrics::new(1, facts(&proc)).unwrap();
    let user = |slots, retiring| {
        let page = render(&metrics, &snapshot(slots, retiring), Vec::new());
        value(
            &page,
            "rpm_worker_cpu_seconds_total{mode=\"user\",worker=\"0\"}",
        )
    };
    let ready = |pid| vec![worker(0, WorkerState::Ready, Some(pid))];
    let gone = || vec![worker(0, WorkerState::Backoff, None)];
    let seconds = f64::from;
    assert_eq!(user(gone(), vec![]), None);
    stat(50, 1000, 1);
    assert_eq!(user(ready(50), vec![]), Some(seconds(10)));
    // Its successor has the slot, while the old worker still runs.
    stat(50, 1100, 1);
    stat(51, 200, 2);
    let retiring = || vec![worker(0, WorkerState::Retiring, Some(50))];
    assert_eq!(user(ready(51), retiring()), Some(seconds(13)));
    // It cannot be read for a moment; that does not mean that it ended.
    fs::remove_file(proc.join("50/stat")).unwrap();
    assert_eq!(user(ready(51), retiring()), Some(seconds(13)));
    stat(50, 1200, 1);
    assert_eq!(user(ready(51), retiring()), Some(seconds(14)));
    assert_eq!(user(ready(51), vec![]), Some(seconds(14)));
    assert_eq!(user(gone(), vec![]), Some(seconds(14)));
    // The PID is reused by another process.
    stat(51, 100, 9);
    assert_eq!(user(ready(51), vec![]), Some(seconds(15)));
    stat(51, 100, 12);
    assert_eq!(user(ready(51), vec![]), Some(seconds(16)));
    fs::remove_dir_all(&proc).unwrap();
}

#[test]
fn the_handover_can_be_settled_later() {
    let metrics = Metrics::new(1, facts("/nonexistent")).unwrap();
    metrics.set_handover(HandoverInfo {
        handover: "activation",
        steering: "none",
        counts_connections: false,
        reason: String::new(),
    });
    let page = render(&metrics, &Snapshot::default(), Vec::new());
    assert!(has(
        &page,
        "rpm_handover_info{handover=\"activation\",steering=\"none\"} 1"
    ));
    assert!(!page.contains("intercept"));
}

#[test]
fn metrics_can_be_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<Metrics>();
}
