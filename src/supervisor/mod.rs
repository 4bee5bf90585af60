//! The main loop. One turn: wait for a message, reap all ended processes, decide, perform the actions, publish the
//! state.

mod admin;
mod app_metrics;
mod boot;
mod checks;
mod connections;
mod control;
mod descriptors;
mod drains;
mod environment;
mod follow;
mod forward;
mod gathering;
mod handover;
mod incoming;
mod leftovers;
mod lives;
mod logging;
mod node;
mod notify;
mod observation;
mod perform;
mod port_events;
mod port_lines;
mod ports;
mod publish;
mod report;
mod signals;
mod spawn;
mod starting;
mod triggers;
mod try_out;
mod turn;
mod worker;

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

use crate::config::Config;
use crate::control::{Closing, Held};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::model::{Snapshot, Tick};
use crate::policy::paths::BoundPaths;
use crate::policy::{Bytes, Fleet, PortTable};
use crate::sys::cgroup::Places;
use crate::sys::clock::Clock;
use crate::sys::pid1::{FileLimit, Role};
use crate::sys::signals::Signals;

use app_metrics::AppMetrics;
use control::Answers;
use drains::DrainWatch;
use environment::Environment;
use gathering::Gathering;
use incoming::{Incoming, Lateness};
use leftovers::Leftovers;
use lives::Lives;
use node::Node;
use observation::Observation;
use ports::Sharing;
use report::{Events, Reloads, Reporter};
use triggers::OomKills;
use worker::Workers;

pub use boot::{Boot, BootError, boot};
pub use report::{Ending, write_termination_log};
pub use try_out::{Tried, try_out};

/// Tells tokio that the reported readiness of a descriptor has been handled.
fn not_now() -> std::io::Result<()> {
    Err(std::io::ErrorKind::WouldBlock.into())
}

/// The environment of the runtime on this host.
#[derive(Debug)]
struct Host {
    role: Role,
    /// The limit of open descriptors; `None` if it could not be read.
    files: Option<FileLimit>,
    /// OOM score of the workers; `None`: unchanged.
    oom_score_adj: Option<i32>,
    /// The kernel's OOM killer.
    oom: OomKills,
    /// Where the cgroups are.
    places: Places,
}

/// The running service. Created by [`boot`]; from then on no error ends it.
#[derive(Debug)]
pub struct Supervisor {
    // The configuration and the host.
    config: Arc<Config>,
    environment: Environment,
    host: Host,
    observation: Observation,

    // The policy and its time.
    fleet: Fleet,
    /// The names of the ports whose numbers the policy knows.
    port_table: PortTable,
    /// Which unix paths more than one worker has bound.
    paths: BoundPaths,
    clock: Clock,
    /// The time of this turn, read once. A freeze in the middle of a turn is seen by the next turn.
    now: Tick,
    /// What tells a freeze from a wait for a CPU.
    lateness: Lateness,

    // Objects that the loop uses and shares with other tasks and threads.
    log: Log,
    metrics: Arc<Metrics>,
    /// RPM_MAX_MEMORY for one worker, as it is now.
    worker_memory: watch::Sender<Option<Bytes>>,
    app_metrics: AppMetrics,
    /// `None`: no port is shared.
    sharing: Option<Sharing>,
    /// `None`: the workers get no Node channel.
    node: Option<Node>,
    snapshot: Arc<Mutex<Snapshot>>,
    /// Reads for people who look.
    gathering: Rc<Gathering>,
    /// What is kept of single workers for them.
    lives: Lives,

    // The workers.
    workers: Workers,
    drains: DrainWatch,
    leftovers: Leftovers,

    /// Reports decisions.
    reporter: Reporter,
    /// The last reloads.
    reloads: Reloads,
    /// What happened last.
    events: Events,
    /// The name of the control socket, which goes with the service.
    control: Option<Held>,
    /// Ends the streams of the control socket.
    closing: Closing,
    /// What clients of it are told after this turn.
    answers: Answers,

    // Messages to the loop.
    inbox: UnboundedReceiver<Incoming>,
    outbox: UnboundedSender<Incoming>,
}

impl Supervisor {
    /// What ends the streams of the control socket, after the last lines of the log.
    pub fn closing(&self) -> Closing {
        self.closing.clone()
    }

    /// Runs until the service has ended. Returns the exit code and the reason.
    pub async fn run(mut self, signals: Signals, wakes: UnixStream) -> Ending {
        self.watch_signals(signals, wakes);
        self.start_triggers();
        let mut events = Vec::new();
        loop {
            if let Some(code) = self.turn(events) {
                self.log_last_port_events();
                return self.reporter.ending(code);
            }
            events = self.next_events().await;
        }
    }
}
