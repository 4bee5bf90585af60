//! The channels of Node workers: who gets one, and what is heard over them.

mod told;

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, info, warn};

use crate::config::{Config, ForDrain, ForNode, Ready};
use crate::control::protocol::{What, cut};
use crate::log::Log;
use crate::model::{
    Cause, Generation, Pid, ReadyBy, SlotId, Snapshot, WorkerState, WorkerView, worker_vars,
};
use crate::node::{self, Channels, Fault, Member, NodeEvent, Posted, Said};
use crate::policy::Event;
use crate::policy::node::{Program, program};
use crate::sys::channel::Channel;
use crate::sys::inherited::Inherited;
use crate::sys::search;

use super::boot::{BootError, refused};
use super::incoming::Incoming;
use super::ports::Sharing;
use super::report::Events;
use super::worker::Worker;
use super::{Supervisor, environment};

pub(super) use told::{asks, refusal, tell_of_scheduling, warn_of_no_drain};

/// So much of a script is enough to see which program its `#!` line names.
const HEAD: usize = 256;

/// Node reads options from it.
const NODE_OPTIONS: &str = "NODE_OPTIONS";

/// The channels of the workers.
#[derive(Debug)]
pub(super) struct Node {
    channels: Channels,
    /// Workers are told that they are workers of a cluster.
    cluster: bool,
    /// HTTP servers of a draining worker close their connections.
    closes: bool,
    /// The number of the next worker, from 1. Node shows it as `cluster.worker.id`.
    next: u64,
    /// The ready worker of each slot, as the thread was told.
    receivers: Vec<(SlotId, Member)>,
    /// The number of slots, as the thread was told.
    slots: u16,
    /// It was said that the program starts cluster workers by itself.
    told_primary: bool,
}

/// The channel of a worker that is about to be started.
pub(super) struct NewChannel {
    member: Member,
    /// Both ends.
    ends: Channel,
}

impl NewChannel {
    /// The worker's end.
    pub(super) fn theirs(&self) -> &OwnedFd {
        &self.ends.theirs
    }
}

/// What a worker's record has of its channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkerChannel {
    pub(super) member: Member,
    /// It was told that it drains.
    drains: bool,
    /// Why it is not served any more.
    fault: Option<Fault>,
}

/// What the workers' command is, or why they get no channel.
pub(super) fn decide(
    config: &Config,
    env: &[(OsString, OsString)],
) -> Result<Program, &'static str> {
    if config.one_shot() {
        return Err("one worker with RPM_RESTART=never runs as it would without the runtime");
    }
    let kind = match config.node.channel {
        ForNode::Off => return Err("RPM_NODE=off, so workers get no channel"),
        ForNode::On => Program::Script,
        ForNode::Auto => {
            let argv = &config.program.argv;
            let first = argv.first().map_or(OsStr::new(""), OsString::as_os_str);
            let words: Vec<&[u8]> = argv.iter().map(|word| word.as_bytes()).collect();
            program(&words, search::head(first, env, HEAD).as_deref())
        }
    };
    kind.why_no_channel().map_or(Ok(kind), Err)
}

