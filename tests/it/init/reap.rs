//! No process is left a zombie.

use crate::harness::{Builder, Runtime, Signal, example, until};

const ORPHANS: u16 = 5_000;
/// Most zombies at a time, of these orphans. A reaper that works by a timer leaves thousands.
const FEW: usize = 500;

fn service() -> Builder {
    Runtime::builder().env("RPM_PORTS", "off")
}

#[track_caller]
fn orphans_are_reaped(builder: Builder) {
    let mut runtime = builder
        .arg(example("orphaner"))
        .program([ORPHANS.to_string().as_str(), "--stay"])
        .start();
    let mut peak = 0;
    until("the orphans are made", || {
        peak = peak.max(runtime.zombies());
        runtime
            .texts()
            .iter()
            .any(|line| line == &format!("done {ORPHANS}"))
    });
    until("no zombie is left", || runtime.zombies() == 0);
    assert!(peak < FEW, "{peak} zombies at once");
    until("all are counted", || {
        runtime.metric("rpm_orphans_reaped_total") == Some(f64::from(ORPHANS))
    });
    assert_eq!(runtime.workers().len(), 1, "{:?}", runtime.children());
    assert_eq!(
        runtime.metric("rpm_worker_restarts_total{worker=\"0\"}"),
        Some(0.0)
    );
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn five_thousand_orphans_leave_no_zombie_to_pid_1() {
    orphans_are_reaped(service().pid1());
}

#[test]
fn five_thousand_orphans_leave_no_zombie_to_a_subreaper() {
    orphans_are_reaped(service());
}

#[test]
fn orphans_are_reaped_though_sigchld_was_ignored_and_blocked() {
    orphans_are_reaped(service().under([example("hostile"), "blocked,ignored".into()]));
}

#[test]
fn workers_that_die_all_at_once_are_all_replaced() {
    let mut runtime = service()
        .env("RPM_INSTANCES", "16")
        .env("RPM_LOG_FORMAT", "prefix")
        .env("RPM_LOG_TIMESTAMP", "none")
        .arg(example("print_signals"))
        .program(["--until", "TERM"])
        .start();
    runtime.wait_for_lines(16, |line| line.contains("ready pid"));
    let before = runtime.wait_workers(16);
    // Every worker gets the signal. PWR does not end `print_signals`, so use SIGKILL, group by group.
    for worker in &before {
        let pid = nix::unistd::Pid::from_raw(worker.pid);
        #[allow(clippy::disallowed_methods, reason = "from outside")]
        nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    }
    runtime.wait_for_lines(16, |line| {
        line.contains("worker ended") && line.contains("SIGKILL")
    });
    runtime.wait_for_lines(32, |line| line.contains("ready pid"));
    let after = runtime.wait_workers(16);
    assert!(
        after
            .iter()
            .all(|new| before.iter().all(|old| old.pid != new.pid))
    );
    assert_eq!(runtime.zombies(), 0);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}
