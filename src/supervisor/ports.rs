//! Opens the listed shared ports and starts the handover.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::errno::Errno;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::drain::Frozen;
use crate::model::{ListenerId, Pid, PortId, Tick};
use crate::policy::handover::{PortKey, PortRule, PortSpec};
use crate::policy::{Rotation, Standstill};
use crate::ports::{
    self, Balancer, BindServer, Holder, PortEvent, SharedPorts, Steering, StrandedRelay,
};
use crate::sys::intercept::{Extra, Filter};
use crate::sys::pid1::FileLimit;

use super::Supervisor;
use super::boot::{BootError, refused};
use super::connections::census;
use super::handover::{Means, open_paths};
use super::incoming::Incoming;
use super::port_events::Lines;
use super::port_lines::log_event;

/// Shortest time between two log lines about stranded connections; all are counted.
const BETWEEN_STRANDED: std::time::Duration = std::time::Duration::from_mins(1);

/// When the clients in the queue of a worker are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// It drains and accepts nobody. It may be busy with a request, so it is not suspended: system calls of it could fail
    /// with EINTR.
    Stall,
    /// It is about to be told to stop.
    End,
}

/// The shared ports and their handover.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) ports: SharedPorts,
    pub(super) server: BindServer,
    /// With interception.
    pub(super) filter: Option<Filter>,
    /// Workers get their listeners by LISTEN_FDS.
    pub(super) activation: bool,
    /// The one that traps `connect` too.
    seeing_connections: Filter,
    stranded_relay: Option<StrandedRelay>,
    /// The balance must be started with the second worker.
    balance: bool,
    /// The listeners that get new connections.
    rotation: Rotation,
    /// The runtime has closed its copies of the listeners, so a listener closes when its worker closes it.
    let_go: bool,
    /// Time of the last log line about stranded connections.
    told_stranded: Option<Tick>,
    /// Slots without a worker, whose clients are passed on after a short time.
    standstill: Standstill,
    /// Which of the lines are written that workers cause.
    pub(super) lines: Lines,
}

pub(super) fn share(
    config: &Config,
    means: Means,
    (steering, listeners, files): (Option<Steering>, u16, Option<&FileLimit>),
    outbox: &UnboundedSender<Incoming>,
) -> Result<Sharing, BootError> {
    let activation = matches!(means, Means::Activation);
    let filter = match means {
        Means::Interception(filter) => Some(filter),
        Means::Channel | Means::Activation | Means::Nothing => None,
    };
    let keys: Vec<(PortKey, bool)> = match &config.ports.shared {
        PortRule::Any | PortRule::Nothing => Vec::new(),
        PortRule::Listed(list) => list
            .iter()
            .map(|spec| (listed_key(*spec, list), spec.ip.is_none()))
            .collect(),
    };
    let descriptors = files.map_or(1024, |files| {
        usize::try_from(files.current).unwrap_or(usize::MAX)
    });
    let settings = ports::PortSettings {
        descriptors,
        slots: config.program.instances.get(),
        listeners,
        backlog: config.ports.backlog,
        rule: config.ports.shared.clone(),
        steering,
    };
    let ports = SharedPorts::new(settings);
    let teller = outbox.clone();
    ports.report_moves(move |event| drop(teller.send(Incoming::Port(event))));
    let outbox = outbox.clone();
    let server = BindServer::start(ports.clone(), config.life.ready_timeout, move |event| {
        if matches!(event, PortEvent::Unregistered { .. }) {
            // The worker may end of it, and the runtime with it, before the loop reads its inbox.
            log_event(&event, None);
        } else {
            drop(outbox.send(Incoming::Port(event)));
        }
    })
    .map_err(|error| {
        refused(format!(
            "cannot start the thread that hands listeners over: {error}"
        ))
    })?;
    for (key, bare) in keys {
        let key = open_listed(&ports, key, bare)?;
        info!(port = %key, "sharing a port (RPM_PORTS); clients wait until a worker serves");
    }
    open_paths(config, &server, !activation);
    Ok(Sharing {
        ports,
        server,
        filter,
        activation,
        seeing_connections: Filter::new(Extra {
            removals: true,
            connects: true,
        }),
        stranded_relay: None,
        // A single worker needs no balance; it starts with the first worker that is added.
        balance: steering.is_some_and(|steering| steering.balance.watches_queues()),
        rotation: Rotation::default(),
        let_go: false,
        told_stranded: None,
        standstill: Standstill::default(),
        lines: Lines::default(),
    })
}

