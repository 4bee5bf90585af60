//! The loop. One turn: wait for something to happen, reap everything first, decide, perform, publish.

mod admin;
mod app_metrics;
mod boot;
mod checks;
mod connections;
mod drains;
mod environment;
mod forward;
mod handover;
mod incoming;
mod logging;
mod notify;
mod perform;
mod ports;
mod publish;
mod report;
mod signals;
mod spawn;
mod starting;
mod triggers;
mod turn;
mod worker;

use std::sync::{Arc, Mutex};

use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::config::Config;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::model::{Snapshot, Tick};
use crate::policy::Fleet;
use crate::sys::clock::Clock;
use crate::sys::pid1::{FileLimit, Role};
use crate::sys::signals::Signals;

use app_metrics::AppMetrics;
use drains::DrainWatch;
use environment::Environment;
use incoming::Incoming;
use ports::Sharing;
use report::Reporter;
use triggers::OomKills;
use worker::Workers;

pub use boot::{Boot, BootError, boot};
pub use report::{Ending, write_termination_log};

/// Tells tokio that a descriptor it reported has been dealt with.
fn not_now() -> std::io::Result<()> {
    Err(std::io::ErrorKind::WouldBlock.into())
}

/// Where the runtime stands.
#[derive(Debug)]
struct Host {
    role: Role,
    /// The limit of open descriptors; `None` if it could not be read.
    files: Option<FileLimit>,
    /// For the workers; `None` leaves it as it is.
    oom_score_adj: Option<i32>,
    /// The kernel's OOM killer.
    oom: OomKills,
}

/// The running service. Made by [`boot`]; from then on no error ends it.
#[derive(Debug)]
pub struct Supervisor {
    // What was asked for, and where.
    config: Arc<Config>,
    environment: Environment,
    host: Host,

    // What decides, and the time at which it does.
    fleet: Fleet,
    clock: Clock,
    /// The time of this turn, read once: a freeze in the middle of a turn is seen by the next, like any other.
    now: Tick,

    // What the loop uses and shares with other tasks and threads.
    log: Log,
    metrics: Arc<Metrics>,
    app_metrics: AppMetrics,
    /// `None`: no port is shared.
    sharing: Option<Sharing>,
    snapshot: Arc<Mutex<Snapshot>>,

    // The workers.
    workers: Workers,
    drains: DrainWatch,

    /// Tells people about decisions.
    reporter: Reporter,

    // What wakes the loop.
    inbox: UnboundedReceiver<Incoming>,
    outbox: UnboundedSender<Incoming>,
}

impl Supervisor {
    /// Runs until nothing is left to run; the ending says with what code the process ends and why.
    pub async fn run(mut self, signals: Signals, wakes: UnixStream) -> Ending {
        self.watch_signals(signals, wakes);
        self.start_triggers();
        let mut events = Vec::new();
        loop {
            if let Some(code) = self.turn(events) {
                return self.reporter.ending(code);
            }
            events = self.next_events().await;
        }
    }
}
