//! Starts a worker: its pipes, its environment, and its descriptors.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::errno::Errno;
use tokio::net::UnixDatagram;
use tracing::{error, info, warn};

use crate::config::LogFormat;
use crate::control::protocol::What;
use crate::log::{self, Stream, Tail};
use crate::model::{Generation, ListenerId, Pid, PortId, SlotId, worker_vars};
use crate::policy::Event;
use crate::policy::handover::PortRule;
use crate::sys::io::OutputPipe;
use crate::sys::pid1::{self, Role};
use crate::sys::spawn::{Plan, Spawned, Stdin, spawn};

use super::worker::Worker;
use super::{Supervisor, environment};

impl Supervisor {
    pub(super) fn start(
        &mut self,
        slot: SlotId,
        listener: ListenerId,
        generation: Generation,
    ) -> Event {
        match self.spawn(slot, listener, generation) {
            Ok((pid, port)) => {
                self.events.push(What::Started {
                    slot: slot.0,
                    pid: pid.get(),
                    generation: generation.0,
                });
                Event::Spawned {
                    slot,
                    listener,
                    pid,
                    port,
                    channel: self.node.is_some(),
                }
            }
            Err(errno) => {
                self.metrics.spawn_failed();
                let cause = Self::shortage(errno);
                error!(slot = slot.0, error = errno.desc(), %cause, "cannot start a worker");
                self.reporter.remember(format!(
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
    ) -> nix::Result<(Pid, Option<PortId>)> {
        let config = Arc::clone(&self.config);
        let inherit = config.log.format == LogFormat::Inherit;
        let alone = config.program.instances.get() == 1;
        let pipes = if inherit {
            None
        } else {
            Some((OutputPipe::new()?, OutputPipe::new()?))
        };
        let handed = match &self.sharing {
            Some(sharing) if sharing.activation => sharing.ports.activation(listener)?,
            Some(_) | None => Vec::new(),
        };
        let activation: Vec<(BorrowedFd<'_>, String)> = handed
            .iter()
            .map(|(fd, name)| (fd.as_fd(), name.clone()))
            .collect();
        let file = config.program.env_file.as_deref();
        let base = self.environment.read(file, generation);
        let workers = self.fleet.desired();
        let mut env = environment::build(&base, &config, slot, generation, workers);
        if let Some((name, value)) = self.app_metrics.variable() {
            environment::set(&mut env, name, value);
        }
        let notify = self.notify_socket().map(|(notify, name)| {
            environment::set(&mut env, worker_vars::NOTIFY_SOCKET.name, name);
            // It contains the PID of the watched process, which was the runtime's own.
            env.retain(|(name, _)| name != "WATCHDOG_PID");
            notify
        });
        let sharing = self.sharing.as_ref();
        let sees = sharing.is_some_and(|sharing| sharing.ports.sees_connections());
        let node = self.node.as_mut();
        let channel = node.map(|node| node.prepare(&mut env, 3 + activation.len(), workers));
        let channel = channel.transpose()?;
        let one_shot = config.one_shot();
        let terminal = std::io::stdin().is_terminal();
        let foreground = alone && (inherit || one_shot) && terminal;
        let plan = Plan {
            argv: &config.program.argv,
            env: &env,
            // A background worker that reads from the terminal would be stopped (SIGTTIN).
            stdin: if alone && (!terminal || foreground) {
                Stdin::Inherit
            } else {
                Stdin::Null
            },
            output: pipes
                .as_ref()
                .map(|(out, err)| (out.write.as_fd(), err.write.as_fd())),
            activation: &activation,
            channel: channel.as_ref().map(|channel| channel.theirs().as_fd()),
            filter: self
                .sharing
                .as_ref()
                .and_then(|sharing| sharing.filter_of_the_next(sees)),
            death_signal: config
                .signals
                .pdeathsig
                .filter(|_| self.host.role != Role::Init),
            file_limit: self.host.files.map(|files| files.original),
            oom_score_adj: self.host.oom_score_adj,
            foreground,
            keep_inherited: one_shot,
        };
        let Spawned { pid, status } = spawn(&plan)?;
        let port = environment::port(&env).map(|port| port.to_string());
        let expects = self.observation.sees_listen && config.ports.shared == PortRule::Any;
        let port = port.filter(|_| expects);
        let port = port.and_then(|name| self.port_id(&name));
        let id = self.workers.identify(pid);
        let mut worker = Worker::new(id, slot);
        if let Some(sharing) = &self.sharing {
            sharing.ports.occupy(listener, pid);
            if sees {
                sharing.ports.sees_connections_of(pid);
            }
            worker.listener = Some(listener);
        }
        if let Some((node, channel)) = self.node.as_ref().zip(channel) {
            node.serve(channel, &mut worker, generation);
        }
        worker.notify = notify.map(|notify| self.listen_to(id, notify));
        self.tell_started(&worker, generation, &env, !activation.is_empty());
        if let Some(pipes) = pipes {
            self.read_output(&mut worker, generation, pipes);
        }
        match UnixDatagram::from_std(status.into()) {
            Ok(status) => worker.start = Some(self.watch_start(id, status)),
            // The worker runs, but its status messages are lost. It is stopped if it does not become ready.
            Err(error) => {
                warn!(slot = slot.0, pid = pid.get(), %error, "cannot watch the start of a worker");
            }
        }
        self.workers.insert(worker);
        Ok((pid, port))
    }

    /// Tells people of a new worker, before its output is read, so that its first line comes later. `handed`: it
    /// gets descriptors, and variables that announce them.
    fn tell_started(
        &self,
        worker: &Worker,
        generation: Generation,
        env: &[(OsString, OsString)],
        handed: bool,
    ) {
        let (slot, pid) = (worker.slot.0, worker.id.pid);
        let (raw, generation) = (pid.get(), generation.0);
        info!(slot, pid = raw, generation, "worker started");
        let announces = |name: &&OsStr| worker_vars::ACTIVATION.iter().any(|var| *name == var.name);
        let own = env.iter().map(|(name, _)| name.as_os_str());
        let own = own.filter(|name| !announces(name));
        let [fds, of, names, _] = worker_vars::ACTIVATION.map(|var| OsStr::new(var.name));
        let handed = [fds, of, names].into_iter().filter(|_| handed);
        self.lives.started(pid, own.chain(handed));
    }

    /// Reads from now on what a worker writes.
    fn read_output(
        &self,
        worker: &mut Worker,
        generation: Generation,
        (out, err): (OutputPipe, OutputPipe),
    ) {
        let writer = log::WorkerLabel {
            slot: worker.slot,
            generation,
            pid: worker.id.pid,
        };
        self.log.attach(writer, Stream::Stdout, out.read, None);
        let tail = Tail::default();
        worker.tail = Some(tail.clone());
        self.log
            .attach(writer, Stream::Stderr, err.read, Some(tail));
    }

    /// Describes the resource that the system lacks.
    pub(super) fn shortage(errno: Errno) -> String {
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
}
