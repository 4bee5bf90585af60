//! Empties a slot until an operator starts it again.

use crate::model::{Cause, SlotId, Tick};

use super::fleet::{Fleet, Mode};
use super::slot::{Retiring, Seat};
use super::turn::Turn;

impl Fleet {
    /// The worker of the slot drains and ends. A reload goes on without the slot.
    pub(super) fn halt(&mut self, turn: &mut Turn<'_>, id: SlotId) {
        let at = usize::from(id.0);
        let slot = self.slots.get(at).filter(|slot| !slot.halted);
        if self.mode != Mode::Serving || slot.is_none() {
            return;
        }
        self.cull(turn, at, Cause::Halt);
        self.remember_ports(turn.now, at);
        // Nobody gets the slot back who left it before, and a start that failed says nothing about the next one.
        for gone in self.retiring.iter_mut().filter(|gone| gone.slot == id) {
            gone.returns = false;
            if gone.cause == Cause::StartTimeout && !gone.undead {
                gone.cause = Cause::Halt;
            }
        }
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        slot.halted = true;
        slot.renewal = None;
        slot.ails = false;
        slot.calm();
        let seat = slot.seat;
        // A requested worker is waited for, so that no worker is left behind.
        if seat != Seat::Launching {
            slot.seat = Seat::Stopped;
        }
        match seat {
            Seat::Ready { worker, .. } => self.retire(turn, id, worker, Cause::Halt, true),
            Seat::Starting { worker, .. } => self.retire(turn, id, worker, Cause::Halt, false),
            Seat::Stopped | Seat::Waiting { .. } | Seat::Held | Seat::Launching => {}
        }
    }

    /// An empty slot gets its worker now, or as soon as the last one has left the listener.
    pub(super) fn start(&mut self, now: Tick, id: SlotId) {
        let Some(slot) = self.slots.get_mut(usize::from(id.0)) else {
            return;
        };
        if self.mode != Mode::Serving {
            return;
        }
        slot.halted = false;
        if let Seat::Waiting { .. } | Seat::Stopped = slot.seat {
            if slot.seat == Seat::Stopped {
                // While it stayed down it did not count as unhealthy, and another worker may be out in its place.
                slot.ails = false;
            }
            let listener = slot.listener;
            let holds = |gone: &Retiring| {
                gone.worker.listener == listener && !gone.sweeping && !gone.undead
            };
            slot.seat = if self.retiring.iter().any(holds) {
                Seat::Held
            } else {
                Seat::Waiting { until: now }
            };
            slot.calm();
        }
    }
}
