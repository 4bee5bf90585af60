//! Listeners for programs that ask for one by a message, instead of binding a socket: the workers of Node's cluster.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use nix::errno::Errno;

use crate::model::{ListenerId, Pid, SlotId};
use crate::policy::handover::{PortKey, PortRule, Transport};
use crate::policy::unix::Endpoint;
use crate::sys::{datagram, listener};

use super::group::Group;
use super::registry::{SharedPorts, State};
use super::told::Options;
use super::{PortEvent, TrappedWorker};

/// Attempts to find a free port. Another process may take it before it is ours.
const ATTEMPTS: u32 = 16;

/// A worker that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The worker.
    pub worker: Pid,
    /// Its slot.
    pub slot: SlotId,
    /// The listener that it serves.
    pub listener: ListenerId,
}

impl From<&TrappedWorker> for Asker {
    fn from(trapped: &TrappedWorker) -> Self {
        Self {
            worker: trapped.worker,
            slot: trapped.slot,
            listener: trapped.listener,
        }
    }
}

/// A listener that was given to a worker.
#[derive(Debug)]
pub struct Given {
    /// In non-blocking mode.
    pub fd: OwnedFd,
    /// The port or path.
    pub key: Endpoint,
    /// What is to be told to the event loop.
    pub events: Vec<PortEvent>,
}

/// Where a worker wants to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// TCP or UDP.
    pub transport: Transport,
    /// `None`: all addresses of both families, or all IPv4 addresses where there is no IPv6. Port 0: any free port.
    pub addr: Option<SocketAddr>,
    /// The port, if there is no address.
    pub port: u16,
    /// IPV6_V6ONLY.
    pub v6only: bool,
}

