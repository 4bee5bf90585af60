//! Whether there may be one worker more, or one less, and the listener for one more.

use crate::model::ListenerId;

use super::allowance;
use super::fleet::Fleet;
use super::slot::{Retiring, Seat, Slot};

impl Fleet {
    /// Workers that are there or asked for, those that drain included: what memory has to hold.
    fn population(&self) -> usize {
        let seats = self.slots.iter().flat_map(Slot::seats);
        let seated = seats.filter(|seat| seat.worker().is_some()).count();
        let leaving = |gone: &&Retiring| !gone.sweeping && !gone.undead;
        seated + self.asked.len() + self.retiring.iter().filter(leaving).count()
    }

    /// A listener for one worker more, if there may be one more. The one that was given up last: late clients may wait
    /// there.
    pub(super) fn spare(&self) -> Option<ListenerId> {
        let (n, (surge, _)) = (self.wanted(), self.allowance());
        // A slot that waits for its next try will have a worker at any moment.
        let waits = |slot: &&Slot| matches!(slot.seat, Seat::Waiting { .. } | Seat::Held);
        let reserved = self.slots.iter().filter(waits).count();
        if self.population() + reserved >= n + usize::from(surge) {
            return None;
        }
        self.free_listener()
    }

    /// A listener that no worker has or was asked for with.
    pub(super) fn free_listener(&self) -> Option<ListenerId> {
        let mut free = self.spares.iter().rev().copied();
        free.find(|listener| !self.is_held(*listener))
    }

    /// Whether a worker without a slot has it, or one was asked for with it.
    fn is_held(&self, listener: ListenerId) -> bool {
        let holders = self.retiring.iter().filter(|gone| !gone.undead);
        let mut held = holders.map(|gone| gone.worker.listener);
        let mut asked = self.asked.iter().map(|asked| asked.listener);
        held.any(|other| other == listener) || asked.any(|other| other == listener)
    }

    /// Listeners that nobody looks at, nor will soon: spares, and those of slots that stay down.
    pub fn idle(&self) -> Vec<ListenerId> {
        let down = self.slots.iter().filter(|slot| slot.seat == Seat::Stopped);
        let idle = self
            .spares
            .iter()
            .copied()
            .chain(down.map(|slot| slot.listener));
        idle.filter(|listener| !self.is_held(*listener)).collect()
    }

    /// Slots that are to have a worker: all but those that stay down.
    fn wanted(&self) -> usize {
        let stays_down = |slot: &&Slot| slot.seat == Seat::Stopped;
        self.slots.len() - self.slots.iter().filter(stays_down).count()
    }

    /// How many workers there may be too many and too few.
    pub(super) fn allowance(&self) -> (u16, u16) {
        let n = u16::try_from(self.wanted()).unwrap_or(u16::MAX);
        allowance(self.params.surge, self.params.unavailable, n)
    }

    /// Whether the worker of this slot may go before its successor is there.
    pub(super) fn may_take_away(&self, at: usize) -> bool {
        // Room for more workers is enough to wait for: one that is about to end makes it.
        let (surge, unavailable) = self.allowance();
        let serves = self.slots.get(at).is_some_and(Slot::serves);
        let serving = self.slots.iter().filter(|slot| slot.serves()).count();
        if serves {
            self.wanted() - serving < usize::from(unavailable)
        } else {
            // It serves nobody already.
            surge == 0
        }
    }
}
