//! Relays stranded connections: they arrive on a listener that has no worker and gets none soon, because a handshake
//! completed late or because a worker was killed with connections in its queue. The runtime accepts them and forwards
//! the data over a new connection to the same port, which reaches a live worker.
//!
//! Another thread may hand out a listener at any moment. So accepting happens under the same lock as handing out, and
//! only while our claim stands. The thread that hands out a listener first takes the claim away and then sets
//! O_NONBLOCK as the program needs it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use crate::model::ListenerId;
use crate::policy::Rotation;
use crate::policy::handover::PortKey;
use crate::sys::io::set_nonblocking;
use crate::sys::listener;

use super::PortEvent;
use super::group::Group;
use super::registry::SharedPorts;
use super::relay::relay;

/// Most connections that are forwarded at the same time, if the descriptor limit allows.
const MOST: usize = 4096;

/// A connection without traffic for this time is closed.
const IDLE: Duration = Duration::from_hours(1);

/// How long to look for a live worker before the client's connection is reset.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shortest and longest pause between two attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// Accepts stranded connections and forwards them.
pub struct StrandedRelay {
    pub(super) ports: SharedPorts,
    pub(super) shared: Arc<Shared>,
    /// Most connections that are forwarded at the same time.
    pub(super) most: usize,
}

pub(super) struct Shared {
    /// One permit for each forwarded connection.
    pub(super) places: Arc<Semaphore>,
    events: Box<dyn Fn(PortEvent) + Send + Sync>,
}

impl fmt::Debug for StrandedRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StrandedRelay").finish_non_exhaustive()
    }
}

/// A claimed listener: its port, its number, whether clients wait there for a ready worker, a copy, the end of the claim.
type Claim = (PortKey, (ListenerId, bool), OwnedFd, oneshot::Receiver<()>);

/// A listener on which we accept.
struct Claimed {
    ports: SharedPorts,
    shared: Arc<Shared>,
    key: PortKey,
    number: ListenerId,
    /// It is the anteroom.
    waited: bool,
    listener: TcpListener,
    /// Completes when the claim ends.
    claim: oneshot::Receiver<()>,
    /// Accepted connections that were not reported yet.
    count: u32,
}

impl StrandedRelay {
    /// `events` receives [`PortEvent::Stranded`].
    pub fn new(ports: SharedPorts, events: impl Fn(PortEvent) + Send + Sync + 'static) -> Self {
        // A forwarded connection uses two descriptors; enough must remain for starting workers.
        let most = (ports.lock().settings.descriptors / 4).clamp(1, MOST);
        let shared = Shared {
            places: Arc::new(Semaphore::new(most)),
            events: Box::new(events),
        };
        Self {
            ports,
            shared: Arc::new(shared),
            most,
        }
    }

    /// Names all listeners whose queues no worker serves now or soon; those of workers that have bound the port are left
    /// to them. Call it after each change and whenever a worker could
    /// not be started; repeating it costs little. Call it inside the async runtime.
    pub fn idle(&self, listeners: &[ListenerId]) {
        for (key, client) in self.ports.take_clients() {
            self.pass(key, client);
        }
        for (key, (number, waited), fd, claim) in self.ports.claim(listeners) {
            // Fails only without memory. The claim then ends, and the next call tries again.
            let Ok(listener) = TcpListener::from_std(fd.into()) else {
                continue;
            };
            let claimed = Claimed {
                ports: self.ports.clone(),
                shared: Arc::clone(&self.shared),
                key,
                number,
                waited,
                listener,
                claim,
                count: 0,
            };
            tokio::spawn(claimed.run());
        }
    }
}

impl Claimed {
    async fn run(mut self) {
        while let Some(accepted) = self.accept().await {
            let Ok(client) = accepted else {
                // No descriptor is left, or the listener is being repaired.
                if unless_over(&mut self.claim, sleep(PAUSE.1)).await.is_none() {
                    break;
                }
                continue;
            };
            self.count += 1;
            let mut place = Box::pin(Arc::clone(&self.shared.places).acquire_owned());
            let got = unless_over(&mut self.claim, place.as_mut()).await;
            let over = got.is_none();
            let (ports, key) = (self.ports.clone(), self.key);
            tokio::spawn(async move {
                let _place = match got {
                    Some(place) => place,
                    // The connection is accepted already, so it must be served even though the claim ended.
                    None => place.await,
                };
                pass_on(ports, key, client, PATIENCE).await;
            });
            if over {
                break;
            }
        }
        self.tell();
    }

