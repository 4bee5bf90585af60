//! The loop. One turn: wait for one event, reap everything first, decide, perform, publish.

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
mod narrate;
mod narrate_roll;
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

use std::ffi::OsString;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::config::Config;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::model::{Snapshot, Tick};
use crate::policy::{Event, Fleet, Rotation};
use crate::ports::{Rescue, Server, SharedPorts};
use crate::sys::clock::Clock;
use crate::sys::intercept::Filter;
use crate::sys::pid1::{FileLimit, Role};
use crate::sys::signals::Signals;

use incoming::Incoming;

pub use boot::{Boot, BootError, boot};
pub use report::{Ending, write_termination_log};

/// Tells tokio that a descriptor it reported has been dealt with.
fn not_now() -> std::io::Result<()> {
    Err(std::io::ErrorKind::WouldBlock.into())
}

/// How ports are handed over, as chosen at the start.
#[derive(Debug)]
struct Sharing {
    ports: SharedPorts,
    server: Server,
    /// `None`: activation.
    filter: Option<Filter>,
    /// A listening worker is asked over its own listener before it counts as ready.
    ask: bool,
    rescue: Option<Rescue>,
    /// The balance is to be started with the second worker.
    balance: bool,
}

/// The running service. Made by [`boot`]; from then on no error ends it.
#[derive(Debug)]
pub struct Supervisor {
    config: Arc<Config>,
    env: Vec<(OsString, OsString)>,
    /// RPM_ENV_FILE, as it last could be read.
    env_file: Vec<(OsString, OsString)>,
    role: Role,
    files: Option<FileLimit>,
    fleet: Fleet,
    clock: Clock,
    /// The time of this turn, read once: a freeze in the middle of a turn is seen by the next, like any other.
    now: Tick,
    log: Log,
    metrics: Arc<Metrics>,
    snapshot: Arc<Mutex<Snapshot>>,
    sharing: Option<Sharing>,
    rotation: Rotation,
    inbox: UnboundedReceiver<Incoming>,
    outbox: UnboundedSender<Incoming>,
    workers: worker::Workers,
    app_metrics: app_metrics::AppMetrics,
    drains: drains::DrainWatch,
    /// WATCHDOG_USEC of our own environment, which the workers inherit.
    watchdog_preset: Option<Duration>,
    oom: triggers::OomKills,
    told_stranded: Option<Tick>,
    /// Of the workers.
    oom_score_adj: Option<i32>,
    /// Last words about the workers, for the termination log.
    history: report::History,
    /// Why it gave up, if it did.
    gave_up: Option<String>,
    /// A stop was asked for: what fails from then on is not why it ends.
    asked_to_stop: bool,
    /// The listeners were let go: the workers' own closing decides.
    let_go: bool,
}

impl Supervisor {
    /// Runs until nothing is left to run; the ending says with what code the process ends and why.
    pub async fn run(mut self, signals: Signals, wakes: UnixStream) -> Ending {
        self.watch_signals(signals, wakes);
        self.start_triggers();
        let mut event = Event::Woke;
        loop {
            if let Some(code) = self.turn(event) {
                return self.ending(code);
            }
            event = self.next_event().await;
        }
    }
}
