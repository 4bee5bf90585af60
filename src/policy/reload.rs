//! A reload from its request to its result.

use crate::model::{Cause, Generation, Pid, ReloadResult, SlotId, Tick, Trigger};

use super::fleet::{Fleet, Mode};
use super::slot::{Seat, Slot, Worker};
use super::{Action, NotUp, Note};

/// A reload that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reload {
    pub began: Tick,
    /// Before it.
    pub generation: Generation,
    /// Asked for in the meantime.
    pub again: Option<Trigger>,
}

impl Fleet {
    pub(super) fn asked_to_reload(&mut self, now: Tick, trigger: Trigger, out: &mut Vec<Action>) {
        if self.mode != Mode::Serving {
            return;
        }
        if let Some(reload) = &mut self.reload {
            if reload.again.is_none() {
                reload.again = Some(trigger);
                out.push(Action::Say(Note::ReloadRemembered { trigger }));
            }
            return;
        }
        self.begin_reload(now, trigger, out);
    }

    fn begin_reload(&mut self, now: Tick, trigger: Trigger, out: &mut Vec<Action>) {
        let before = self.generation;
        self.issued = Generation(self.issued.0.saturating_add(1));
        self.generation = self.issued;
        self.reload = Some(Reload {
            began: now,
            generation: before,
            again: None,
        });
        // Those that are being replaced for another reason get a worker of today.
        for at in 0..self.slots.len() {
            self.cull(now, at, Cause::Reload, out);
        }
        for slot in &mut self.slots {
            // Nothing is lost by trying the new version there first.
            if let Seat::Waiting { .. } = slot.seat {
                slot.seat = Seat::Waiting { until: now };
                slot.streak = 0;
            }
        }
        let stays_down = |slot: &&Slot| slot.seat != Seat::Stopped;
        out.push(Action::Say(Note::ReloadBegins {
            trigger,
            generation: self.generation,
            workers: self.slots.iter().filter(stays_down).count(),
        }));
    }

    /// Whether a worker is one that the reload started and that has not proved itself yet.
    pub(super) fn on_trial(&self, now: Tick, seat: &Seat) -> bool {
        let proved = |worker: &Worker| match seat {
            Seat::Ready { since, .. } => self.settled(now, worker, *since),
            _ => false,
        };
        let is_new = |worker: &Worker| worker.generation == self.generation && !proved(worker);
        self.reload.is_some() && seat.worker().is_some_and(is_new)
    }

    /// Whether it was ready for long enough, and is healthy.
    pub(super) fn settled(&self, now: Tick, worker: &Worker, since: Tick) -> bool {
        worker.fit && since.after(self.params.min_ready) <= now
    }

    /// A new worker did not come up in a slot where nobody served.
    pub(super) fn trial_failed(
        &mut self,
        now: Tick,
        slot: SlotId,
        pid: Option<Pid>,
        why: NotUp,
        out: &mut Vec<Action>,
    ) {
        out.push(Action::Say(Note::NotUp { slot, pid, why }));
        self.fail_reload(now, out);
    }

    /// The workers that were not replaced stay.
    pub(super) fn fail_reload(&mut self, now: Tick, out: &mut Vec<Action>) {
        self.end_reload(now, ReloadResult::Failure, out);
    }

    /// The stop, or a restart, comes first: nobody is to take a slot over any more.
    pub(super) fn abort_reload(&mut self, now: Tick, cause: Cause, out: &mut Vec<Action>) {
        if let Some(reload) = &mut self.reload {
            reload.again = None;
        }
        self.end_reload(now, ReloadResult::Superseded, out);
        for at in 0..self.slots.len() {
            self.cull(now, at, cause, out);
        }
    }

    /// Ends the reload if every slot has its new worker, and the old ones are gone.
    pub(super) fn finish_reload(&mut self, now: Tick, out: &mut Vec<Action>) -> bool {
        if self.reload.is_none() {
            return false;
        }
        let is_new = |slot: &Slot| match slot.seat {
            Seat::Stopped => true,
            Seat::Ready { worker, since } => {
                worker.generation == self.generation && self.settled(now, &worker, since)
            }
            Seat::Waiting { .. } | Seat::Held | Seat::Launching | Seat::Starting { .. } => false,
        };
        let old = self
            .retiring
            .iter()
            .any(|gone| gone.cause == Cause::Reload && !gone.sweeping && !gone.undead);
        let over = !old && self.slots.iter().all(is_new);
        if over {
            self.end_reload(now, ReloadResult::Success, out);
        }
        over
    }

    fn end_reload(&mut self, now: Tick, result: ReloadResult, out: &mut Vec<Action>) {
        let Some(reload) = self.reload.take() else {
            return;
        };
        if result != ReloadResult::Success {
            for at in 0..self.slots.len() {
                self.cull(now, at, Cause::Reload, out);
            }
        }
        let current = self.generation;
        let is_new = |slot: &&Slot| {
            let worker = slot.seat.worker();
            worker.is_some_and(|worker| worker.generation == current)
        };
        let replaced = self.slots.iter().filter(is_new).count();
        if replaced == 0 {
            // A number that no worker has says nothing.
            self.generation = reload.generation;
        }
        out.push(Action::Say(Note::ReloadEnded {
            result,
            replaced,
            took: now.since(reload.began),
        }));
        if let Some(trigger) = reload.again {
            self.begin_reload(now, trigger, out);
        }
    }
}
