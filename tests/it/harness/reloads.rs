//! Reloads and changes of scale from outside: requested by a signal, observed in the log, the metrics and the
//! processes.

use std::collections::BTreeSet;

use super::{Runtime, Signal, until};

/// Numbers of reloads so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloads {
    pub success: u32,
    pub failed: u32,
}

#[track_caller]
pub fn reloads(runtime: &Runtime) -> Reloads {
    Reloads {
        success: count(runtime, "rpm_reloads_total{result=\"success\"}"),
        failed: count(runtime, "rpm_reloads_total{result=\"failure\"}"),
    }
}

/// Requests a reload, waits for its end, and returns the result. This is the only place that knows how a reload is
/// requested and how its end is reported.
#[track_caller]
fn reload_to_its_end(runtime: &Runtime) -> Reloads {
    let before = reloads(runtime);
    let mark = runtime.mark();
    runtime.signal(Signal::SIGHUP);
    runtime.wait_for_line_after(mark, |line| {
        line.contains("reload finished") || line.contains("reload failed")
    });
    let mut after = before;
    until("the reload is counted", || {
        after = reloads(runtime);
        after != before
    });
    Reloads {
        success: after.success - before.success,
        failed: after.failed - before.failed,
    }
}

/// A reload that replaces every worker.
#[track_caller]
pub fn reload(runtime: &Runtime) {
    let before = pids(runtime);
    let ended = reload_to_its_end(runtime);
    let wanted = Reloads {
        success: 1,
        failed: 0,
    };
    assert_eq!(ended, wanted, "{}", runtime.shown());
    // What a worker leaves is a child of the runtime until it has ended.
    until("the workers are new, and as many as before", || {
        let after = pids(runtime);
        after.len() == before.len() && before.is_disjoint(&after)
    });
}

/// A reload that fails and leaves all workers as they were.
#[track_caller]
pub fn reload_fails(runtime: &Runtime) {
    let before = pids(runtime);
    let ended = reload_to_its_end(runtime);
    let wanted = Reloads {
        success: 0,
        failed: 1,
    };
    assert_eq!(ended, wanted, "{}", runtime.shown());
    until("only the old workers are left", || pids(runtime) == before);
}

/// The living workers.
pub fn pids(runtime: &Runtime) -> BTreeSet<i32> {
    let workers = runtime.workers().into_iter();
    workers.map(|process| process.pid).collect()
}

/// The value of a counter or gauge that must exist.
#[track_caller]
pub fn count(runtime: &Runtime, series: &str) -> u32 {
    let value = runtime.metric(series);
    let value = value.unwrap_or_else(|| panic!("no {series}; {}", runtime.shown()));
    format!("{value}").parse().unwrap()
}

/// Waits until `wanted` workers are wanted and all are ready.
#[track_caller]
pub fn wait_scale(runtime: &Runtime, wanted: u32) {
    until(&format!("{wanted} workers are wanted and ready"), || {
        count(runtime, "rpm_workers_desired") == wanted
            && count(runtime, "rpm_workers{state=\"ready\"}") == wanted
            && pids(runtime).len() == wanted as usize
    });
}
