//! The balancing thread (RPM_BALANCE=adaptive): it reads the accept queues and gives no new connections to listeners
//! whose queue is long or does not move. [`crate::policy::balance`] decides what the queues mean.
//!
//! The thread sleeps until a connection arrives on any listener. Then it reads the queues at intervals until they are
//! at rest, and ignores further arrivals meanwhile: under load there are ten thousand a second. If a held-back listener
//! recovers while there is no traffic, the thread notices it at the next arrival.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;

use crate::model::{BalanceSample, SlotId};
use crate::policy::Rotation;
use crate::policy::balance::{Queue, held_back, pause};
use crate::policy::handover::PortKey;
use crate::policy::steering::Balance;
use crate::sys::epoll::{Interest, Poller, Waker};
use crate::sys::thread;
use crate::sys::{io, listener};

use super::group::{Group, Listener};
use super::registry::SharedPorts;
use super::{PortEvent, Steering};

/// The queues are at rest after this number of consecutive looks without a change and without waiting connections.
const REST: u32 = 4;

/// As [`REST`], while connections wait. After this number of looks it is known which queues do not move.
const REST_WAITING: u32 = 20;

const WAKER: u64 = 0;
const ARRIVAL: u64 = 1;

/// The balancing thread.
#[derive(Debug)]
pub struct Balancer<F> {
    ports: SharedPorts,
    events: F,
    poller: Poller,
    waker: Waker,
    /// Number of listeners.
    listeners: usize,
    /// The last steering program could not be attached, and this was reported.
    failing: bool,
}

impl<F: Fn(PortEvent) + Send + 'static> Balancer<F> {
    /// Starts the thread. Does nothing if it runs already, if RPM_BALANCE is not adaptive, or after
    /// [`SharedPorts::let_go`], which also ends the thread. `events` is called on the thread and must not block.
    pub fn start(ports: &SharedPorts, events: F) -> std::io::Result<()> {
        Self::spawn(ports, events).map(drop)
    }

    fn spawn(ports: &SharedPorts, events: F) -> std::io::Result<Option<JoinHandle<()>>> {
        let waker = Waker::new()?;
        let poller = Poller::new()?;
        poller.add(&waker, WAKER, Interest::Readable)?;
        {
            let mut state = ports.lock();
            if state.over || state.balancer.is_some() || !is_adaptive(state.settings.steering) {
                return Ok(None);
            }
            state.balancer = Some(waker.clone());
        }
        let balancer = Self {
            ports: ports.clone(),
            events,
            poller,
            waker,
            listeners: 0,
            failing: false,
        };
        let started = thread::start("balance", thread::STACK, move || balancer.run());
        if started.is_err() {
            ports.lock().balancer = None;
        }
        Ok(Some(started?))
    }

    fn run(mut self) {
        let mut ready = Vec::new();
        while self.watch() && self.poller.wait(&mut ready, None).is_ok() {
            // A listener that does not listen, or no longer listens, reports a hang-up; that needs no action.
            let arrived = ready.iter().any(|one| one.token == ARRIVAL && one.readable);
            if arrived && !self.balance() {
                return;
            }
        }
    }

    /// Adds new listeners to the poller. False after [`SharedPorts::let_go`].
    fn watch(&mut self) -> bool {
        // Clear first, so that a later wake-up is not lost.
        self.waker.clear();
        let poller = &self.poller;
        let listeners = self.ports.watch(|fd| {
            // If this fails, the listener wakes nobody, but its queue is still read with the others.
            let _ = poller.add(fd, ARRIVAL, Interest::Arrival);
        });
        self.listeners = listeners.unwrap_or(0);
        listeners.is_some()
    }

    /// Reads the queues until they are at rest. False after [`SharedPorts::let_go`].
    fn balance(&mut self) -> bool {
        let mut rest = 0;
        loop {
            let pause = pause(self.listeners);
            if io::wait_readable(&self.waker, pause) == Ok(true) {
                if !self.watch() {
                    return false;
                }
                continue;
            }
            self.ports
                .mend_sometimes()
                .into_iter()
                .for_each(&self.events);
            let look = self.ports.look(pause);
            if let Some((key, errno)) = look.failed.filter(|_| !self.failing) {
                (self.events)(PortEvent::steering_failed(key, errno));
            }
            self.failing = look.failed.is_some();
            rest = if look.changed { 0 } else { rest + 1 };
            let enough = if look.waiting { REST_WAITING } else { REST };
            if rest >= enough {
                return true;
            }
        }
    }
}

fn is_adaptive(steering: Option<Steering>) -> bool {
    steering.is_some_and(|steering| steering.balance == Balance::Adaptive)
}

/// State of a listener's queue under its present worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    queue: Queue,
    /// The listener gets no new connections for now, even if its worker is live.
    held_back: bool,
}

