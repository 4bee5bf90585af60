//! The control socket: opens it, and answers its questions from the published state.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use crate::config::{Config, Line};
use crate::control::protocol::{Command, Env, Kind, List, Refusal, Variable, Version};
use crate::control::{self, Answer, Held, Limits, Obeyed, Opened, Rule, Service, socket_name};
use crate::log::Log;
use crate::metrics::{ControlFault, Metrics};
use crate::model::shown::seconds;
use crate::model::{HandoverInfo, Snapshot, Tick};
use crate::policy::Seldom;
use crate::sys::links::effective_user;
use crate::sys::peer::Peer;
use crate::sys::proc::{Proc, ProcDir};

use super::Supervisor;
use super::gathering::{Gathering, Late, OneForAll};
use super::incoming::Incoming;
use super::report::Events;

mod describe;
mod flush;
mod happened;
mod lines;
mod messages;
mod orders;
mod views;
mod who;

use describe::Facts;
use happened::Happened;
use lines::Lines;
pub(super) use orders::{Answers, Order};

/// Opens the control socket and serves it, if RPM_CONTROL says so. That it cannot be opened ends nothing: the service is
/// more important. `lines` is the configuration for `env`. Returns the name of the socket, which is to be kept.
pub(super) fn serve(
    supervisor: &Supervisor,
    lines: Vec<Line>,
    handover: HandoverInfo,
) -> Option<Held> {
    let config = &supervisor.config;
    if !config.control.on {
        return None;
    }
    let opened = open(config).and_then(|opened| {
        opened.listener.set_nonblocking(true)?;
        Ok(opened)
    });
    let listening = opened.and_then(
        |Opened {
             listener,
             held,
             trouble,
             exposed,
             stale,
         }| {
            if let Some(who) = exposed {
                warn!(
                    who,
                    socket = %held.address(),
                    "others can change the directory of the control socket (RPM_HOME), and put another socket there"
                );
            }
            let listener = UnixListener::from_std(listener)?;
            Ok((listener, held, trouble, stale))
        },
    );
    let (listener, held, trouble, stale) = match listening {
        Ok(listening) => listening,
        Err(error) => {
            warn!(%error, "no control socket (RPM_CONTROL), so rpmctl cannot be used");
            return None;
        }
    };
    if let Some(trouble) = trouble {
        let what = "the control socket has an abstract name instead of a file in RPM_HOME";
        if config.control.home.is_some() {
            warn!(trouble, "{what}");
        } else {
            // Nobody has asked for a directory, and a read-only root is usual.
            info!(trouble, "{what}");
        }
    }
    if stale > 0 {
        debug!(stale, "removed the control sockets of ended runtimes");
    }
    info!(socket = %held.address(), "control socket: rpmctl");
    let metrics = Arc::clone(&supervisor.metrics);
    let desk = Rc::new(Desk::new(supervisor, lines, handover));
    let told = RefCell::new(Seldom::<Option<u32>>::default());
    let troubles = RefCell::new(Seldom::<()>::default());
    let (now, again) = (supervisor.clock.reader(), supervisor.clock.reader());
    let faults = Arc::clone(&supervisor.metrics);
    let service = Service {
        rule: Rule::here(held.address()),
        obey: Box::new(move |command, peer| desk.obey(&command, peer)),
        fault: Box::new(move |kind| {
            faults.control_fault(match kind {
                Kind::Busy => ControlFault::Busy,
                Kind::Unknown => ControlFault::Unknown,
                Kind::Malformed | Kind::NotAllowed | Kind::Refused | Kind::Other => {
                    ControlFault::Malformed
                }
            });
        }),
        refused: Box::new(move |peer, why| {
            metrics.control_command("connect", false);
            let uid = peer.map(|peer| peer.uid);
            if let Some(left_out) = told.borrow_mut().write(uid, 1, now()) {
                let pid = peer.map(|peer| peer.pid);
                warn!(
                    peer_uid = uid,
                    peer_pid = pid,
                    left_out,
                    "a peer of the control socket was refused: {}",
                    why.text()
                );
            }
        }),
        trouble: Box::new(move |error| {
            if let Some(left_out) = troubles.borrow_mut().write((), 1, again()) {
                warn!(%error, left_out, "cannot accept connections of the control socket; trying again");
            }
        }),
    };
    let files = supervisor.host.files;
    let limits = Limits::within(files.map_or(u64::MAX, |files| files.current));
    let closing = supervisor.closing.clone();
    tokio::task::spawn_local(control::serve(listener, service, limits, closing));
    Some(held)
}

fn open(config: &Config) -> io::Result<Opened> {
    let started = Proc::new("/proc").stat(ProcDir::Own);
    let started = started.map(|stat| stat.started).unwrap_or_default();
    let name = socket_name(std::process::id(), started);
    control::open(config.control.home.as_deref(), effective_user(), &name)
}

/// What the answers are made of.
struct Desk {
    lines: Vec<Line>,
    metrics: Arc<Metrics>,
    events: Events,
    log: Log,
    /// To the loop.
    outbox: UnboundedSender<Incoming>,
    gathering: Rc<Gathering>,
    /// The last answer to `list`.
    listed: OneForAll<Snapshot, Box<RawValue>>,
    facts: Facts,
}

