//! A reload from its request to its result: only one at a time, and a failed one leaves the serving workers.
#![forbid(unsafe_code)]

use rpm_runtime::model::{Cause, Generation, Pid, ReloadResult, SlotId, Tick, Trigger};
use rpm_runtime::policy::{NotUp, Note};

use super::{Books, Chair, Life, ReloadBook};

impl Books {
    pub(super) fn begin_reload(&mut self, now: Tick, trigger: Trigger) {
        assert!(self.reload.is_none(), "two at a time");
        self.tally.hit("reload");
        self.cull_all(now, Cause::Reload);
        let before = self.generation;
        self.issued = Generation(self.issued.0 + 1);
        self.generation = self.issued;
        for slot in &mut self.slots {
            if let Chair::Due(_) = slot.chair {
                slot.chair = Chair::Due(now);
                slot.calm();
            }
        }
        let serves = |pid: &Pid| {
            let life = &self.lives[pid];
            assert!(life.generation < self.generation, "it has a new number");
            life.ready.is_some()
        };
        self.reload = Some(ReloadBook {
            began: now,
            before,
            workers: self.wanted(),
            again: None,
            keeps: self.seated().filter(serves).collect(),
        });
        self.owed.push(Note::ReloadBegins {
            trigger,
            generation: self.generation,
            workers: self.wanted(),
        });
    }

    /// Whether it is a new worker of the reload that is not accepted yet.
    pub(super) fn on_trial(&self, now: Tick, life: Life) -> bool {
        self.reload.is_some() && life.generation == self.generation && !self.proved(now, life)
    }

    /// Whether it has been ready for long enough and is healthy.
    pub(super) fn proved(&self, now: Tick, life: Life) -> bool {
        let min_ready = self.params.min_ready;
        life.fit && life.ready.is_some_and(|at| at.after(min_ready) <= now)
    }

    pub(super) fn trial_failed(&mut self, now: Tick, slot: SlotId, pid: Option<Pid>, why: NotUp) {
        self.owed.push(Note::NotUp { slot, pid, why });
        self.fail_reload(now);
    }

    pub(super) fn fail_reload(&mut self, now: Tick) {
        if self.reload.is_some() {
            self.end_reload(now, ReloadResult::Failure);
        }
    }

    /// Whether every slot has its new worker and the old ones are gone.
    pub(super) fn reload_is_done(&self, now: Tick) -> bool {
        let done = |chair: Chair| match chair {
            Chair::Down => true,
            Chair::Seated(pid) => {
                let life = self.lives[&pid];
                life.generation == self.generation && self.proved(now, life)
            }
            _ => false,
        };
        let old = |life: &Life| life.leaves == Some(Cause::Reload) && !life.undead;
        self.reload.is_some()
            && self.slots.iter().all(|slot| done(slot.chair))
            && !self.lives.values().any(old)
    }

    /// How a reload ends that is done: every slot may have been emptied meanwhile.
    pub(super) fn result_of_done(&self) -> ReloadResult {
        let workers = self.reload.as_ref().map_or(0, |reload| reload.workers);
        if workers > 0 && self.seated().next().is_none() {
            ReloadResult::Superseded
        } else {
            ReloadResult::Success
        }
    }

    /// The end of a reload must be reported; checks what it means.
    pub(super) fn end_reload(&mut self, now: Tick, result: ReloadResult) {
        let reload = self.reload.take().unwrap();
        if result != ReloadResult::Success {
            self.cull_all(now, Cause::Reload);
        }
        let current = self.generation;
        let new = |pid: &Pid| self.lives[pid].generation == current;
        let replaced = self.seated().filter(new).count();
        if replaced == 0 {
            self.generation = reload.before;
        }
        self.tally.result(result, replaced);
        // No worker that served, or that took over since, is lost.
        for pid in &reload.keeps {
            let life = &self.lives[pid];
            assert_eq!(self.slots[life.slot].chair, Chair::Seated(*pid), "{life:?}");
            assert!(life.ready.is_some() && life.leaves.is_none(), "{life:?}");
        }
        self.owed.push(Note::ReloadEnded {
            result,
            replaced,
            took: now.since(reload.began),
        });
        if let Some(trigger) = reload.again {
            self.tally.hit("remembered reload");
            self.begin_reload(now, trigger);
        }
    }
}
