//! Connections that strand: they come to a listener that has no worker and gets none soon, because a handshake ended
//! late, or because a worker had to be killed with clients in its queue. We accept them ourselves, and pass on what is
//! said over a new connection to the same port, which reaches a live worker.
//!
//! A listener may be handed out by another thread at any moment. So it is accepted on under the lock under which it is
//! handed out, and only as long as our claim stands; who hands it out takes the claim away first and sets O_NONBLOCK as
//! the program needs it.

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
use super::splice::splice;

/// Most connections that are passed on at a time, if there are descriptors enough.
const MOST: usize = 1024;

/// A connection on which nothing is said for so long is closed.
const IDLE: Duration = Duration::from_mins(1);

/// How long we look for a live worker before the client is reset.
const PATIENCE: Duration = Duration::from_secs(10);

/// First and longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// The rescue of connections that strand.
pub struct Rescue {
    ports: SharedPorts,
    shared: Arc<Shared>,
}

struct Shared {
    /// For connections that are passed on.
    places: Arc<Semaphore>,
    events: Box<dyn Fn(PortEvent) + Send + Sync>,
}

impl fmt::Debug for Rescue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rescue").finish_non_exhaustive()
    }
}

/// A listener that we accept on.
struct Claimed {
    ports: SharedPorts,
    shared: Arc<Shared>,
    key: PortKey,
    number: ListenerId,
    listener: TcpListener,
    /// Ends when the claim does.
    claim: oneshot::Receiver<()>,
    /// Accepted, and not said yet.
    count: u32,
}

impl Rescue {
    /// `events` is told of those that stranded.
    pub fn new(ports: SharedPorts, events: impl Fn(PortEvent) + Send + Sync + 'static) -> Self {
        // Two descriptors each, and workers must be started all the same.
        let most = (ports.lock().settings.descriptors / 8).clamp(1, MOST);
        let shared = Shared {
            places: Arc::new(Semaphore::new(most)),
            events: Box::new(events),
        };
        Self {
            ports,
            shared: Arc::new(shared),
        }
    }

    /// These listeners, and no others, have no worker and will have none soon. To be said again after each change, and
    /// whenever a worker could not be started; saying it twice costs little. Call it inside the runtime.
    pub fn idle(&self, listeners: &[ListenerId]) {
        for (key, number, fd, claim) in self.ports.claim(listeners) {
            // Fails for want of memory only; the claim falls, and the next time it is tried again.
            let Ok(listener) = TcpListener::from_std(fd.into()) else {
                continue;
            };
            let claimed = Claimed {
                ports: self.ports.clone(),
                shared: Arc::clone(&self.shared),
                key,
                number,
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
                // No descriptors left, or a listener that is being mended.
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
                    // It is with us already.
                    None => place.await,
                };
                pass_on(ports, key, client).await;
            });
            if over {
                break;
            }
        }
        self.tell();
    }

    /// The next connection; `None` when the claim is over.
    async fn accept(&mut self) -> Option<io::Result<TcpStream>> {
        poll_fn(|cx| {
            let polled = {
                let _state = self.ports.lock();
                if Pin::new(&mut self.claim).poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                // A process that a worker left behind may have it too; nothing of it shall make us wait.
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
            });
        }
    }
}

/// What the future yields, unless the claim ends before.
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

async fn pass_on(ports: SharedPorts, key: PortKey, client: TcpStream) {
    let server = timeout(PATIENCE, reach(&ports, key, &client)).await;
    match server {
        Ok(Some(server)) => splice(client, server, IDLE).await,
        Ok(None) | Err(_) => {
            // Nothing was read of what it asked, and it shall not take the end for an answer.
            let _ = client.set_zero_linger();
        }
    }
}

/// A connection to a live worker. `None` if the port is not shared any more. Goes to the address that the client used:
/// so we come from an address of this host, and from a loopback address only if the client did. A program may trust those.
async fn reach(ports: &SharedPorts, key: PortKey, client: &TcpStream) -> Option<TcpStream> {
    let mut target = client.local_addr().ok()?;
    if let IpAddr::V4(ip) = target.ip().to_canonical() {
        target = SocketAddr::new(ip.into(), target.port());
    }
    let mut pause = PAUSE.0;
    loop {
        // With nobody live it would come back to where it stranded.
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
    /// A worker will have the listener: from now on we accept nothing there.
    pub fn reclaim(&mut self, listener: ListenerId) {
        let number = self.number(listener);
        if let Some(listener) = self.listeners.get_mut(number) {
            listener.rescue = None;
        }
    }

    /// Whether a worker serves new connections.
    pub fn is_served(&self, rotation: &Rotation) -> bool {
        let mut live = rotation.live.iter();
        live.any(|listener| self.taken(*listener) && self.order.contains(&self.number(*listener)))
    }
}

impl SharedPorts {
    /// Whether a worker of that port is live. `None` if it is not shared any more.
    fn is_served(&self, key: PortKey) -> Option<bool> {
        let state = self.lock();
        let group = state.groups.iter().find(|group| group.key == key)?;
        Some(group.is_served(&state.rotation))
    }

    /// Claims those of the idle listeners that listen and are not claimed; gives up the claims to all others.
    fn claim(
        &self,
        idle: &[ListenerId],
    ) -> Vec<(PortKey, ListenerId, OwnedFd, oneshot::Receiver<()>)> {
        let mut state = self.lock();
        let state = &mut *state;
        let mut claimed = Vec::new();
        for group in &mut state.groups {
            // A common socket is never idle.
            if group.steering.is_none() {
                continue;
            }
            for (number, one) in group.listeners.iter_mut().enumerate() {
                let Ok(id) = u16::try_from(number).map(ListenerId) else {
                    break;
                };
                let ours = idle.contains(&id) && !state.present.contains_key(&id);
                if !ours {
                    one.rescue = None;
                    continue;
                }
                let standing = one.rescue.as_ref().is_some_and(|claim| !claim.is_closed());
                if standing || !listener::queue(&one.fd).is_ok_and(|queue| queue.listening) {
                    continue;
                }
                // What fails here, for want of descriptors, is tried again the next time.
                let copy =
                    set_nonblocking(&one.fd, true).and_then(|()| listener::duplicate(&one.fd));
                if let Ok(fd) = copy {
                    let (sender, receiver) = oneshot::channel();
                    one.rescue = Some(sender);
                    claimed.push((group.key, id, fd, receiver));
                }
            }
        }
        claimed
    }
}

#[cfg(test)]
mod tests;
