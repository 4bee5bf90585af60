//! Events of log4js that nobody would write go into the log.

use std::mem;
use std::sync::atomic::Ordering::Relaxed;

use tracing::warn;

use crate::log::log4js::{Addressee, Event, NoEvent, addressee};
use crate::log::{Log, WorkerLabel};
use crate::model::SlotId;
use crate::sys::epoll::Waker;

use super::NodeEvent;
use super::peer::Peer;
use super::thread::Thread;

/// Why nobody would write an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// It is for Node's primary.
    NoPrimary,
    /// It is for instance 0, and worker 0 sent it: so it does not know that it is that.
    NoFirstInstance,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::NoPrimary => {
                "log4js sends its events to the primary of a cluster, and there is none; the runtime writes them into the log. For the appenders \
                 of the program set disableClustering: true (each worker writes by itself) or pm2: true (worker 0 writes for all)"
            }
            Self::NoFirstInstance => {
                "log4js sends its events to instance 0 (pm2: true), and no worker knows that it is that: the variable of pm2InstanceVar is not set \
                 (see RPM_INSTANCE_VAR); the runtime writes them into the log. disableClustering: true lets each worker write by itself"
            }
        }
    }
}

/// An event that was read and is to be written.
pub type Waiting = Box<Event>;

/// What becomes of a message.
enum Taken {
    /// It is for other workers.
    No,
    /// It is in the log.
    Written,
    /// The log has no room for it now.
    Full(Waiting),
    /// It cannot be read.
    Unreadable(NoEvent),
}

/// Where the events go.
pub struct Events {
    log: Log,
    /// Woken when there is room again.
    room: Waker,
    told: bool,
    /// Worker 0 has sent an event to instance 0, so nobody is instance 0.
    no_first: bool,
}

impl Events {
    pub fn new(log: Log) -> nix::Result<Self> {
        Ok(Self {
            log,
            room: Waker::new()?,
            told: false,
            no_first: false,
        })
    }

    pub fn room(&self) -> &Waker {
        &self.room
    }

    /// A worker was started. The next worker 0 may know that it is instance 0.
    pub fn started(&mut self, slot: SlotId) {
        self.no_first &= slot != SlotId(0);
    }

    /// Takes a message with a topic if it is an event that nobody would write. `waits`: if there is no room, the caller
    /// keeps it.
    fn take(&mut self, from: WorkerLabel, message: &[u8], waits: bool) -> Taken {
        let reason = match addressee(message) {
            Some(Addressee::Primary) => Reason::NoPrimary,
            Some(Addressee::FirstInstance) if self.no_first || from.slot == SlotId(0) => {
                self.no_first = true;
                Reason::NoFirstInstance
            }
            None | Some(Addressee::FirstInstance) => return Taken::No,
        };
        let event = match Event::of_message(message) {
            Ok(event) => event,
            Err(error) => return Taken::Unreadable(error),
        };
        if !self.told {
            self.told = true;
            let (slot, pid) = (from.slot.0, from.pid.get());
            warn!(slot, pid, "{}", reason.text());
        }
        match self.write(from, Box::new(event), waits) {
            None => Taken::Written,
            Some(event) => Taken::Full(event),
        }
    }

    /// Writes an event. Gives it back if there is no room and the caller can wait.
    pub fn write(&self, from: WorkerLabel, event: Waiting, waits: bool) -> Option<Waiting> {
        if !waits {
            self.log.insert_last(from, &event);
            return None;
        }
        if self.log.insert(from, &event, &self.room) {
            None
        } else {
            Some(event)
        }
    }
}

impl<F: Fn(NodeEvent)> Thread<F> {
    /// Takes an event of log4js that nobody would write. `None` if the line is none; otherwise whether the worker must wait
    /// until the log has room.
    pub(super) fn log_event(&mut self, peer: &mut Peer, line: &[u8], waits: bool) -> Option<bool> {
        match self.log4js.take(peer.label, line, waits) {
            Taken::No => None,
            Taken::Written => Some(false),
            Taken::Full(event) => {
                peer.event = Some(event);
                Some(true)
            }
            Taken::Unreadable(error) => {
                self.counts.unaddressed.fetch_add(1, Relaxed);
                if !mem::replace(&mut peer.unreadable, true) {
                    let (slot, pid) = (peer.label.slot.0, peer.label.pid.get());
                    warn!(slot, pid, %error, "the worker sent an event of log4js that cannot be read, so it is not in the log");
                }
                Some(false)
            }
        }
    }
}