/// Result of one look at the queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// The length of a queue changed, or a steering program was replaced.
    pub changed: bool,
    /// At least one connection waits in a queue.
    pub waiting: bool,
    /// A steering program was replaced.
    pub replaced: bool,
    /// A steering program could not be replaced.
    pub failed: Option<(PortKey, Errno)>,
}

impl SharedPorts {
    /// Counters and state of the balancing thread. `None` unless RPM_BALANCE is adaptive and connections can be
    /// steered.
    pub fn balance(&self) -> Option<BalanceSample> {
        let state = self.lock();
        if !is_adaptive(state.settings.steering) {
            return None;
        }
        let seats = state.rotation.seats.iter();
        let mut passed_over: BTreeMap<SlotId, bool> =
            seats.map(|(_, slot)| (*slot, false)).collect();
        for group in &state.groups {
            let numbers = group.held_back_now(&state.rotation);
            for (listener, slot) in &state.rotation.seats {
                if numbers.contains(&usize::from(listener.0)) {
                    passed_over.insert(*slot, true);
                }
            }
        }
        Some(BalanceSample {
            changes: state.balanced,
            passed_over,
        })
    }

    /// Calls `show` with each listener that is not watched yet. Returns the number of all listeners; `None` after
    /// [`Self::let_go`].
    fn watch(&self, mut show: impl FnMut(BorrowedFd<'_>)) -> Option<usize> {
        let mut state = self.lock();
        for listener in state.groups.iter_mut().flat_map(Group::unwatched) {
            listener.watched = true;
            show(listener.fd.as_fd());
        }
        let listeners = state.groups.iter().map(|group| group.descriptors().count());
        (!state.over).then(|| listeners.sum())
    }

    /// Reads every queue, `pause` after the last look, and holds back the listeners that the policy names.
    pub(super) fn look(&self, pause: Duration) -> Look {
        let mut state = self.lock();
        let state = &mut *state;
        let mut all = Look::default();
        for group in &mut state.groups {
            let look = group.look(&state.rotation, pause);
            all.changed |= look.changed || look.replaced;
            all.replaced |= look.replaced;
            all.waiting |= look.waiting;
            all.failed = all.failed.or(look.failed);
            state.balanced += u64::from(look.replaced);
        }
        all
    }
}

impl Group {
    /// The listeners that the balancing thread does not watch yet.
    pub(super) fn unwatched(&mut self) -> impl Iterator<Item = &mut Listener> {
        let all = self.listeners.iter_mut();
        all.filter(|listener| !listener.watched)
    }

    /// Removes the held-back listeners from `targets`, unless none would remain.
    pub(super) fn leave_out_held_back(&self, targets: &mut Vec<usize>) {
        if !targets.iter().all(|number| self.is_held_back(*number)) {
            targets.retain(|number| !self.is_held_back(*number));
        }
    }

    /// The listeners that are held back now.
    fn held_back_now(&self, rotation: &Rotation) -> Vec<usize> {
        let mut targets = self.targets(rotation);
        if targets.iter().all(|number| self.is_held_back(*number)) {
            return Vec::new();
        }
        targets.retain(|number| self.is_held_back(*number));
        targets
    }

    fn is_held_back(&self, number: usize) -> bool {
        let listener = self.listeners.get(number);
        listener.is_some_and(|listener| listener.standing.held_back)
    }

    fn look(&mut self, rotation: &Rotation, pause: Duration) -> Look {
        let mut look = Look::default();
        if !is_adaptive(self.steering) {
            return look;
        }
        let mut targets = self.targets(rotation);
        targets.sort_unstable();
        let mut queues = Vec::with_capacity(targets.len());
        for (number, one) in self.listeners.iter_mut().enumerate() {
            if targets.binary_search(&number).is_err() {
                one.standing = Standing::default();
                continue;
            }
            // A listener that a worker shut down has no queue; [`Group::repair`] mends it.
            let length = listener::queue(&one.fd).map_or(0, |queue| queue.length);
            look.changed |= !one.standing.queue.seen(length, pause);
            look.waiting |= length > 0;
            queues.push(one.standing.queue);
        }
        let before = self.hold_back(&targets, &held_back(&queues));
        if let Some(before) = before {
            match self.steer(rotation) {
                Ok(_) => look.replaced = true,
                Err(errno) => {
                    // Restore the old marks, so that the next look tries again.
                    self.hold_back(&targets, &before);
                    look.failed = Some((self.key, errno));
                }
            }
        }
        look
    }

    /// Marks the held-back listeners among `targets`. Returns the previous marks if they were different.
    fn hold_back(&mut self, targets: &[usize], held: &[bool]) -> Option<Vec<bool>> {
        let mut before = held.to_vec();
        for ((number, held), before) in targets.iter().zip(held).zip(&mut before) {
            if let Some(one) = self.listeners.get_mut(*number) {
                *before = std::mem::replace(&mut one.standing.held_back, *held);
            }
        }
        (before != held).then_some(before)
    }
}

#[cfg(test)]
mod tests;
