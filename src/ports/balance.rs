//! The thread that looks at the accept queues and keeps new connections from those that are long or stand still
//! (RPM_BALANCE=adaptive). What the queues mean is decided in [`crate::policy::balance`].
//!
//! It sleeps until a connection arrives anywhere, and again when the queues have come to rest. In between it sleeps from
//! look to look and is not woken by arrivals: under load they come by the ten thousand a second. A listener that is held
//! back and comes to itself while nothing else happens is found at the next arrival.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;

use crate::model::{BalanceSample, SlotId};
use crate::policy::Rotation;
use crate::policy::balance::{Queue, held_back, pause};
use crate::policy::handover::PortKey;
use crate::policy::steering::Choice;
use crate::sys::epoll::{Interest, Poller, Waker};
use crate::sys::thread;
use crate::sys::{io, listener};

use super::group::{Group, Listener};
use super::registry::SharedPorts;
use super::{PortEvent, Steering};

/// The queues are at rest when so many looks in a row found nothing new and nobody waiting.
const REST: u32 = 4;

/// The same where somebody waits: by then it is known whose queue stands still.
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
    /// Listeners that there are.
    listeners: usize,
    /// The last program could not be attached, which was told.
    failing: bool,
}

impl<F: Fn(PortEvent) + Send + 'static> Balancer<F> {
    /// Starts the thread, unless it runs already, or RPM_BALANCE is another than adaptive, or the ports were let go, with
    /// which it ends. `events` is called on it and must not wait.
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
            // A listener that was not listened on, or is not any more, hangs up; that brings no work.
            let arrived = ready.iter().any(|one| one.token == ARRIVAL && one.readable);
            if arrived && !self.balance() {
                return;
            }
        }
    }

    /// Watches the listeners that are new. False if the ports were let go.
    fn watch(&mut self) -> bool {
        // First: what comes up from now on wakes us again.
        self.waker.clear();
        let poller = &self.poller;
        let listeners = self.ports.watch(|fd| {
            // One that cannot be watched wakes nobody, but is looked at with the others.
            let _ = poller.add(fd, ARRIVAL, Interest::Arrival);
        });
        self.listeners = listeners.unwrap_or(0);
        listeners.is_some()
    }

    /// Looks at the queues until they are at rest. False if the ports were let go.
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
    steering.is_some_and(|steering| steering.choice == Choice::Adaptive)
}

/// What a listener's present worker has made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    queue: Queue,
    /// It gets nothing new for the moment, live or not.
    held_back: bool,
}

/// What a look at the queues found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// A queue has another length, or a program was replaced.
    pub changed: bool,
    /// Somebody waits.
    pub waiting: bool,
    /// A program was replaced.
    pub replaced: bool,
    /// One could not be.
    pub failed: Option<(PortKey, Errno)>,
}

impl SharedPorts {
    /// What the balancing thread has done and does. `None` unless RPM_BALANCE is adaptive and connections can be steered.
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

    /// Shows the listeners that were not shown yet. Returns how many there are; `None` if the ports were let go.
    fn watch(&self, mut show: impl FnMut(BorrowedFd<'_>)) -> Option<usize> {
        let mut state = self.lock();
        for listener in state.groups.iter_mut().flat_map(Group::unwatched) {
            listener.watched = true;
            show(listener.fd.as_fd());
        }
        let listeners = state.groups.iter().map(|group| group.descriptors().count());
        (!state.over).then(|| listeners.sum())
    }

    /// Looks at every queue, `pause` after the last look, and holds back those that policy says.
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
    /// Those that the balancing thread does not watch yet.
    pub(super) fn unwatched(&mut self) -> impl Iterator<Item = &mut Listener> {
        let all = self.listeners.iter_mut();
        all.filter(|listener| !listener.watched)
    }

    /// Takes those away that get nothing new for the moment, unless nobody were left.
    pub(super) fn leave_out_held_back(&self, targets: &mut Vec<usize>) {
        if !targets.iter().all(|number| self.is_held_back(*number)) {
            targets.retain(|number| !self.is_held_back(*number));
        }
    }

    /// Those that are taken away.
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
            // One that a worker has shut down has no queue; it is mended by others.
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
                    // As it was, so that the next look tries again.
                    self.hold_back(&targets, &before);
                    look.failed = Some((self.key, errno));
                }
            }
        }
        look
    }

    /// Marks those of `targets` that are held back. Returns the marks before, if they were others.
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