impl Sharing {
    /// The filter of the next worker. `None` with activation. `sees`: its connections to unix paths are to be seen.
    pub(super) fn filter_of_the_next(&self, sees: bool) -> Option<&Filter> {
        let filter = self.filter.as_ref()?;
        Some(if sees {
            &self.seeing_connections
        } else {
            filter
        })
    }

    /// Closes the runtime's copies of the listeners, once.
    pub(super) fn let_go(&mut self) {
        if !self.let_go {
            self.let_go = true;
            self.ports.let_go();
        }
    }

    /// When the clients of the next slot without a worker are to be passed on.
    pub(super) fn deadline(&self, now: Tick) -> Option<Tick> {
        self.standstill.deadline(now).filter(|_| !self.let_go)
    }

    /// Whether stranded connections were logged recently. If not, marks them as logged now.
    pub(super) fn told_stranded_before(&mut self, now: Tick) -> bool {
        let lately = |told| now.since(told) < BETWEEN_STRANDED;
        if self.told_stranded.is_some_and(lately) {
            return true;
        }
        self.told_stranded = Some(now);
        false
    }
}

/// A bare port means all addresses of both families. So does `[::]`, unless `0.0.0.0` is listed too.
fn listed_key(spec: PortSpec, list: &[PortSpec]) -> PortKey {
    let Some(ip) = spec.ip else {
        return PortKey::dual_stack(spec.port.get()).over(spec.transport);
    };
    let v4_beside = list.iter().any(|other| {
        (other.transport, other.port) == (spec.transport, spec.port)
            && other.ip == Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    });
    PortKey::new(SocketAddr::new(ip, spec.port.get()), v4_beside).over(spec.transport)
}

/// `bare`: the port is listed without an address.
fn open_listed(ports: &SharedPorts, key: PortKey, bare: bool) -> Result<PortKey, BootError> {
    let outcome = match ports.open(key) {
        // IPv6 is not available here, so all addresses means all IPv4 addresses.
        Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if bare => {
            let v4 = PortKey::new(
                SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), key.addr.port()),
                false,
            )
            .over(key.transport);
            ports.open(v4).map(|()| v4)
        }
        other => other.map(|()| key),
    };
    outcome.map_err(|errno| {
        if errno == Errno::EADDRINUSE {
            let holder = Holder::of(&key).map(|holder| format!(" ({holder})"));
            return refused(format!(
                "cannot open the shared port {key} of RPM_PORTS: another process has this port{}",
                holder.unwrap_or_default()
            ));
        }
        let hint = match errno {
            Errno::EACCES => {
                " (ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE)"
            }
            Errno::EADDRNOTAVAIL => " (the address is not of this host)",
            Errno::EMFILE => " (RLIMIT_NOFILE is too low for a listener for each worker)",
            _ => "",
        };
        refused(format!(
            "cannot open the shared port {key} of RPM_PORTS: {}{hint}",
            errno.desc()
        ))
    })
}

impl Supervisor {
    /// Tells the shared ports which listeners no worker uses, and starts the balance when there is more than one
    /// worker.
    pub(super) fn mind_listeners(&mut self) {
        let Some(sharing) = &mut self.sharing else {
            return;
        };
        let outbox = self.outbox.clone();
        let events = move |event| drop(outbox.send(Incoming::Port(event)));
        if sharing.balance && self.fleet.desired() > 1 {
            sharing.balance = false;
            let census = census(&sharing.ports, &self.snapshot);
            if let Err(error) = Balancer::start(&sharing.ports, events.clone(), census) {
                warn!(%error, "cannot start the thread that balances (RPM_BALANCE); connections go to random workers");
            }
        }
        sharing.standstill.update(self.now, &self.fleet.unserved());
        let mut idle = self.fleet.idle();
        idle.extend(sharing.standstill.due(self.now));
        let ports = &sharing.ports;
        sharing
            .stranded_relay
            .get_or_insert_with(|| StrandedRelay::new(ports.clone(), events))
            .idle(&idle);
    }

