//! Listeners that a process has spoilt for others by socket options (see [`crate::sys::guarded`]). Under interception the
//! options are answered and not set ([`super::guarded`]). This is for what gets past it: another way of the hand-over, a
//! process that cannot be inspected, one that got a descriptor from a worker.
//!
//! A look costs four system calls for each listener. It is made when the rotation changes, when a worker gets a listener,
//! and at most once a second while connections arrive.

use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::model::{ListenerId, Tick};
use crate::policy::Rotation;
use crate::policy::handover::PortKey;
use crate::sys::guarded::{self, Spoilt};
use crate::sys::{io, listener};

use super::PortEvent;
use super::group::{Group, Listener};
use super::registry::{SharedPorts, State};

/// Time between two looks while connections arrive.
const PAUSE: Duration = Duration::from_secs(1);

/// Most clients that are taken out of the queue of one listener that is replaced.
const CLIENTS: usize = 1024;

/// What is known of spoilt listeners.
#[derive(Debug, Default)]
pub(super) struct Mending {
    looked: Tick,
    /// What is to be told to the event loop.
    untold: Vec<PortEvent>,
    /// Clients that waited at listeners which were replaced.
    clients: Vec<(PortKey, OwnedFd)>,
}

/// What was wrong with a listener, and what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mended {
    pub number: usize,
    pub what: &'static str,
    pub replaced: bool,
}

impl Mended {
    /// For the event loop.
    pub fn told(self, key: PortKey) -> PortEvent {
        PortEvent::Spoilt {
            key,
            listener: self.number,
            what: self.what,
            replaced: self.replaced,
        }
    }
}

/// What a process did, in the order of the harm.
fn named(found: Spoilt) -> &'static str {
    if found.filtered {
        "SO_ATTACH_FILTER"
    } else if found.device {
        "SO_BINDTODEVICE"
    } else if found.alone {
        "SO_REUSEPORT"
    } else {
        "SO_LOCK_FILTER"
    }
}

/// When a listener is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// It has its worker, or waits for one.
    Now,
    /// The next worker gets it. It is locked no longer then: nothing could be steered through it.
    Next,
}

/// A listener or socket that was spoilt, after everything was undone that can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undone {
    found: Spoilt,
    left: Spoilt,
}

impl Undone {
    /// `None` if nothing is wrong. `grouped`: it is a member of a group.
    pub fn look(fd: &OwnedFd, grouped: bool) -> Option<Self> {
        let found = guarded::look(fd, grouped);
        found.is_any().then(|| Self {
            found,
            left: found.undo(fd),
        })
    }

    /// Whether only a new one helps.
    pub fn is_lost(self, moment: Moment) -> bool {
        self.left.filtered || self.left.device || self.left.locked && moment == Moment::Next
    }

    /// What was done. `None` if nothing was.
    pub fn mended(self, number: usize, replaced: bool) -> Option<Mended> {
        let what = named(self.found);
        (replaced || self.left != self.found).then_some(Mended {
            number,
            what,
            replaced,
        })
    }
}

impl Group {
    /// Looks at one listener and mends it. Clients that waited at one that had to be replaced go to `clients`.
    pub(super) fn mend(
        &mut self,
        number: usize,
        moment: Moment,
        clients: &mut Vec<(PortKey, OwnedFd)>,
    ) -> Option<Mended> {
        let grouped = self.steering.is_some();
        let one = self.listeners.get(number)?;
        if grouped && moment == Moment::Next {
            guarded::restore(&one.fd, &one.fresh);
        }
        let undone = Undone::look(&one.fd, grouped)?;
        let replaced = grouped && undone.is_lost(moment) && self.replace(number, clients).is_ok();
        undone.mended(number, replaced)
    }

