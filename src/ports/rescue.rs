//! Empties the queue of a worker before its stop signal: a program that calls `shutdown` on its listener when it is told
//! to stop resets every client that waits there (starman, webrick, sanic).

use std::net::TcpStream as StdStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::model::ListenerId;
use crate::policy::handover::PortKey;
use crate::sys::io::{is_nonblocking, set_nonblocking};
use crate::sys::listener;

use super::group::{Group, Listener};
use super::registry::SharedPorts;
use super::stranded::{StrandedRelay, pass_on};

/// How long to look for a live worker. After a restart of all workers the next one may start slowly.
const PATIENCE: Duration = Duration::from_mins(1);

/// Clients wait in the queue of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub connections: u32,
    /// The listener is in blocking mode on some port. The worker shares this mode, so it must not run while the queue is
    /// emptied: its `accept` would fail with EAGAIN.
    pub blocking: bool,
}

impl StrandedRelay {
    /// Accepts what waits in the queues of this listener and passes it on to a live worker. Returns the number of
    /// connections. Call it inside the async runtime.
    pub fn rescue(&self, listener: ListenerId) -> u32 {
        self.pass_waiting(listener, false)
    }

    /// As [`Self::rescue`], for a listener whose worker has ended, and also if no worker is live: the clients wait for the next
    /// one that is. Its successor would accept them as soon as it listens, ready or not.
    pub fn rescue_orphans(&self, listener: ListenerId) -> u32 {
        self.pass_waiting(listener, true)
    }

    fn pass_waiting(&self, listener: ListenerId, always: bool) -> u32 {
        let accepted = self.ports.accept_waiting(listener, self.most, always);
        let passed = accepted
            .into_iter()
            .map(|(key, client)| self.pass(key, client));
        passed.sum()
    }

    /// Passes an accepted client on to a live worker of the port. Returns the number of clients: 1, or 0 if that fails.
    pub(super) fn pass(&self, key: PortKey, client: OwnedFd) -> u32 {
        // Fails only without memory; the client is then reset, as it would be without us.
        let Ok(client) = TcpStream::from_std(StdStream::from(client)) else {
            return 0;
        };
        let (ports, places) = (self.ports.clone(), Arc::clone(&self.shared.places));
        tokio::spawn(async move {
            let _place = places.acquire_owned().await;
            pass_on(ports, key, client, PATIENCE).await;
        });
        1
    }
}

impl SharedPorts {
    /// Who waits in the queues of this listener and would be lost if its worker shut it down. `None`: nobody, or nobody
    /// can be rescued.
    ///
    /// If no worker is live, the next worker serves the queue, so it is left alone, unless a worker of that port has shut
    /// its listener down before.
    pub fn waits(&self, listener: ListenerId) -> Option<Waiting> {
        let state = self.lock();
        let mut waiting = Waiting {
            connections: 0,
            blocking: false,
        };
        for group in state
            .groups
            .iter()
            .filter(|group| group.may_rescue(&state.rotation))
        {
            let Some((one, length)) = group.queue_of(listener) else {
                continue;
            };
            waiting.connections += length;
            waiting.blocking |= is_nonblocking(&one.fd).is_ok_and(|nonblocking| !nonblocking);
        }
        (waiting.connections > 0).then_some(waiting)
    }

    /// Accepts at most `most` connections from the queues of this listener.
    fn accept_waiting(
        &self,
        listener: ListenerId,
        most: usize,
        always: bool,
    ) -> Vec<(PortKey, OwnedFd)> {
        let state = self.lock();
        let mut accepted = Vec::new();
        for group in state
            .groups
            .iter()
            .filter(|group| always && group.steering.is_some() || group.may_rescue(&state.rotation))
        {
            let Some((one, _)) = group.queue_of(listener) else {
                continue;
            };
            let Ok(nonblocking) = is_nonblocking(&one.fd) else {
                continue;
            };
            if !nonblocking && set_nonblocking(&one.fd, true).is_err() {
                continue;
            }
            let clients = listener::accept_waiting(&one.fd, most - accepted.len());
            accepted.extend(clients.into_iter().map(|client| (group.key, client)));
            if !nonblocking {
                // It fails only for a bad descriptor.
                let _ = set_nonblocking(&one.fd, false);
            }
        }
        accepted
    }
}

impl Group {
    /// Whether clients in a queue of this port should be passed on to another worker.
    fn may_rescue(&self, rotation: &crate::policy::Rotation) -> bool {
        self.steering.is_some() && (self.shuts || self.is_served(rotation))
    }

    /// This listener and the length of its queue, if anybody waits there.
    fn queue_of(&self, listener: ListenerId) -> Option<(&Listener, u32)> {
        let one = self.listeners.get(self.number(listener))?;
        let queue = listener::queue(&one.fd).ok()?;
        (queue.listening && queue.length > 0).then_some((one, queue.length))
    }
}
