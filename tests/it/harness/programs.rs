//! What the tests of reload, crash, scale and shutdown under load have in common: the programs, and the questions to
//! the runtime.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses a part"
)]
#![allow(
    clippy::print_stdout,
    reason = "what was counted is shown when a test fails"
)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;

use crate::harness::{
    Builder, Kind, Plan, Report, Runtime, Signal, Style, example, free_port, go_server, nonce,
    scratch, source, until,
};

/// Workers of a service, unless a test says otherwise.
pub const WORKERS: usize = 4;

/// Files that the program without a word of its own serves.
const FILES: u64 = 64;

/// An unmodified program on a port of its own, and what a client must know of it.
pub struct Program {
    pub port: u16,
    words: Vec<OsString>,
    files: bool,
}

impl Program {
    fn new(words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            port: free_port(),
            words: words.into_iter().map(Into::into).collect(),
            files: false,
        }
    }

    /// No signal handler: SIGTERM ends it at once.
    pub fn node() -> Self {
        Self::new([
            OsString::from("node"),
            source("examples/node/server.js").into(),
        ])
    }

    pub fn go() -> Self {
        Self::new([go_server(&scratch("go"))])
    }

    pub fn rust() -> Self {
        Self::new([example("echo_server")])
    }

    /// Of the standard library, on files that are named and filled with the nonces.
    pub fn python_http_server() -> Self {
        let directory = scratch("files");
        for word in (0..FILES).map(nonce) {
            fs::write(directory.join(&word), &word).unwrap();
        }
        let port = free_port();
        let number = port.to_string();
        let start = ["/usr/bin/python3", "-m", "http.server", &number];
        let keep = ["--protocol", "HTTP/1.1", "--directory"];
        let words = start.into_iter().chain(keep).map(OsString::from);
        Self {
            port,
            words: words.chain([directory.into_os_string()]).collect(),
            files: true,
        }
    }

    /// Another Python program.
    pub fn python(payload: &str) -> Self {
        Self::new([OsString::from("/usr/bin/python3"), source(payload).into()])
    }

    /// A runtime with so many workers of it, ready when they listen.
    pub fn workers(&self, count: usize) -> Builder {
        Runtime::builder()
            .env("RPM_INSTANCES", count.to_string())
            .env("RPM_READY", "listen")
            .env("PORT", self.port.to_string())
            .program(self.words.clone())
    }

    pub fn plan(&self, clients: u32, style: Style) -> Plan {
        let plan = Plan::new(([127, 0, 0, 1], self.port), clients, style);
        if self.files { plan.files(FILES) } else { plan }
    }
}

/// Reloads so far.
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

/// The one place that knows how a reload is asked for and how its end is told: asks for one, waits for its end, and
/// gives back what was said of it.
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
    let after = pids(runtime);
    assert_eq!(after.len(), before.len(), "{}", runtime.shown());
    assert!(before.is_disjoint(&after), "{before:?}, {after:?}");
}

/// A reload that fails, and leaves all workers as they were.
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

/// Living workers.
pub fn pids(runtime: &Runtime) -> BTreeSet<i32> {
    let workers = runtime.workers().into_iter();
    workers.map(|process| process.pid).collect()
}

/// The value of a counter or gauge that must be there.
#[track_caller]
pub fn count(runtime: &Runtime, series: &str) -> u32 {
    let value = runtime.metric(series);
    let value = value.unwrap_or_else(|| panic!("no {series}; {}", runtime.shown()));
    format!("{value}").parse().unwrap()
}

/// Waits until so many workers are wanted, and all of them are ready.
#[track_caller]
pub fn wait_scale(runtime: &Runtime, wanted: u32) {
    until(&format!("{wanted} workers are wanted and ready"), || {
        count(runtime, "rpm_workers_desired") == wanted
            && count(runtime, "rpm_workers{state=\"ready\"}") == wanted
            && pids(runtime).len() == wanted as usize
    });
}

/// No request failed in any way; some may have been sent a second time.
#[track_caller]
pub fn lost_nothing(what: &str, report: &Report, runtime: &Runtime) {
    println!("{what}: {report}");
    assert_eq!(report.lost(), 0, "{what}: {report}\n{}", runtime.shown());
}

/// Requests that failed, but not because a connection ended under them.
pub fn not_cut(report: &Report) -> u64 {
    let kinds = Kind::ALL.into_iter().filter(|kind| !kind.is_cut());
    kinds.map(|kind| report.lost_by(kind)).sum()
}
