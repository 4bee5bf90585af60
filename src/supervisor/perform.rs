//! Actions become calls; their outcomes become events.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tracing::{error, info, warn};

use crate::config::{LogFormat, Scope};
use crate::log::{self, Stream, Tail};
use crate::model::{Generation, ListenerId, Pid, Sig, SlotId};
use crate::policy::{Action, Event};
use crate::ports::{Attendant, PortEvent};
use crate::sys::io::OutputPipe;
use crate::sys::pid1::{self, Role};
use crate::sys::signals;
use crate::sys::spawn::{Plan, Spawned, Stdin, spawn};
use crate::sys::status::Status;

use super::{Beginning, Incoming, Supervisor, environment};

/// Connections that strand are told of no more often; all are counted.
const BETWEEN_STRANDED: std::time::Duration = std::time::Duration::from_mins(1);

impl Supervisor {
    /// Does one thing. The outcome, if the policy waits for one.
    pub(super) fn perform(&mut self, action: &Action) -> Option<Event> {
        match *action {
            Action::Spawn {
                slot,
                listener,
                generation,
            } => return Some(self.start(slot, listener, generation)),
            Action::Stop { pid } => {
                if self.may_stop_now(pid) {
                    self.tell_to_stop(pid);
                }
            }
            Action::Kill { pid } => {
                // The worker may have moved to another group; it is unreaped, so its number is its own.
                if let Err(errno) = signals::send(pid, Sig::KILL) {
                    warn!(%pid, error = errno.desc(), "cannot kill a worker");
                }
                self.tell(pid, Sig::KILL, true);
            }
            // Many servers take a second stop signal as "now".
            Action::StopGroup { told: true, .. } if self.config.signal_scope == Scope::Group => {}
            Action::StopGroup { pid, told: _ } => {
                self.tell(pid, self.config.stop_signal, true);
                self.tell(pid, Sig::CONT, true);
            }
            Action::KillGroup { pid } => {
                // Asked again: since the last look the group may have ended, and its number may be somebody else's.
                if crate::sys::reaper::group_left(pid, self.role == Role::Init) {
                    self.tell(pid, Sig::KILL, true);
                }
            }
            Action::Say(note) => self.narrate(note),
            Action::Finish { code: _ } => {}
        }
        None
    }

    pub(super) fn tell_to_stop(&self, pid: Pid) {
        self.tell(pid, self.config.stop_signal, false);
        // A stopped process does not see its signal before it continues.
        self.tell(pid, Sig::CONT, true);
    }

    fn tell(&self, pid: Pid, sig: Sig, group: bool) {
        let sent = if group {
            signals::send_group(pid, sig)
        } else {
            self.send(pid, sig)
        };
        if let Err(errno) = sent
            && !(group && errno == Errno::ESRCH)
        {
            warn!(%pid, signal = %sig, error = errno.desc(), "cannot signal a worker");
        }
    }

    fn start(&mut self, slot: SlotId, listener: ListenerId, generation: Generation) -> Event {
        match self.spawn(slot, listener, generation) {
            Ok(pid) => Event::Spawned {
                slot,
                listener,
                pid,
            },
            Err(errno) => {
                self.metrics.spawn_failed();
                let cause = Self::shortage(errno);
                error!(%slot, error = errno.desc(), %cause, "cannot start a worker");
                self.history.push(format!(
                    "slot {slot}: cannot start a worker: {} ({cause})",
                    errno.desc()
                ));
                Event::SpawnFailed { slot, listener }
            }
        }
    }