    /// Passes the clients in the queue of a worker on to a live one. Call it when the worker gets no new connections and
    /// does not empty its queue, or will not: before its stop signal, because it may shut its listener down.
    pub(super) fn rescue_queue(&self, pid: Pid, moment: Moment) {
        let worker = self.workers.get(pid);
        let Some((worker, sharing)) = worker.zip(self.sharing.as_ref()) else {
            return;
        };
        let (Some(listener), Some(relay)) = (worker.listener, &sharing.stranded_relay) else {
            return;
        };
        // In the stop there is no other worker.
        let waiting = sharing.ports.waits(listener);
        let Some(waiting) = waiting.filter(|_| !self.fleet.stopping()) else {
            return;
        };
        let stalls = moment == Moment::Stall;
        if waiting.blocking && stalls && !Frozen::is_already(pid) {
            debug!(
                slot = worker.slot.0,
                pid = pid.get(),
                connections = waiting.connections,
                "clients wait for a draining worker that may be busy; it is not suspended to pass them on"
            );
            return;
        }
        // Who is stopped already is not ours to continue.
        let paused = (waiting.blocking && !stalls).then(|| Frozen::pause(pid));
        if paused.as_ref().is_some_and(Option::is_none) {
            warn!(
                slot = worker.slot.0,
                pid = pid.get(),
                connections = waiting.connections,
                "cannot suspend a worker to rescue the clients in its queue; they are lost if it shuts its listener down"
            );
            return;
        }
        let connections = relay.rescue(listener);
        drop(paused);
        self.metrics.stranded(u64::from(connections));
        info!(
            slot = worker.slot.0,
            pid = pid.get(),
            connections,
            "clients still waited for a worker that is to stop; passing them on to a live one"
        );
    }

    /// A worker has ended. If workers listen before they are ready, who waits in its queue is passed on to a ready one now or
    /// later: the successor would answer before it is ready.
    pub(super) fn rescue_orphans(&self, listener: ListenerId) {
        let Some(sharing) = self.sharing.as_ref().filter(|sharing| !sharing.let_go) else {
            return;
        };
        let Some(relay) = &sharing.stranded_relay else {
            return;
        };
        if !self.observation.listens_first() || self.fleet.stopping() {
            return;
        }
        let connections = relay.rescue_orphans(listener);
        if connections > 0 {
            self.metrics.stranded(u64::from(connections));
            info!(
                listener = listener.0,
                connections,
                "clients waited for a worker that has ended; passing them on to a ready one"
            );
        }
    }

    /// Steers new connections to the workers that serve now.
    pub(super) fn steer(&mut self) {
        let Some(sharing) = &mut self.sharing else {
            return;
        };
        let rotation = self.fleet.rotation();
        if !sharing.let_go && rotation != sharing.rotation {
            sharing.rotation.clone_from(&rotation);
            let except = rotation.apart.and_then(|apart| apart.except);
            let except = except.map(|port| self.port_table.name(port).to_owned());
            for event in sharing.ports.steer(rotation, except) {
                log_event(&event, None);
            }
        }
    }

    /// Looks at the listeners of a worker that has become ready.
    pub(super) fn check_listeners(&self, pid: Pid) {
        let Some(sharing) = &self.sharing else { return };
        // A program that takes its descriptor by activation has called listen with its own backlog.
        if sharing.activation {
            sharing.ports.restore_backlog();
        }
        // Without the filter no `bind` is seen, so that one was not seen says nothing.
        if sharing.filter.is_some() {
            sharing.server.look_at_sockets(pid);
        }
    }

    /// Closes the ports that no worker binds any more.
    pub(super) fn close_abandoned_ports(&self) {
        let Some(sharing) = &self.sharing else { return };
        let Some(relay) = &sharing.stranded_relay else {
            return;
        };
        for closed in relay.close_abandoned() {
            let port = closed.key;
            if let Some(heir) = closed.heir {
                let passed_on = closed.passed_on;
                self.metrics.stranded(u64::from(passed_on));
                info!(%port, %heir, passed_on, "no worker binds this port any more, closing it; clients that waited are passed on to the other one");
            } else {
                warn!(%port, "no worker binds this port any more, closing it");
            }
        }
        for port in sharing.ports.close_abandoned_datagrams() {
            warn!(%port, "no worker binds this port any more, closing it");
        }
        for port in sharing.ports.close_abandoned_paths() {
            warn!(%port, "no worker binds this path any more, closing it");
        }
    }

    /// The number of a port; `None` if too many are in use.
    pub(super) fn port_id(&mut self, name: &str) -> Option<PortId> {
        self.port_table.id(name, || self.fleet.ports_in_use())
    }
}
