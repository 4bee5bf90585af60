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
mod logging;
mod narrate;
mod narrate_roll;
mod notify;
mod perform;
mod ports;
mod report;
mod triggers;
mod turn;

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{UnixDatagram, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::app_metrics::merge::Life;
use crate::checks::Check;
use crate::config::Config;
use crate::log::{Log, Tail};
use crate::metrics::Metrics;
use crate::model::{
    Command, ListenerId, Pid, RunState, Sig, SlotId, Snapshot, Tick, Trigger, WorkerState,
    WorkerView,
};
use crate::policy::notify::Message;
use crate::policy::{Event, Fleet, Rotation, SignalAction};
use crate::ports::{PortEvent, Rescue, Server, SharedPorts};
use crate::sys::clock::Clock;
use crate::sys::intercept::Filter;
use crate::sys::pid1::{FileLimit, Role};
use crate::sys::signals::Signals;
use crate::sys::status;
use crate::triggers::Fired;

pub use boot::{Boot, BootError, boot};
pub use report::{Ending, write_termination_log};

/// A wake-up that comes later than this was slept over: the runtime itself did not run.
const FROZEN: Duration = Duration::from_secs(1);

/// While a deadline is pending, the loop looks at the clock so often: a freeze is measured from the last look.
const BEAT: Duration = Duration::from_millis(500);

/// Tells tokio that a descriptor it reported has been dealt with.
fn not_now() -> std::io::Result<()> {
    Err(std::io::ErrorKind::WouldBlock.into())
}

/// What wakes the loop.
#[derive(Debug)]
enum Incoming {
    /// Signals are pending.
    Signals(Vec<Sig>),
    /// A worker that is being started has something to say.
    Status(Pid),
    /// The shared ports have.
    Port(PortEvent),
    /// Somebody asked for it.
    Asked(Command),
    /// The worker does what RPM_READY asks for.
    Accepted(Pid),
    /// A trigger has something to say.
    Fired(Fired),
    /// A worker said something of itself.
    Said(Pid, Vec<Message>),
    /// And it means this.
    Told(Event),
    /// The worker was asked whether it is healthy.
    Checked(Pid, Check),
    /// The worker was asked for its metrics a last time.
    Looked(Pid, Life),
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

/// A worker between fork and exec, or with its question under way.
#[derive(Debug)]
struct Beginning {
    slot: SlotId,
    status: Arc<UnixDatagram>,
    watch: JoinHandle<()>,
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
    beginning: HashMap<Pid, Beginning>,
    asking: checks::Asking,
    gathering: app_metrics::Gathering,
    watched: drains::Watched,
    saying: notify::Saying,
    oom: triggers::OomKills,
    told_stranded: Option<Tick>,
    /// Of the workers.
    oom_score_adj: Option<i32>,
    /// Last words of the workers that have not proved themselves.
    tails: HashMap<Pid, Tail>,
    /// What each worker serves.
    listeners: HashMap<Pid, ListenerId>,
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

    /// Sends every pending signal to the loop. Registered signals stay registered as long as the process lives.
    fn watch_signals(&self, mut signals: Signals, wakes: UnixStream) {
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            while wakes.readable().await.is_ok() {
                // Cleared first: what arrives while we look is reported again.
                let _ = wakes.try_io(Interest::READABLE, not_now);
                let pending = signals.pending();
                if !pending.is_empty() && outbox.send(Incoming::Signals(pending)).is_err() {
                    return;
                }
            }
        });
    }

    /// Waits for the next thing that concerns the fleet. Takes the time for which the runtime itself was frozen out of
    /// the clock: a deadline that passed in the meantime says nothing about workers that were frozen with it.
    ///
    /// How long the freeze was is told by the wake-up that it delayed: that was due a [`BEAT`] after the last look at
    /// the clock, or at the deadline. So the honest wait is never taken out, the freeze is, but for a beat at most, and
    /// one that began earlier in the turn (or a turn that took so long) counts like any other. Without a deadline there
    /// is nothing to put off, and no beat.
    async fn next_event(&mut self) -> Event {
        let incoming = loop {
            let deadlines = [
                self.fleet.next_deadline(),
                self.watched.deadline(),
                self.saying.deadline(),
            ];
            let Some(deadline) = deadlines.into_iter().flatten().min() else {
                let incoming = self.inbox.recv().await;
                self.now = self.clock.now();
                break incoming;
            };
            let due = deadline.max(self.now).min(self.now.after(BEAT));
            let at = tokio::time::Instant::from_std(self.clock.instant(due));
            let incoming = tokio::time::timeout_at(at, self.inbox.recv())
                .await
                .unwrap_or_default();
            let frozen = self.clock.now().since(due);
            if frozen > FROZEN {
                self.clock.skip(frozen);
                warn!(
                    seconds = frozen.as_secs_f32(),
                    "the runtime did not run for a while; deadlines are put off by as much"
                );
            }
            self.now = self.clock.now();
            if incoming.is_some() || deadline <= self.now {
                break incoming;
            }
        };
        match incoming {
            None => Event::Woke,
            Some(incoming) => self.translate(incoming),
        }
    }

    fn translate(&mut self, incoming: Incoming) -> Event {
        match incoming {
            Incoming::Signals(pending) => self.signalled(&pending),
            Incoming::Status(pid) => self.read_status(pid).unwrap_or(Event::Woke),
            Incoming::Port(event) => self.port_event(&event),
            Incoming::Fired(fired) => self.fired(fired),
            Incoming::Said(pid, messages) => self.said(pid, &messages),
            Incoming::Told(event) => event,
            Incoming::Asked(command) => Event::Operator(command),
            Incoming::Accepted(pid) => self.accepted(pid),
            Incoming::Checked(pid, check) => self.checked(pid, &check),
            Incoming::Looked(pid, life) => {
                self.looked(pid, life);
                Event::Woke
            }
        }
    }

    /// The worker is gone: nobody waits for its words any more.
    fn forget(&mut self, pid: Pid) {
        if let Some(beginning) = self.beginning.remove(&pid) {
            beginning.watch.abort();
        }
        self.asking.forget(pid);
    }

    /// And nobody hears it any more.
    fn forget_dead(&mut self, pid: Pid) {
        self.forget(pid);
        self.gathering.end(pid);
        self.saying.forget(pid);
    }

    fn signalled(&mut self, pending: &[Sig]) -> Event {
        let mut event = Event::Woke;
        for sig in pending.iter().copied().filter(|sig| *sig != Sig::CHLD) {
            self.metrics.signal_received(sig);
            match self.config.signals.action(sig) {
                SignalAction::Stop => {
                    info!(signal = %sig, "signal received, stopping");
                    // Two at once are one wish.
                    event = Event::Operator(Command::Stop);
                }
                SignalAction::Restart => {
                    info!(signal = %sig, "signal received, restarting every worker");
                    if event == Event::Woke {
                        event = Event::Operator(Command::Restart);
                    }
                }
                SignalAction::Reload => {
                    info!(signal = %sig, "signal received, reloading");
                    self.ask_for(Command::Reload(Trigger::Operator));
                }
                SignalAction::ScaleUp => {
                    info!(signal = %sig, "signal received, one worker more");
                    self.ask_for(Command::ScaleUp);
                }
                SignalAction::ScaleDown => {
                    info!(signal = %sig, "signal received, one worker less");
                    self.ask_for(Command::ScaleDown);
                }
                SignalAction::Forward => self.forward(sig, sig),
                SignalAction::ForwardAs(other) => self.forward(sig, other),
                SignalAction::Reopen => {
                    if self.config.log.files.any() {
                        info!(signal = %sig, "signal received, reopening log files");
                        self.log.reopen();
                    }
                    self.forward_reopen(sig);
                }
                SignalAction::Ignore => {
                    info!(signal = %sig, "signal received, ignoring it (RPM_SIGNALS)");
                }
            }
        }
        event
    }

    /// One event after the other: several signals may have come at once.
    fn ask_for(&self, command: Command) {
        // The loop holds the other end.
        let _ = self.outbox.send(Incoming::Asked(command));
    }

    /// What others see, and where connections go.
    fn publish(&mut self) {
        let mut seen = self.fleet.snapshot();
        self.saying.add_to(&mut seen);
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        self.keep_last_words();
        self.gather();
        let Some(sharing) = &self.sharing else { return };
        if self.fleet.stopping() {
            if !self.let_go {
                self.let_go = true;
                sharing.ports.let_go();
            }
            return;
        }
        self.steer();
        self.mind_listeners();
        self.follow_drains();
        self.check_health();
    }

    /// Sends new connections to those that serve now.
    fn steer(&mut self) {
        let Some(sharing) = &self.sharing else { return };
        let rotation = self.fleet.rotation();
        if !self.let_go && rotation != self.rotation {
            self.rotation.clone_from(&rotation);
            for failed in sharing.ports.steer(rotation) {
                Self::narrate_port(&failed);
            }
        }
    }

    /// Only those that are on trial are asked for their last words.
    fn keep_last_words(&mut self) {
        if self.tails.is_empty() {
            return;
        }
        let seen = self.fleet.snapshot();
        let reloads = seen.state == RunState::Reloading;
        let on_trial = |worker: &&WorkerView| worker.state == WorkerState::Starting || reloads;
        let slots = seen.slots.iter().filter(on_trial);
        let kept: Vec<Pid> = slots
            .chain(&seen.rising)
            .filter_map(|worker| worker.pid)
            .collect();
        self.tails.retain(|pid, _| kept.contains(pid));
    }

    /// One message of a worker that is being started, and what it means; `None` if there is none now.
    fn read_status(&mut self, pid: Pid) -> Option<Event> {
        let beginning = self.beginning.get(&pid)?;
        let slot = beginning.slot;
        let message = status::receive(&*beginning.status).ok()?;
        // There may be another behind it, and the descriptor reports each arrival once.
        let _ = self.outbox.send(Incoming::Status(pid));
        Some(self.begun(pid, slot, message))
    }
}
