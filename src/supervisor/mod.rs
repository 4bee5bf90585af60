//! The loop. One turn: wait for one event, reap everything first, decide, perform, publish.
#![forbid(unsafe_code)]

mod boot;
mod choice;
mod environment;
mod narrate;
mod perform;
mod report;
mod sharing;

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::Interest;
use tokio::net::{UnixDatagram, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::config::Config;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::model::{Command, Pid, Sig, SlotId, Snapshot, Tick};
use crate::policy::{Action, Event, Fleet, Rotation, SignalAction};
use crate::port::{PortEvent, Server, SharedPorts};
use crate::sys::clock::Clock;
use crate::sys::intercept::Filter;
use crate::sys::pid1::{FileLimit, Role};
use crate::sys::signals::{self, Signals};
use crate::sys::{reaper, status};

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
    /// The worker accepted the connection that was made to it.
    Accepted(Pid),
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
    asking: HashMap<Pid, JoinHandle<()>>,
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
            let Some(deadline) = self.fleet.next_deadline() else {
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
            Incoming::Accepted(pid) => {
                self.asking.remove(&pid);
                Event::Ready { pid }
            }
        }
    }

    /// One turn. The exit code, if this was the last.
    fn turn(&mut self, event: Event) -> Option<u8> {
        let mut actions = Vec::new();
        if matches!(
            event,
            Event::ExecFailed { .. } | Event::Starved { .. } | Event::Executed { .. }
        ) {
            // It was said before the end that may be waiting to be reaped, and tells what that end means.
            self.take(event, &mut actions);
            self.reap(&mut actions);
            self.decide(Event::Woke, &mut actions);
        } else {
            self.reap(&mut actions);
            self.decide(event, &mut actions);
        }
        let mut queue = std::collections::VecDeque::from(actions);
        let mut end = None;
        while let Some(action) = queue.pop_front() {
            if let Action::Finish { code } = action {
                end = Some(code);
                continue;
            }
            if let Some(outcome) = self.perform(&action) {
                let mut more = Vec::new();
                self.decide(outcome, &mut more);
                queue.extend(more);
            }
        }
        self.publish();
        end
    }

    fn decide(&mut self, event: Event, out: &mut Vec<Action>) {
        self.fleet.decide(self.now, self.clock.jitter(), event, out);
    }

    fn take(&mut self, event: Event, out: &mut Vec<Action>) {
        self.fleet.take(self.now, self.clock.jitter(), event, out);
    }

    /// Everything that has ended is known before anything is decided.
    fn reap(&mut self, actions: &mut Vec<Action>) {
        let mut ended = Vec::new();
        reaper::reap(|pid, exit| ended.push((pid, exit)));
        if ended.is_empty() {
            return;
        }
        let init = self.role == Role::Init;
        for (pid, exit) in ended {
            let ours = self.fleet.workers().any(|(_, worker)| worker == pid);
            if ours {
                // What it said before it died counts: why it could not run its program.
                while let Some(event) = self.read_status(pid) {
                    self.take(event, actions);
                }
                self.forget(pid);
            }
            let leftovers = ours && reaper::group_left(pid, init);
            self.take(
                Event::Exited {
                    pid,
                    exit,
                    leftovers,
                },
                actions,
            );
        }
        let swept: Vec<Pid> = self
            .fleet
            .sweeping()
            .filter(|leader| !reaper::group_left(*leader, init))
            .collect();
        for pid in swept {
            self.take(Event::GroupEmpty { pid }, actions);
        }
    }

    /// The worker is gone: nobody waits for its words any more.
    fn forget(&mut self, pid: Pid) {
        if let Some(beginning) = self.beginning.remove(&pid) {
            beginning.watch.abort();
        }
        if let Some(asking) = self.asking.remove(&pid) {
            asking.abort();
        }
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
                SignalAction::Forward => self.forward(sig, sig),
                SignalAction::ForwardAs(other) => self.forward(sig, other),
                SignalAction::Ignore => {
                    info!(signal = %sig, "signal received, ignoring it (RPM_SIGNALS)");
                }
            }
        }
        event
    }

    fn forward(&self, received: Sig, sent: Sig) {
        let mut workers = 0_usize;
        for (slot, pid) in self.fleet.workers() {
            match self.send(pid, sent) {
                Ok(()) => workers += 1,
                Err(errno) => {
                    warn!(%slot, %pid, signal = %sent, error = errno.desc(), "cannot forward a signal");
                }
            }
        }
        tracing::debug!(signal = %received, %sent, workers, "signal received and forwarded");
    }

    /// By RPM_SIGNAL_SCOPE. The worker is unreaped, so its number is its own.
    fn send(&self, pid: Pid, sig: Sig) -> nix::Result<()> {
        match self.config.signal_scope {
            crate::config::Scope::Process => signals::send(pid, sig),
            crate::config::Scope::Group => match signals::send_group(pid, sig) {
                // It left its group for another one; its number is its own all the same.
                Err(Errno::ESRCH) => signals::send(pid, sig),
                other => other,
            },
        }
    }

    /// What others see, and where connections go.
    fn publish(&mut self) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = self.fleet.snapshot();
        let Some(sharing) = &self.sharing else { return };
        if self.fleet.stopping() {
            if !self.let_go {
                self.let_go = true;
                sharing.ports.let_go();
            }
            return;
        }
        let rotation = self.fleet.rotation();
        if rotation != self.rotation {
            self.rotation.clone_from(&rotation);
            for failed in sharing.ports.steer(rotation) {
                Self::narrate_port(&failed);
            }
        }
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