    /// Puts a new listener in the place of this one. When a member leaves the group, the last one moves to its index. Fails
    /// if there is no new one; the old one stays then.
    fn replace(&mut self, number: usize, clients: &mut Vec<(PortKey, OwnedFd)>) -> nix::Result<()> {
        let anew = Listener::bound(self.key, true)?;
        let Some(place) = self.listeners.get_mut(number) else {
            return Ok(());
        };
        let old = std::mem::replace(place, anew);
        place.ever = old.ever;
        place.apart = old.apart;
        (place.barred, place.shut) = (old.barred, old.shut);
        // A worker that has the old one gets nothing new.
        place.left = old.taken;
        if !self.order.contains(number) {
            return Ok(());
        }
        if io::set_nonblocking(&old.fd, true).is_ok() {
            let waiting = listener::accept_waiting(&old.fd, CLIENTS);
            clients.extend(waiting.into_iter().map(|client| (self.key, client)));
        }
        self.compare();
        self.order.leave(number);
        self.program = None;
        let left = listener::stop_listening(&old.fd);
        let entered = left.and_then(|()| self.enter(vec![number]));
        if entered.is_err() && !self.order.contains(number) {
            // It has taken the place, but does not listen. The hand-over thread watches it from now on, and makes a member
            // that does not listen return.
            self.order.join(number);
        }
        Ok(())
    }

    /// Mends all listeners, and attaches the steering program anew: the kernel does not tell whether it is still ours.
    fn mend_all(
        &mut self,
        rotation: &Rotation,
        clients: &mut Vec<(PortKey, OwnedFd)>,
        events: &mut Vec<PortEvent>,
    ) {
        for number in 0..self.listeners.len() {
            let mended = self.mend(number, Moment::Now, clients);
            events.extend(mended.map(|mended| mended.told(self.key)));
        }
        self.program = None;
        if let Err(errno) = self.steer(rotation) {
            events.push(PortEvent::steering_failed(self.key, errno));
        }
    }
}

impl State {
    /// Looks at the listeners and sockets of all ports.
    pub(super) fn mend_all(&mut self, events: &mut Vec<PortEvent>) {
        events.append(&mut self.mending.untold);
        self.mending.looked = self.clock.now();
        for group in &mut self.groups {
            group.mend_all(&self.rotation, &mut self.mending.clients, events);
        }
        for group in &mut self.datagrams {
            group.mend_all(events);
            group.steer_or_tell(&self.rotation, events);
        }
    }

    /// Mends this listener of a port before the next worker gets it. What is to be said goes to `events`.
    pub(super) fn mend_for_next(
        &mut self,
        at: usize,
        listener: ListenerId,
        events: &mut Vec<PortEvent>,
    ) {
        let Some(group) = self.groups.get_mut(at) else {
            return;
        };
        let number = group.number(listener);
        if group.listeners.get(number).is_none_or(|one| one.handed) {
            return;
        }
        let Some(mended) = group.mend(number, Moment::Next, &mut self.mending.clients) else {
            return;
        };
        events.push(mended.told(group.key));
        if let Err(errno) = group.steer(&self.rotation) {
            events.push(PortEvent::steering_failed(group.key, errno));
        }
    }

    /// As [`Self::mend_for_next`], on all ports.
    pub(super) fn mend_all_for_next(&mut self, listener: ListenerId) {
        let mut events = Vec::new();
        for at in 0..self.groups.len() {
            self.mend_for_next(at, listener, &mut events);
        }
        self.mending.untold.extend(events);
    }
}

impl SharedPorts {
    /// Looks at all listeners if that was not done for a while. Call it while connections arrive, and when somebody asks
    /// for the state.
    pub(super) fn mend_sometimes(&self) -> Vec<PortEvent> {
        let mut events = Vec::new();
        let mut state = self.lock();
        if !state.over && state.clock.now().since(state.mending.looked) >= PAUSE {
            state.mend_all(&mut events);
            state.tell_watchers();
        }
        events
    }

    /// The clients that waited at listeners which were replaced.
    pub(super) fn take_clients(&self) -> Vec<(PortKey, OwnedFd)> {
        std::mem::take(&mut self.lock().mending.clients)
    }
}

#[cfg(test)]
mod tests;