    fn spawn(
        &mut self,
        slot: SlotId,
        listener: ListenerId,
        generation: Generation,
    ) -> nix::Result<Pid> {
        let config = Arc::clone(&self.config);
        let inherit = config.log.format == LogFormat::Inherit;
        let alone = config.instances.get() == 1;
        let pipes = if inherit {
            None
        } else {
            Some((OutputPipe::new()?, OutputPipe::new()?))
        };
        let handed = match &self.sharing {
            Some(sharing) if sharing.filter.is_none() => sharing.ports.activation(listener)?,
            Some(_) | None => Vec::new(),
        };
        let activation: Vec<(BorrowedFd<'_>, String)> = handed
            .iter()
            .map(|(fd, name)| (fd.as_fd(), name.clone()))
            .collect();
        let base = self.base_environment();
        let workers = self.fleet.snapshot().desired;
        let mut env = environment::build(&base, &config, slot, generation, workers);
        if let Some((name, value)) = self.gathering.variable() {
            environment::set(&mut env, name, value);
        }
        let notify = self.prepare_to_hear().map(|(notify, name)| {
            environment::set(&mut env, "NOTIFY_SOCKET", name);
            // It names the process that is watched, which was our own.
            env.retain(|(name, _)| name != "WATCHDOG_PID");
            notify
        });
        let one_shot = config.one_shot();
        let terminal = std::io::stdin().is_terminal();
        let foreground = alone && (inherit || one_shot) && terminal;
        let plan = Plan {
            argv: &config.argv,
            env: &env,
            // A worker in the background that read from the terminal would be stopped (SIGTTIN).
            stdin: if alone && (!terminal || foreground) {
                Stdin::Inherit
            } else {
                Stdin::Null
            },
            output: pipes
                .as_ref()
                .map(|(out, err)| (out.write.as_fd(), err.write.as_fd())),
            activation: &activation,
            filter: self
                .sharing
                .as_ref()
                .and_then(|sharing| sharing.filter.as_ref()),
            death_signal: config.pdeathsig.filter(|_| self.role != Role::Init),
            file_limit: self.files.map(|files| files.original),
            oom_score_adj: self.oom_score_adj,
            foreground,
            keep_inherited: one_shot,
        };
        let Spawned { pid, status } = spawn(&plan)?;
        if let Some(sharing) = &self.sharing {
            sharing.ports.occupy(listener, pid);
            self.listeners.insert(pid, listener);
        }
        self.gathering.begin(pid);
        if let Some(notify) = notify {
            self.hear(pid, notify);
        }
        // Said before its output is read, so that its first line comes after.
        info!(%slot, %pid, %generation, "worker started");
        if let Some((out, err)) = pipes {
            let worker = log::Worker {
                slot,
                generation,
                pid,
            };
            self.log.attach(worker, Stream::Stdout, out.read, None);
            let tail = Tail::default();
            self.tails.insert(pid, tail.clone());
            self.log
                .attach(worker, Stream::Stderr, err.read, Some(tail));
        }
        match UnixDatagram::from_std(status.into()) {
            Ok(status) => {
                let status = Arc::new(status);
                let watch = self.watch_status(pid, Arc::clone(&status));
                self.beginning.insert(
                    pid,
                    Beginning {
                        slot,
                        status,
                        watch,
                    },
                );
            }
            // The worker runs; only its first words are lost. It is told to stop if it is never ready.
            Err(error) => warn!(%slot, %pid, %error, "cannot watch the start of a worker"),
        }
        Ok(pid)
    }

    fn watch_status(&self, pid: Pid, status: Arc<UnixDatagram>) -> tokio::task::JoinHandle<()> {
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            while let Ok(ready) = status.ready(Interest::READABLE).await {
                let _ = status.try_io(Interest::READABLE, super::not_now);
                // A closed socket stays ready for ever; all that is left in it can be read at once.
                if outbox.send(Incoming::Status(pid)).is_err() || ready.is_read_closed() {
                    return;
                }
            }
        })
    }

    /// What the system is short of.
    fn shortage(errno: Errno) -> String {
        match errno {
            Errno::EAGAIN => {
                "the limit of processes is reached: pids of the cgroup, or RLIMIT_NPROC".to_owned()
            }
            Errno::EMFILE => {
                let reached = "the limit of open descriptors is reached: RLIMIT_NOFILE";
                pid1::file_limit()
                    .map_or_else(|_| reached.to_owned(), |limit| format!("{reached} {limit}"))
            }
            Errno::ENFILE => "the system's limit of open files is reached".to_owned(),
            Errno::ENOMEM => "no memory".to_owned(),
            Errno::ENOENT => "/dev/null is missing".to_owned(),
            _ => "the system refused".to_owned(),
        }
    }

    /// A worker said something on its way to its program.
    pub(super) fn begun(&mut self, pid: Pid, slot: SlotId, message: Status) -> Event {
        match message {
            Status::Notifier(notifier) => {
                if let Some(sharing) = &self.sharing {
                    sharing.server.attend(Attendant {
                        notifier,
                        worker: pid,
                        slot,
                        listener: self
                            .listeners
                            .get(&pid)
                            .copied()
                            .unwrap_or(ListenerId(slot.0)),
                    });
                }
                Event::Woke
            }
            Status::NotIntercepted(errno) => {
                error!(%slot, %pid, error = errno.desc(), "cannot intercept bind, the worker's ports are its own");
                if Status::is_shortage(errno) {
                    // That it cannot bind a port which another has says nothing about the program.
                    Event::Starved { pid }
                } else {
                    Event::Woke
                }
            }
            Status::ExecFailed(errno) if Status::is_shortage(errno) => {
                self.metrics.spawn_failed();
                let cause = Self::shortage(errno);
                warn!(%slot, %pid, error = errno.desc(), %cause, "cannot start the program, will try again");
                self.history.push(format!(
                    "slot {slot}: cannot start a worker: {} ({cause})",
                    errno.desc()
                ));
                self.forget(pid);
                Event::Starved { pid }
            }
            Status::ExecFailed(errno) => {
                let code = Status::exec_code(errno);
                let program = self
                    .config
                    .argv
                    .first()
                    .map(|word| word.to_string_lossy().into_owned());
                let program = program.unwrap_or_default();
                let why = match errno {
                    Errno::ENOENT if program.contains('/') && Path::new(&program).is_file() => {
                        "the file is there, but its interpreter or loader is not found"
                    }
                    Errno::ENOENT | Errno::ENOTDIR => "not found",
                    other => other.desc(),
                };
                error!(%slot, %pid, program, error = why, "cannot execute the program");
                self.history
                    .push(format!("cannot execute {program:?}: {why}"));
                self.forget(pid);
                Event::ExecFailed { pid, code }
            }
            Status::Closed => {
                self.forget(pid);
                self.ask_without_listen(pid);
                Event::Executed { pid }
            }
        }
    }

    /// With activation no `listen` is seen: the question starts with the program.
    fn ask_without_listen(&mut self, pid: Pid) {
        if self
            .sharing
            .as_ref()
            .is_some_and(|sharing| sharing.ask && sharing.filter.is_none())
        {
            self.ask(pid);
        }
    }

    /// The shared ports said something.
    pub(super) fn port_event(&mut self, event: &PortEvent) -> Event {
        if let PortEvent::Stranded { count, .. } = event {
            self.metrics.stranded(u64::from(*count));
            let told = self.told_stranded;
            if told.is_some_and(|told| self.now.since(told) < BETWEEN_STRANDED) {
                return Event::Woke;
            }
            self.told_stranded = Some(self.now);
        }
        Self::narrate_port(event);
        let PortEvent::Listening { worker, .. } = *event else {
            return Event::Woke;
        };
        // It may have died since, and its number must not be taken for its successor's.
        if !self.fleet.workers().any(|(_, pid)| pid == worker) {
            return Event::Woke;
        }
        if self.sharing.as_ref().is_some_and(|sharing| sharing.ask) {
            self.ask(worker);
            return Event::Woke;
        }
        if self.config.ready == crate::config::Ready::Auto
            || self.config.ready == crate::config::Ready::Listen
        {
            return Event::Ready { pid: worker };
        }
        Event::Woke
    }
}
