//! Workers that failed their checks or use too much memory: which must be replaced, and which are out of steering until
//! then.
#![forbid(unsafe_code)]

use rpm_runtime::model::{Cause, Pid, Tick};
use rpm_runtime::policy::{NotUp, Note};

use super::{Books, Chair, Renewal, SlotBook, id};

impl Books {
    pub(super) fn checked(&mut self, now: Tick, pid: Pid, passed: bool) {
        let Some(most) = self.params.health_failures else {
            return;
        };
        let Some(life) = self.lives.get_mut(&pid).filter(|l| l.leaves.is_none()) else {
            return;
        };
        if !passed {
            life.failures += 1;
            if life.failures >= most {
                self.unfit(now, pid, Cause::Unhealthy);
            }
            return;
        }
        life.fit = true;
        life.failures = 0;
        let slot = &mut self.slots[life.slot];
        if slot.chair == Chair::Seated(pid)
            && let Some(renewal) = &mut slot.renewal
            && renewal.cause == Cause::Unhealthy
            && !renewal.out
        {
            self.tally.hit("got well");
            if renewal.grown {
                renewal.cause = Cause::MemoryLimit;
            } else {
                slot.renewal = None;
            }
        }
    }

    pub(super) fn unfit(&mut self, now: Tick, pid: Pid, cause: Cause) {
        let Some(life) = self.lives.get(&pid).filter(|l| l.leaves.is_none()).copied() else {
            return;
        };
        let slot = &mut self.slots[life.slot];
        if slot.chair != Chair::Seated(pid) {
            self.not_up(now, life.slot, Some(pid), NotUp::Unfit, true);
            return;
        }
        if life.ready.is_none() {
            return;
        }
        let grown = cause == Cause::MemoryLimit;
        match &mut slot.renewal {
            None => {
                slot.renewal = Some(Renewal {
                    cause,
                    grown,
                    due: now,
                    tries: 0,
                    out: false,
                });
            }
            Some(renewal) => {
                renewal.grown |= grown;
                if cause != Cause::Unhealthy || renewal.cause == cause {
                    return;
                }
                renewal.cause = cause;
            }
        }
        self.tally.hit(match cause {
            Cause::MemoryLimit => "too large",
            Cause::Restart => "replaced by hand",
            _ => "unhealthy",
        });
        let slot = id(life.slot);
        self.owed.push(Note::Renews { slot, pid, cause });
        if self.on_trial(now, life) {
            self.trial_failed(now, slot, Some(pid), NotUp::Unfit);
        }
    }

    /// Whether the worker of this slot is out of steering because of its checks, or must be.
    fn is_sick(&self, slot: &SlotBook) -> bool {
        let stays_down = matches!(slot.chair, Chair::Down);
        slot.is_out() || slot.ails && !self.serves(slot) && !stays_down
    }

    pub(super) fn sick(&self) -> usize {
        let sick = self.slots.iter().filter(|slot| self.is_sick(slot));
        sick.count()
    }

    /// Unhealthy workers leave steering, the lowest slot first, as many at a time as allowed.
    pub(super) fn take_out(&mut self) {
        if self.stop.is_some() {
            return;
        }
        let most = self.allowed().1.max(1);
        let mut sick = self.sick();
        for slot in &mut self.slots {
            if let Some(renewal) = &mut slot.renewal
                && renewal.cause == Cause::Unhealthy
                && !renewal.out
                && sick < most
            {
                renewal.out = true;
                sick += 1;
                self.tally.hit("out of steering");
            }
        }
    }

    /// Whether its worker gets new connections.
    pub(super) fn serves(&self, slot: &SlotBook) -> bool {
        match slot.chair {
            Chair::Seated(pid) => self.lives[&pid].ready.is_some() && !slot.is_out(),
            _ => false,
        }
    }

    /// The workers that get new connections.
    pub(super) fn serving(&self) -> impl Iterator<Item = Pid> + '_ {
        let serving = self.slots.iter().filter(|slot| self.serves(slot));
        serving.filter_map(|slot| match slot.chair {
            Chair::Seated(pid) => Some(pid),
            _ => None,
        })
    }
}
