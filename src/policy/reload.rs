//! A reload from its request to its result.

use crate::model::{Cause, Generation, Pid, ReloadResult, SlotId, Tick, Trigger};

use super::fleet::{Fleet, Mode};
use super::slot::{Seat, Slot, Worker};
use super::turn::Turn;
use super::{Action, NotUp, Note};

/// A reload in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reload {
    pub began: Tick,
    /// The generation before the reload.
    pub generation: Generation,
    /// How many workers there were to replace.
    pub workers: usize,
    /// A reload that was requested in the meantime.
    pub again: Option<Trigger>,
}

impl Fleet {
    pub(super) fn asked_to_reload(&mut self, turn: &mut Turn<'_>, trigger: Trigger) {
        if self.mode != Mode::Serving {
            return;
        }
        if let Some(reload) = &mut self.reload {
            if reload.again.is_none() {
                reload.again = Some(trigger);
                turn.say(Note::ReloadRemembered { trigger });
            }
            return;
        }
        self.begin_reload(turn, trigger);
    }

    fn begin_reload(&mut self, turn: &mut Turn<'_>, trigger: Trigger) {
        let before = self.generation;
        let workers = self.wanted();
        self.issued = Generation(self.issued.0.saturating_add(1));
        self.generation = self.issued;
        self.reload = Some(Reload {
            began: turn.now,
            generation: before,
            workers,
            again: None,
        });
        // Slots that are being replaced for another reason get a worker of the new generation.
        for at in 0..self.slots.len() {
            self.cull(turn, at, Cause::Reload);
        }
        for slot in &mut self.slots {
            // In an empty slot the new version can be tried first without any risk.
            if let Seat::Waiting { .. } = slot.seat {
                slot.seat = Seat::Waiting { until: turn.now };
                slot.calm();
            }
        }
        turn.say(Note::ReloadBegins {
            trigger,
            generation: self.generation,
            workers,
        });
    }

    /// Whether the reload started this worker and the worker is not confirmed yet.
    pub(super) fn on_trial(&self, now: Tick, seat: &Seat) -> bool {
        let proved = |worker: &Worker| match seat {
            Seat::Ready { since, .. } => self.settled(now, worker, *since),
            _ => false,
        };
        let is_new = |worker: &Worker| worker.generation == self.generation && !proved(worker);
        self.reload.is_some() && seat.worker().is_some_and(is_new)
    }

    /// Whether the worker has been ready for long enough and is healthy.
    pub(super) fn settled(&self, now: Tick, worker: &Worker, since: Tick) -> bool {
        worker.fit && since.after(self.params.min_ready) <= now
    }

    /// A new worker did not come up in a slot without a serving worker.
    pub(super) fn trial_failed(
        &mut self,
        turn: &mut Turn<'_>,
        slot: SlotId,
        pid: Option<Pid>,
        why: NotUp,
    ) {
        turn.say(Note::NotUp { slot, pid, why });
        self.fail_reload(turn);
    }

    /// Ends the reload as failed. Workers that are not replaced yet stay.
    pub(super) fn fail_reload(&mut self, turn: &mut Turn<'_>) {
        self.end_reload(turn, ReloadResult::Failure);
    }

    /// Ends the reload because of a stop or a restart: no successor may take over a slot any more.
    pub(super) fn abort_reload(&mut self, turn: &mut Turn<'_>, cause: Cause) {
        if let Some(reload) = &mut self.reload {
            reload.again = None;
        }
        self.end_reload(turn, ReloadResult::Superseded);
        for at in 0..self.slots.len() {
            self.cull(turn, at, cause);
        }
    }

    /// Ends the reload if every slot has its new worker and the old ones have ended.
    pub(super) fn finish_reload(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.reload.is_none() {
            return false;
        }
        let is_new = |slot: &Slot| match slot.seat {
            Seat::Stopped => true,
            Seat::Ready { worker, since } => {
                worker.generation == self.generation && self.settled(turn.now, &worker, since)
            }
            Seat::Waiting { .. } | Seat::Held | Seat::Launching | Seat::Starting { .. } => false,
        };
        let old = self
            .retiring
            .iter()
            .any(|gone| gone.cause == Cause::Reload && !gone.sweeping && !gone.undead);
        let over = !old && self.slots.iter().all(is_new);
        if over {
            self.end_reload(turn, ReloadResult::Success);
        }
        over
    }

    fn end_reload(&mut self, turn: &mut Turn<'_>, result: ReloadResult) {
        let Some(reload) = self.reload.take() else {
            return;
        };
        if result != ReloadResult::Success {
            for at in 0..self.slots.len() {
                self.cull(turn, at, Cause::Reload);
            }
        }
        let current = self.generation;
        let is_new = |slot: &&Slot| {
            let worker = slot.seat.worker();
            worker.is_some_and(|worker| worker.generation == current)
        };
        let replaced = self.slots.iter().filter(is_new).count();
        // Its last slots were emptied meanwhile: nobody has tried the new version.
        let result = match result {
            ReloadResult::Success if replaced == 0 && reload.workers > 0 => {
                ReloadResult::Superseded
            }
            result => result,
        };
        if replaced == 0 {
            // A generation without workers has no meaning.
            self.generation = reload.generation;
        }
        // Without any worker, nobody has a port, and the clients wait for the next start.
        let staffed = self.slots.iter().any(|slot| slot.seat.worker().is_some());
        if result == ReloadResult::Success && staffed {
            self.released = false;
            turn.act(Action::CloseAbandonedPorts);
        }
        turn.say(Note::ReloadEnded {
            result,
            replaced,
            took: turn.now.since(reload.began),
        });
        if let Some(trigger) = reload.again {
            self.begin_reload(turn, trigger);
        }
    }
}