impl Node {
    /// Starts the thread of the channels.
    pub(super) fn start(
        kind: Program,
        config: &Config,
        sharing: Option<&Sharing>,
        (inherited, log, outbox): (Inherited, &Log, &UnboundedSender<Incoming>),
        happened: &Events,
    ) -> Result<Self, BootError> {
        let cluster = kind == Program::Script && sharing.is_some();
        let slots = config.program.instances.get();
        let settings = node::Settings {
            log: log.clone(),
            slots,
            intercom: config.node.intercom,
            ports: sharing.map(|sharing| (sharing.ports.clone(), sharing.server.clone())),
            sees_listen: sharing.is_some_and(|sharing| sharing.filter.is_some()),
            inherited,
        };
        let (outbox, happened) = (outbox.clone(), happened.clone());
        let events = move |event| {
            let incoming = match event {
                NodeEvent::Port(event) => Incoming::Port(event),
                NodeEvent::Worker(member, said) => Incoming::Channel(member, said),
                // Not by the loop: there may be many.
                NodeEvent::Message(slot, pid, text) => {
                    happened.push(What::Message {
                        slot: slot.0,
                        pid: pid.get(),
                        text: cut(text),
                    });
                    return;
                }
            };
            // The loop may have ended.
            drop(outbox.send(incoming));
        };
        let channels = Channels::start(settings, events).map_err(|error| {
            refused(format!(
                "cannot start the thread that serves the channels of Node workers: {error}"
            ))
        })?;
        info!(
            cluster,
            "workers get the channel of a Node worker (RPM_NODE)"
        );
        Ok(Self {
            channels,
            cluster,
            closes: config.node.drain == ForDrain::Close,
            next: 1,
            receivers: Vec::new(),
            slots,
            told_primary: false,
        })
    }

    /// Makes the channel of the next worker and tells the worker of it. `fd`: which descriptor it will be there.
    pub(super) fn prepare(
        &mut self,
        env: &mut Vec<(OsString, OsString)>,
        fd: usize,
        workers: u16,
    ) -> nix::Result<NewChannel> {
        let ends = Channel::new()?;
        let member = Member(self.next);
        self.next += 1;
        let not_ours = |name: &OsString| {
            name == worker_vars::PM2_HOME.name || name == "NODE_CHANNEL_SERIALIZATION_MODE"
        };
        env.retain(|(name, _)| !not_ours(name));
        environment::set(env, worker_vars::NODE_CHANNEL_FD.name, fd.to_string());
        environment::set(env, worker_vars::INSTANCES.name, workers.to_string());
        if self.closes {
            let before = env.iter().find(|(name, _)| name == NODE_OPTIONS);
            let before = before.map_or_else(OsString::new, |(_, value)| value.clone());
            environment::set(env, NODE_OPTIONS, node::options(&before));
        }
        let mode = if self.cluster {
            environment::set(env, worker_vars::NODE_UNIQUE_ID.name, member.0.to_string());
            "cluster_mode"
        } else {
            "fork_mode"
        };
        environment::set(env, worker_vars::EXEC_MODE.name, mode);
        Ok(NewChannel { member, ends })
    }

    /// Serves the channel of a worker that was started.
    pub(super) fn serve(&self, channel: NewChannel, worker: &mut Worker, generation: Generation) {
        let NewChannel { member, ends } = channel;
        worker.channel = Some(WorkerChannel {
            member,
            drains: false,
            fault: None,
        });
        self.channels.serve(node::Worker {
            member,
            pid: worker.id.pid,
            slot: worker.slot,
            generation,
            listener: worker.listener,
            ours: ends.ours,
            theirs: ends.theirs,
        });
    }

    pub(super) fn channels(&self) -> &Channels {
        &self.channels
    }
}

impl Supervisor {
    /// The channel of a worker, and the handle of all channels.
    pub(super) fn channel_of(&self, pid: Pid) -> Option<(&Channels, Member)> {
        let channel = self.workers.get(pid)?.channel?;
        Some((self.node.as_ref()?.channels(), channel.member))
    }

    /// Tells the workers that drain now, each once (RPM_NODE_DRAIN).
    pub(super) fn tell_drains(&mut self) {
        let Some(node) = self.node.as_ref().filter(|node| node.closes) else {
            return;
        };
        let draining = self.fleet.draining(self.now).map(|one| one.pid);
        let stop = self.fleet.stop_drain().into_iter().flatten();
        for pid in draining.chain(stop.map(|(pid, _)| pid)) {
            let worker = self.workers.get_mut(pid);
            let channel = worker.and_then(|worker| worker.channel.as_mut());
            if let Some(channel) = channel.filter(|channel| !channel.drains) {
                channel.drains = true;
                node.channels.drains(channel.member);
            }
        }
    }

