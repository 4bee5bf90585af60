//! Whether there may be one more worker or one less, and the listener for one more.

use crate::model::ListenerId;

use super::allowance;
use super::fleet::Fleet;
use super::slot::{Retiring, Seat, Slot};

impl Fleet {
    /// Workers that exist or are requested, including draining ones: memory must hold all of them.
    fn population(&self) -> usize {
        let seats = self.slots.iter().flat_map(Slot::seats);
        let seated = seats.filter(|seat| seat.worker().is_some()).count();
        let leaving = |gone: &&Retiring| !gone.sweeping && !gone.undead;
        seated + self.asked.len() + self.retiring.iter().filter(leaving).count()
    }

    /// A listener for one more worker, if one is allowed. The listener that was released last comes first, because late
    /// clients may wait in its queue.
    pub(super) fn spare(&self) -> Option<ListenerId> {
        let (n, (surge, _)) = (self.wanted(), self.allowance());
        // A slot that waits for its next start may get a worker at any moment.
        let waits = |slot: &&Slot| matches!(slot.seat, Seat::Waiting { .. } | Seat::Held);
        let reserved = self.slots.iter().filter(waits).count();
        if self.population() + reserved >= n + usize::from(surge) {
            return None;
        }
        self.free_listener()
    }

    /// As [`Self::spare`], for a successor of the worker of this slot.
    pub(super) fn spare_for(&self, at: usize) -> Option<ListenerId> {
        self.spare().filter(|_| !self.goes_first(at))
    }

    /// A listener that no worker uses and that is not requested for one.
    pub(super) fn free_listener(&self) -> Option<ListenerId> {
        let mut free = self.spares.iter().rev().copied();
        free.find(|listener| !self.is_held(*listener))
    }

    /// Whether a worker without a slot uses this listener, or a worker was requested with it.
    fn is_held(&self, listener: ListenerId) -> bool {
        let holders = self.retiring.iter().filter(|gone| !gone.undead);
        let mut held = holders.map(|gone| gone.worker.listener);
        let mut asked = self.asked.iter().map(|asked| asked.listener);
        held.any(|other| other == listener) || asked.any(|other| other == listener)
    }

    /// Listeners that no worker uses now or soon: spares, the anteroom, and those of slots that stay down, if another slot serves.
    /// Otherwise their clients wait for the next start.
    pub fn idle(&self) -> Vec<ListenerId> {
        let serves = self.slots.iter().any(Slot::serves);
        let down = self.slots.iter();
        let down = down.filter(|slot| serves && slot.seat == Seat::Stopped);
        let idle = self
            .spares
            .iter()
            .copied()
            .chain(down.map(|slot| slot.listener))
            .chain([self.anteroom]);
        idle.filter(|listener| !self.is_held(*listener)).collect()
    }

    /// Slots that should have a worker: all but those that stay down.
    pub(super) fn wanted(&self) -> usize {
        let stays_down = |slot: &&Slot| slot.seat == Seat::Stopped;
        self.slots.len() - self.slots.iter().filter(stays_down).count()
    }

    /// The number of additional and of missing workers that are allowed.
    pub(super) fn allowance(&self) -> (u16, u16) {
        let n = u16::try_from(self.wanted()).unwrap_or(u16::MAX);
        allowance(self.params.surge, self.params.unavailable, n)
    }

    /// Whether the worker of this slot may leave before its successor is there.
    pub(super) fn may_take_away(&self, at: usize) -> bool {
        // If more workers are allowed, it is enough to wait for room: a worker that is about to end makes room.
        let (surge, unavailable) = self.allowance();
        let first = self.goes_first(at);
        let unavailable = if first {
            unavailable.max(1)
        } else {
            unavailable
        };
        let serves = self.slots.get(at).is_some_and(Slot::serves);
        let serving = self.slots.iter().filter(|slot| slot.serves()).count();
        if serves {
            self.wanted() - serving < usize::from(unavailable)
        } else {
            // It does not serve anyway.
            surge == 0 || first
        }
    }
}
