//! How the balancing thread hears of arrivals.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nix::errno::Errno;

use super::choice::Watched;
use crate::sys::bells::Bells;
use crate::sys::epoll::{Interest, Poller, ReadyFd, Waker};
use crate::sys::io;

/// The tokens of the waker and of the bells. Those of listeners are above.
const WAKER: u64 = 0;
pub(super) const BELLS: u64 = 1;

/// What the thread waits for.
#[derive(Debug)]
pub(in crate::ports) struct Ears {
    waker: Waker,
    poller: Poller,
    bells: Hung,
    /// How often the kernel told of arrivals since the last look, by the token of the listener.
    told: BTreeMap<u64, u32>,
    ready: Vec<ReadyFd>,
    /// Arrivals are listened to. Otherwise they are missed, unless they are in a queue at the next look.
    open: bool,
    /// All that listen have a bell.
    sharp: bool,
}

/// The bells at the listeners: they tell of connections that are accepted at once.
#[derive(Debug)]
enum Hung {
    /// None are needed.
    Not,
    /// The system has no such thing, or does not allow it here.
    Refused,
    /// The system has no room for more. It may have later.
    Full,
    Are(Bells),
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Somebody used the waker.
    Call,
    /// Connections arrived since the last look.
    Arrival,
    /// Nothing.
    Silence,
}

impl Ears {
    /// Wakes up by this `waker`. Fails with EMFILE, ENFILE or ENOMEM.
    pub(in crate::ports) fn new(waker: Waker) -> nix::Result<Self> {
        let poller = Poller::new()?;
        poller.add(&waker, WAKER, Interest::Readable)?;
        Ok(Self {
            waker,
            poller,
            bells: Hung::Not,
            told: BTreeMap::new(),
            ready: Vec::new(),
            open: true,
            sharp: false,
        })
    }

    /// Forgets the wake-ups until now. Call it before looking for what they announce.
    pub(super) fn clear(&self) {
        self.waker.clear();
    }

    /// Sees to it that so many listeners can have a bell. Do not call it under a lock: to give up other bells takes the kernel
    /// tens of milliseconds.
    pub(super) fn make_room(&mut self, count: usize) {
        let enough = match &self.bells {
            Hung::Refused => true,
            Hung::Not | Hung::Full => count == 0,
            Hung::Are(bells) => count > 0 && bells.has_room_for(count),
        };
        if enough {
            return;
        }
        // The old ones go first: a quota of the host limits all requests together (fs.aio-max-nr).
        self.bells = Hung::Not;
        if count == 0 {
            return;
        }
        self.bells = match Bells::new(count.next_multiple_of(16)) {
            Ok(bells) if self.poller.add(&bells, BELLS, Interest::Readable).is_ok() => {
                Hung::Are(bells)
            }
            Err(
                Errno::ENOSYS | Errno::EPERM | Errno::EACCES | Errno::EINVAL | Errno::EOPNOTSUPP,
            ) => Hung::Refused,
            Ok(_) | Err(_) => Hung::Full,
        };
    }

    /// Listens at all these listeners, and at no others.
    pub(super) fn turn_to(&mut self, listeners: &[Watched<'_>]) {
        if let Hung::Are(bells) = &mut self.bells {
            let listening = listeners.iter().filter(|one| one.listens);
            let tokens: BTreeSet<u64> = listening.map(|one| one.token).collect();
            bells.retain(|token| tokens.contains(&token));
        }
        self.sharp = true;
        for one in listeners {
            let has_bell = match &mut self.bells {
                Hung::Are(bells) => !one.listens || bells.hang(one.fd, one.token).is_ok(),
                Hung::Not | Hung::Full | Hung::Refused => false,
            };
            if !has_bell {
                self.sharp = false;
                // It fails if the poller has the listener already. Otherwise the listener wakes nobody, but its queue is
                // still read with the others.
                let _ = self.poller.add(one.fd, one.token, Interest::Arrival);
            }
        }
        self.arm();
    }

    /// Waits until the waker is used, or for this time at most. Arrivals are missed.
    pub(super) fn rest(&mut self, time: Duration) -> nix::Result<Heard> {
        self.open = false;
        let called = io::wait_readable(&self.waker, time)?;
        Ok(if called { Heard::Call } else { Heard::Silence })
    }

    /// Waits until the waker is used or something arrives, or for this time at most.
    pub(super) fn listen(&mut self, time: Option<Duration>) -> nix::Result<Heard> {
        self.open = true;
        self.arm();
        self.poller.wait(&mut self.ready, time)?;
        // A listener that does not listen, or no longer listens, reports a hang-up; that needs no action.
        let ready = std::mem::take(&mut self.ready);
        for one in ready.iter().filter(|one| one.readable) {
            // Of the others, their bells tell.
            if one.token > BELLS && !self.is_armed(one.token) {
                *self.told.entry(one.token).or_default() += 1;
            }
        }
        self.ready = ready;
        self.take();
        Ok(if self.ready.iter().any(|one| one.token == WAKER) {
            Heard::Call
        } else if self.told.is_empty() {
            Heard::Silence
        } else {
            Heard::Arrival
        })
    }

    /// Whether arrivals that are accepted at once are heard, at all listeners.
    pub(super) fn are_sharp(&self) -> bool {
        self.sharp
    }

    /// Asks the kernel what has arrived.
    pub(super) fn take(&mut self) {
        if let Hung::Are(bells) = &mut self.bells
            && self.open
        {
            bells.take(|token| *self.told.entry(token).or_default() += 1);
        }
    }

    /// How often the kernel told of arrivals at this listener since the last [`Self::forget`].
    pub(super) fn told(&self, token: u64) -> u32 {
        self.told.get(&token).copied().unwrap_or(0)
    }

    /// What was told is known.
    pub(super) fn forget(&mut self) {
        self.told.clear();
    }

    /// From now on, the next arrival at any listener is told of.
    pub(super) fn arm(&mut self) {
        if let Hung::Are(bells) = &mut self.bells
            && self.open
        {
            bells.arm();
        }
    }

    /// Whether the next arrival at this listener will be told of, also if it is accepted at once. Not while nobody listens.
    pub(super) fn is_armed(&self, token: u64) -> bool {
        match &self.bells {
            Hung::Are(bells) => self.open && bells.is_armed(token),
            Hung::Not | Hung::Full | Hung::Refused => false,
        }
    }
}