    /// The worker is told to stop now.
    pub(super) fn channel_stops(&self, pid: Pid) {
        if let Some((channels, member)) = self.channel_of(pid) {
            channels.stops(member);
        }
    }

    /// Sends the message `shutdown` (RPM_STOP_MESSAGE).
    pub(super) fn send_shutdown(&self, pid: Pid) {
        if let Some((channels, member)) = self.channel_of(pid) {
            channels.shutdown(member);
        }
    }

    /// Sends a line to these workers. `told` is called by the thread of the channels, with what became of it.
    pub(super) fn post(
        &self,
        to: Vec<Member>,
        line: Vec<u8>,
        told: impl FnOnce(Posted) + Send + 'static,
    ) {
        if let Some(node) = &self.node {
            node.channels.post(to, line.into(), told);
        }
    }

    /// The worker has ended.
    pub(super) fn channel_ends(&self, pid: Pid) {
        if let Some((channels, member)) = self.channel_of(pid) {
            channels.ended(member);
        }
    }

    /// Tells the channels which workers are ready.
    pub(super) fn mind_channels(&mut self, seen: &Snapshot) {
        let Some(node) = &mut self.node else { return };
        if node.slots != self.fleet.desired() {
            node.slots = self.fleet.desired();
            node.channels.resize(node.slots);
        }
        let ready = |view: &&WorkerView| view.state == WorkerState::Ready;
        // The successor of a worker last: it is the newer one.
        let views = seen.slots.iter().chain(&seen.rising).filter(ready);
        let mut now = Vec::with_capacity(node.receivers.len());
        for view in views {
            let worker = view.pid.and_then(|pid| self.workers.get(pid));
            if let Some(channel) = worker.and_then(|worker| worker.channel) {
                now.push((view.slot, channel.member));
            }
        }
        if now == node.receivers {
            return;
        }
        for (_, member) in now.iter().filter(|one| !node.receivers.contains(one)) {
            node.channels.ready(*member);
            let of = |worker: &&Worker| worker.channel.is_some_and(|one| one.member == *member);
            let fault = self
                .workers
                .iter()
                .find(of)
                .and_then(|worker| worker.channel?.fault);
            if let Some(fault) = fault {
                // The fleet replaces workers that are ready.
                let again = Incoming::Channel(*member, Said::Fault(fault));
                drop(self.outbox.send(again));
            }
        }
        node.receivers = now;
    }

    /// Something was heard over a channel.
    pub(super) fn heard(&mut self, member: Member, said: Said, events: &mut Vec<Event>) {
        let of = |worker: &&mut Worker| worker.channel.is_some_and(|one| one.member == member);
        let Some(worker) = self.workers.iter_mut().find(of) else {
            return;
        };
        let (pid, slot) = (worker.id.pid, worker.slot.0);
        match said {
            Said::Ready => {
                debug!(slot, pid = pid.get(), "worker says `ready` (process.send)");
                if self.config.life.ready == Ready::Message {
                    let by = ReadyBy::Message;
                    events.push(Event::Ready { pid, by });
                }
            }
            Said::Leaves => events.push(Event::Leaving { pid }),
            Said::Closed => {
                debug!(slot, pid = pid.get(), "worker has closed its Node channel");
                events.push(Event::ChannelClosed { pid });
            }
            Said::Fault(fault) => {
                if worker.told {
                    return;
                }
                let before = worker
                    .channel
                    .as_mut()
                    .and_then(|one| one.fault.replace(fault));
                if before.is_none() {
                    warn!(
                        slot,
                        pid = pid.get(),
                        "the worker {}; replacing it",
                        fault.text()
                    );
                }
                events.push(Event::Unfit {
                    pid,
                    cause: Cause::Unhealthy,
                });
            }
        }
    }
}