impl Desk {
    fn new(supervisor: &Supervisor, lines: Vec<Line>, handover: HandoverInfo) -> Self {
        Self {
            lines,
            metrics: Arc::clone(&supervisor.metrics),
            events: supervisor.events.clone(),
            log: supervisor.log.clone(),
            outbox: supervisor.outbox.clone(),
            gathering: Rc::clone(&supervisor.gathering),
            listed: OneForAll::new(),
            facts: Facts::new(supervisor, handover),
        }
    }

    fn obey(self: &Rc<Self>, command: &Command, peer: Peer) -> Obeyed {
        let outcome = match command {
            Command::List => return Obeyed::Once(self.list(peer)),
            Command::Describe { slot } => return Obeyed::Once(self.describe(*slot, peer)),
            Command::Health => written(&self.health()),
            Command::Env => written(&self.env()),
            Command::Version => written(&self.version()),
            Command::Reload
            | Command::Restart { .. }
            | Command::Stop { .. }
            | Command::Start { .. }
            | Command::Scale { .. }
            | Command::Signal { .. }
            | Command::Send { .. }
            | Command::Reopen
            | Command::Flush => return Obeyed::Once(self.order(command.clone(), peer)),
            Command::Logs(wanted) => {
                if let Some(ring) = self.log.ring() {
                    self.told(command, peer, true);
                    return Obeyed::Many(Box::new(Lines::new(ring, wanted)));
                }
                let text = "no lines are kept in memory (RPM_LOG_RING=0)";
                Err(Refusal::refused(text))
            }
            Command::Events { follow, lines } => {
                self.told(command, peer, true);
                let events = self.events.clone();
                return Obeyed::Many(Box::new(Happened::new(events, *lines, *follow)));
            }
        };
        self.told(command, peer, outcome.is_ok());
        Obeyed::Once(Box::pin(async move { outcome }))
    }

    /// Counts and logs a command that reads.
    fn told(&self, command: &Command, peer: Peer, obeyed: bool) {
        let name = command.name();
        self.metrics.control_command(name, obeyed);
        debug!(
            command = name,
            peer_uid = peer.uid,
            peer_pid = peer.pid,
            "control command"
        );
    }

    /// Passes a command to the loop, and waits for its turn.
    fn order(&self, command: Command, peer: Peer) -> Answer {
        let (answer, told) = oneshot::channel();
        let order = Order {
            command,
            peer,
            answer,
        };
        // If the loop has ended, nobody answers.
        let _ = self.outbox.send(Incoming::Control(order));
        Box::pin(async move {
            let ending = |_| Err(Refusal::refused("the runtime is ending"));
            told.await.unwrap_or_else(ending)
        })
    }

    fn version(&self) -> Version {
        Version {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: option_env!("RPM_BUILD_REVISION").map(str::to_owned),
            pid: std::process::id(),
            app: self.metrics.app().name,
        }
    }

    fn env(&self) -> Env {
        let variable = |line: &Line| Variable {
            name: line.name.to_owned(),
            value: line.value.clone(),
            source: line.source.to_string(),
            note: line.note.clone(),
        };
        Env {
            variables: self.lines.iter().map(variable).collect(),
        }
    }

    fn health(&self) -> control::protocol::Health {
        let (snapshot, reloads) = (self.gathering.snapshot(), self.gathering.reloads());
        let shown = reloads.views(&snapshot, self.gathering.clock().unix_seconds());
        views::health(&snapshot, shown, reloads.failures())
    }

    /// The answer to `list`. It is shared by all who ask.
    fn list(self: &Rc<Self>, peer: Peer) -> Answer {
        let desk = Rc::clone(self);
        Box::pin(async move {
            let now = || desk.gathering.clock().now();
            let snapshot = || desk.gathering.snapshot();
            let make = async |_: &Snapshot| {
                let (look, read) = desk.gathering.look().await;
                let text = "the system does not answer; try again later";
                read.map_err(|Late| Refusal::refused(text))?;
                let workers = views::workers(&look);
                let failures = desk.gathering.reloads().failures();
                written(&List {
                    runtime: desk.version(),
                    uptime_seconds: seconds(look.now.since(Tick::default())),
                    health: views::health(&look.snapshot, look.reloads, failures),
                    workers,
                })
            };
            let outcome = desk.listed.get(snapshot, now, make).await;
            desk.told(&Command::List, peer, outcome.is_ok());
            outcome
        })
    }
}

fn written(value: &impl Serialize) -> Result<Box<RawValue>, Refusal> {
    serde_json::value::to_raw_value(value)
        .map_err(|error| Refusal::refused(format!("cannot write the answer: {error}")))
}

#[cfg(test)]
mod tests {
    use crate::metrics::CONTROL_COMMANDS;

    use super::*;

    #[test]
    fn every_command_is_counted_from_the_start() {
        let mut names = Command::NAMES.to_vec();
        names.push("connect");
        assert_eq!(names, CONTROL_COMMANDS);
    }
}