impl SharedPorts {
    /// Gives a worker its listener of this port, and opens the port if needed. It is shared whatever RPM_PORTS says: the
    /// program asks to share it. Fails with EADDRINUSE, EACCES, EADDRNOTAVAIL or EMFILE, and with ESHUTDOWN when the stop
    /// has begun.
    pub fn ask(&self, wanted: Wanted, asker: Asker) -> nix::Result<Given> {
        let Wanted {
            transport,
            addr,
            port,
            v6only,
        } = wanted;
        if let Some(addr) = addr {
            return self.ask_at(transport, addr, v6only, asker);
        }
        let [v6, v4] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()]
            .map(|ip| SocketAddr::new(ip, port));
        match self.ask_at(transport, v6, v6only, asker) {
            Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => {
                self.ask_at(transport, v4, false, asker)
            }
            given => given,
        }
    }

    fn ask_at(
        &self,
        transport: Transport,
        addr: SocketAddr,
        v6only: bool,
        asker: Asker,
    ) -> nix::Result<Given> {
        if addr.port() != 0 {
            return self.ask_key(PortKey::new(addr, v6only).over(transport), asker);
        }
        let mut attempt = 1;
        loop {
            let free = match transport {
                Transport::Tcp => listener::bound(addr, v6only, false)?,
                Transport::Udp => datagram::bound(addr, v6only, false)?,
            };
            let port = listener::local_addr(&free)?.port();
            drop(free);
            let key = PortKey::new(SocketAddr::new(addr.ip(), port), v6only).over(transport);
            match self.ask_key(key, asker) {
                Err(Errno::EADDRINUSE) if attempt < ATTEMPTS => attempt += 1,
                given => return given,
            }
        }
    }

    /// As [`Self::ask`], for a port that is known already.
    pub fn ask_key(&self, key: PortKey, asker: Asker) -> nix::Result<Given> {
        if !self.lock().may_ask(key) {
            return Err(Errno::EMFILE);
        }
        let mut events = Vec::new();
        let as_is = (true, &Options::default());
        let handed = match self.hand(key, asker.listener, as_is, &mut events) {
            Err(Errno::EDQUOT) => return Err(Errno::EMFILE),
            Err(Errno::EBUSY) => return Err(Errno::EADDRINUSE),
            handed => handed?.ok_or(Errno::ESHUTDOWN)?,
        };
        if handed.opened {
            let mut listeners = 0;
            self.each_listener(key, |_| listeners += 1);
            let key = key.into();
            events.push(PortEvent::Opened { key, listeners });
        }
        events.extend(self.taken(key, asker.listener, asker.worker));
        let (worker, slot) = (asker.worker, asker.slot);
        events.push(PortEvent::Taken {
            worker,
            slot,
            key: key.into(),
        });
        Ok(Given {
            fd: handed.fd,
            key: key.into(),
            events,
        })
    }

    /// A worker has closed its listener of this port and lives on: it gets no new connections there. What waits in its
    /// queue is passed on to others at the next call of [`super::StrandedRelay::idle`]. If no worker is left that listens
    /// there or may come to it, the port is closed unless RPM_PORTS lists it, so that clients are refused as they would be
    /// without the runtime.
    pub fn leave_port(&self, key: &Endpoint, asker: Asker) -> Vec<PortEvent> {
        self.leaves(key, asker, true)
    }

    /// As [`Self::leave_port`], but the port stays open: the program may listen there again.
    pub fn leave_open_port(&self, key: &Endpoint, asker: Asker) -> Vec<PortEvent> {
        self.leaves(key, asker, false)
    }

    fn leaves(&self, key: &Endpoint, asker: Asker, may_close: bool) -> Vec<PortEvent> {
        let mut state = self.lock();
        let state = &mut *state;
        let (listener, worker) = (asker.listener, asker.worker);
        if state.present.get(&listener) != Some(&worker) {
            return Vec::new();
        }
        let mut events = Vec::new();
        let mut last = false;
        let closes = may_close
            && match key {
                Endpoint::Port(key) => !state.settings.rule.is_listed(key),
                Endpoint::Unix(_) => state.settings.rule == PortRule::Any,
            };
        match key {
            Endpoint::Unix(path) => last = state.unix.leave(path, (listener, worker), closes),
            Endpoint::Port(key) if key.transport == Transport::Udp => {
                let now = state.clock.now();
                let group = state.datagrams.iter_mut().find(|group| group.key == *key);
                let Some(group) = group else {
                    return Vec::new();
                };
                group.release(listener, now);
                group.steer_or_tell(&state.rotation, &mut events);
            }
            Endpoint::Port(key) => {
                let at = state.groups.iter().position(|group| group.key == *key);
                let Some((at, group)) = at.and_then(|at| Some((at, state.groups.get_mut(at)?)))
                else {
                    return Vec::new();
                };
                group.leave(listener);
                // A worker that had it and was started again comes to it.
                let comes = |one: &ListenerId| group.was_had(*one) && !group.has_left(*one);
                let nobody = !group.is_held() && !state.present.keys().any(comes);
                last = closes && nobody && group.steering.is_some();
                if last {
                    state.groups.remove(at).close();
                } else if let Err(errno) = group.steer(&state.rotation) {
                    events.push(PortEvent::steering_failed(*key, errno));
                }
            }
        }
        events.push(PortEvent::Left {
            worker,
            slot: asker.slot,
            key: key.clone(),
            last,
        });
        events
    }
}

impl State {
    /// Whether this port is shared already, or may be.
    fn may_ask(&self, key: PortKey) -> bool {
        let ports = self.groups.iter().map(|group| group.key);
        let mut all = ports.chain(self.datagrams.iter().map(|group| group.key));
        all.any(|known| known == key) || self.may_grow()
    }
}

impl Group {
    /// The worker of this listener has closed it and lives on.
    fn leave(&mut self, listener: ListenerId) {
        self.release(listener);
        let number = self.number(listener);
        let own = self.listeners.get_mut(number);
        if let Some(one) = own.filter(|_| self.steering.is_some()) {
            one.left = true;
        }
    }

    /// Whether a worker has or had this listener.
    fn was_had(&self, listener: ListenerId) -> bool {
        let one = self.listeners.get(self.number(listener));
        one.is_some_and(|one| one.ever)
    }

    /// Whether the worker of this listener has closed it and has not taken it again.
    fn has_left(&self, listener: ListenerId) -> bool {
        let one = self.listeners.get(self.number(listener));
        one.is_some_and(|one| one.left && !one.taken)
    }
}
