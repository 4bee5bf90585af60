//! Adds and removes slots: one for an operator, or as many as the limits of the container grant.

use crate::model::{Cause, ListenerId, SlotId, Tick};

use super::fleet::{Fleet, Mode};
use super::slot::{Seat, Slot};
use super::turn::Turn;
use super::{MAX_INSTANCES, Note};

impl Fleet {
    pub(super) fn scale_up(&mut self, turn: &mut Turn<'_>) {
        if self.mode != Mode::Serving {
            return;
        }
        let from = self.slots.len();
        if self.add_slot(turn.now) {
            turn.say(Note::Scaled { from, to: from + 1 });
        } else {
            turn.say(Note::ScaleRefused { at: from });
        }
    }

    /// The limits grant this number of workers. A number that an operator has made holds until they grant another one.
    pub(super) fn granted(&mut self, turn: &mut Turn<'_>, workers: u16) {
        let (from, to) = (self.slots.len(), usize::from(workers.max(1)));
        if self.mode != Mode::Serving || from == to {
            return;
        }
        turn.say(Note::Scaled { from, to });
        while self.slots.len() < to && self.add_slot(turn.now) {}
        while self.slots.len() > to {
            self.remove_last_slot(turn);
        }
    }

    /// Adds a slot whose worker is due at once. Returns false if there are as many as there may be.
    fn add_slot(&mut self, now: Tick) -> bool {
        let number = u16::try_from(self.slots.len());
        let Some(id) = number.ok().filter(|number| *number < MAX_INSTANCES) else {
            return false;
        };
        let listener = self.listener_for_one_more();
        self.slots.push(Slot::new(SlotId(id), listener, now));
        true
    }

    /// A listener that no surge needs, or a new one with the next number: no live listener changes its place.
    fn listener_for_one_more(&mut self) -> ListenerId {
        let n = u16::try_from(self.slots.len()).unwrap_or(u16::MAX);
        let surge = usize::from(self.params.surge.of(n.saturating_add(1), true));
        let rolling = self.slots.iter().filter(|slot| slot.successor.is_some());
        let spares = self.spares.len() + rolling.count();
        let new = ListenerId(self.listeners());
        // The surge grows with the number of workers.
        let missing = (surge + 1).saturating_sub(spares);
        for more in 0..u16::try_from(missing).unwrap_or(0) {
            self.spares
                .insert(0, ListenerId(new.0.saturating_add(more)));
        }
        let listener = self.free_listener().unwrap_or(ListenerId(self.listeners()));
        self.spares.retain(|spare| *spare != listener);
        listener
    }

    pub(super) fn scale_down(&mut self, turn: &mut Turn<'_>) {
        if self.mode != Mode::Serving {
            return;
        }
        let from = self.slots.len();
        if from < 2 {
            turn.say(Note::ScaleRefused { at: from });
            return;
        }
        turn.say(Note::Scaled { from, to: from - 1 });
        self.remove_last_slot(turn);
    }

    fn remove_last_slot(&mut self, turn: &mut Turn<'_>) {
        self.cull(turn, self.slots.len().saturating_sub(1), Cause::Scale);
        let Some(slot) = self.slots.pop() else {
            return;
        };
        self.spares.push(slot.listener);
        match slot.seat {
            Seat::Ready { worker, .. } => {
                self.retire(turn, slot.id, worker, Cause::Scale, true);
            }
            Seat::Starting { worker, .. } => {
                self.retire(turn, slot.id, worker, Cause::Scale, false);
            }
            // The worker of a pending start finds no slot and gets the stop signal at once.
            Seat::Stopped | Seat::Waiting { .. } | Seat::Held | Seat::Launching => {}
        }
    }
}
