//! One slot more, one slot less.

use crate::model::{Cause, ListenerId, SlotId, Tick};

use super::fleet::{Fleet, Mode};
use super::slot::{Seat, Slot};
use super::{Action, MAX_INSTANCES, Note};

impl Fleet {
    pub(super) fn scale_up(&mut self, now: Tick, out: &mut Vec<Action>) {
        if self.mode != Mode::Serving {
            return;
        }
        let from = self.slots.len();
        let Some(id) = u16::try_from(from).ok().filter(|nr| *nr < MAX_INSTANCES) else {
            out.push(Action::Say(Note::ScaleRefused { at: from }));
            return;
        };
        let listener = self.listener_for_one_more();
        self.slots.push(Slot::new(SlotId(id), listener, now));
        out.push(Action::Say(Note::Scaled { from, to: from + 1 }));
    }

    /// One that nobody needs for a surge, or a new one behind all others: no live listener changes its place.
    fn listener_for_one_more(&mut self) -> ListenerId {
        let n = u16::try_from(self.slots.len()).unwrap_or(u16::MAX);
        let surge = usize::from(self.params.surge.of(n.saturating_add(1), true));
        let rolling = self.slots.iter().filter(|slot| slot.successor.is_some());
        let spares = self.spares.len() + rolling.count();
        let new = ListenerId(self.listeners());
        // A surge grows with the number of workers.
        let missing = (surge + 1).saturating_sub(spares);
        for more in 0..u16::try_from(missing).unwrap_or(0) {
            self.spares
                .insert(0, ListenerId(new.0.saturating_add(more)));
        }
        let listener = self.free_listener().unwrap_or(ListenerId(self.listeners()));
        self.spares.retain(|spare| *spare != listener);
        listener
    }

    pub(super) fn scale_down(&mut self, now: Tick, out: &mut Vec<Action>) {
        if self.mode != Mode::Serving {
            return;
        }
        let from = self.slots.len();
        if from < 2 {
            out.push(Action::Say(Note::ScaleRefused { at: from }));
            return;
        }
        self.cull(now, from - 1, Cause::Scale, out);
        let Some(slot) = self.slots.pop() else {
            return;
        };
        out.push(Action::Say(Note::Scaled { from, to: from - 1 }));
        self.spares.push(slot.listener);
        match slot.seat {
            Seat::Ready { worker, .. } => {
                self.retire(now, slot.id, worker, Cause::Scale, true, out);
            }
            Seat::Starting { worker, .. } => {
                self.retire(now, slot.id, worker, Cause::Scale, false, out);
            }
            // Who is asked for finds no slot and is told to stop at once.
            Seat::Stopped | Seat::Waiting { .. } | Seat::Held | Seat::Launching => {}
        }
    }
}