    /// The next connection; `None` when the claim has ended.
    async fn accept(&mut self) -> Option<io::Result<TcpStream>> {
        poll_fn(|cx| {
            let polled = {
                let _state = self.ports.lock();
                if Pin::new(&mut self.claim).poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                // A process that a worker left behind may have the listener too and clear the flag; our accept must
                // never block.
                match set_nonblocking(&self.listener, true) {
                    Ok(()) => self.listener.poll_accept(cx),
                    Err(errno) => Poll::Ready(Err(errno.into())),
                }
            };
            if polled.is_pending() {
                self.tell();
            }
            Poll::Ready(Some(ready!(polled).map(|(client, _)| client)))
        })
        .await
    }

    fn tell(&mut self) {
        let count = std::mem::take(&mut self.count);
        if count > 0 {
            let (key, listener) = (self.key, self.number);
            (self.shared.events)(PortEvent::Stranded {
                key,
                listener,
                count,
                waited: self.waited,
            });
        }
    }
}

/// The output of the future; `None` if the claim ends first.
async fn unless_over<F: Future>(claim: &mut oneshot::Receiver<()>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if Pin::new(&mut *claim).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

pub(super) async fn pass_on(
    ports: SharedPorts,
    key: PortKey,
    client: TcpStream,
    patience: Duration,
) {
    let server = timeout(patience, reach(&ports, key, &client)).await;
    match server {
        Ok(Some(server)) => relay(client, server, IDLE).await,
        Ok(None) | Err(_) => {
            // Nothing of the client's request was read, so reset: an orderly close would look like an answer.
            let _ = client.set_zero_linger();
        }
    }
}

/// Connects to a live worker. `None` if the port is no longer shared. Connects to the address that the client used: so
/// our source is an address of this host, and a loopback address only if the client used one too. A program may trust
/// such addresses.
async fn reach(ports: &SharedPorts, key: PortKey, client: &TcpStream) -> Option<TcpStream> {
    let mut target = client.local_addr().ok()?;
    if let IpAddr::V4(ip) = target.ip().to_canonical() {
        target = SocketAddr::new(ip.into(), target.port());
    }
    let mut pause = PAUSE.0;
    loop {
        // Without a live worker, the connection would strand again.
        if ports.is_served(key)?
            && let Ok(server) = TcpStream::connect(target).await
        {
            return Some(server);
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

impl Group {
    /// A worker will get the listener, or gets it now (`handed`): from now on we accept nothing there.
    pub fn reclaim(&mut self, listener: ListenerId, handed: bool) {
        let number = self.number(listener);
        if let Some(listener) = self.listeners.get_mut(number) {
            listener.claim = None;
            listener.handed |= handed;
            listener.left = false;
        }
    }

    /// Whether a worker serves new connections.
    pub fn is_served(&self, rotation: &Rotation) -> bool {
        let mut live = rotation.live.iter();
        live.any(|listener| self.taken(*listener) && self.order.contains(self.number(*listener)))
    }
}

impl SharedPorts {
    /// Whether a live worker serves this port. `None` if the port is no longer shared.
    fn is_served(&self, key: PortKey) -> Option<bool> {
        let state = self.lock();
        let group = state.groups.iter().find(|group| group.key == key)?;
        Some(group.is_served(&state.rotation))
    }

    /// Claims the idle listeners that listen and are not claimed yet. Ends the claims on all others.
    fn claim(&self, idle: &[ListenerId]) -> Vec<Claim> {
        let mut state = self.lock();
        let state = &mut *state;
        let mut claimed = Vec::new();
        for group in &mut state.groups {
            // A common socket is never idle.
            if group.steering.is_none() {
                continue;
            }
            let served = group.is_served(&state.rotation);
            for (number, one) in group.listeners.iter_mut().enumerate() {
                let Ok(id) = u16::try_from(number).map(ListenerId) else {
                    break;
                };
                // What waits for a ready worker must not be accepted before there is one.
                let early = one.apart && !served;
                // A worker that has not bound the port yet serves nobody there.
                let has_worker = one.handed && state.present.contains_key(&id);
                let ours = (idle.contains(&id) || one.left) && !has_worker && !early;
                if !ours {
                    one.claim = None;
                    continue;
                }
                let standing = one.claim.as_ref().is_some_and(|claim| !claim.is_closed());
                if standing || !listener::queue(&one.fd).is_ok_and(|queue| queue.listening) {
                    continue;
                }
                // If this fails for lack of descriptors, the next call tries again.
                let copy =
                    set_nonblocking(&one.fd, true).and_then(|()| listener::duplicate(&one.fd));
                if let Ok(fd) = copy {
                    let (sender, receiver) = oneshot::channel();
                    one.claim = Some(sender);
                    claimed.push((group.key, (id, one.apart), fd, receiver));
                }
            }
        }
        claimed
    }
}

#[cfg(test)]
mod tests;
