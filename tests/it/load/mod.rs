//! Clients without pauses, and endless writers. Two such tests at once would disturb each other's counts and times:
//! nextest runs this folder one test at a time (.config/nextest.toml).
//!
//! `RPM_TEST_SEED` repeats a run. The tests named `soak` are the long form; `make soak` runs them.

mod admin;
mod bad_version;
mod control;
mod endless_line;
mod examples;
mod halt;
mod kill;
mod log_lines;
mod metrics;
mod node;
mod node_drain;
mod opening;
mod reload;
mod resize;
mod scale;
mod servers;
mod shutdown;
mod storm;
mod tight;
mod udp;
mod unix;

use crate::harness::load::{Kind, Load, Plan, Report, Style};
use crate::harness::programs::{FILES, Program};
use crate::harness::{Runtime, until};

/// Number of workers of a service, unless a test says otherwise.
pub const WORKERS: usize = 4;

impl Program {
    /// Clients that request what the program answers.
    pub fn plan(&self, clients: u32, style: Style) -> Plan {
        let plan = Plan::new(([127, 0, 0, 1], self.port), clients, style);
        if self.files { plan.files(FILES) } else { plan }
    }
}

/// Checks that no request failed; some may have been resent.
#[track_caller]
pub fn lost_nothing(what: &str, report: &Report, runtime: &Runtime) {
    println!("{what}: {report}");
    assert_eq!(report.lost(), 0, "{what}: {report}\n{}", runtime.shown());
}

/// Number of requests that failed for another reason than the end of a connection.
pub fn not_cut(report: &Report) -> u64 {
    let kinds = Kind::ALL.into_iter().filter(|kind| !kind.is_cut());
    kinds.map(|kind| report.lost_by(kind)).sum()
}

impl Load {
    /// Waits for `count` more answers.
    #[track_caller]
    pub fn wait_answers(&self, count: u64) {
        let goal = self.answered() + count;
        until("the clients are answered", || self.answered() >= goal);
    }
}
