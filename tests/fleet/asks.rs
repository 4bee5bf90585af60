//! Requests of the operator.
#![forbid(unsafe_code)]

use rpm_runtime::model::{Cause, ReloadResult, Tick, Trigger};
use rpm_runtime::policy::{MAX_INSTANCES, Note};

use super::{Books, Chair, Life, SlotBook, StopBook, id};

impl Books {
    pub(super) fn asked_to_stop(&mut self, now: Tick) {
        let delay = self.params.shutdown_delay;
        match &mut self.stop {
            None => {
                self.owed.push(Note::StopRequested { delay });
                self.supersede(now, Cause::Stop);
                self.stop = Some(StopBook {
                    until: now.after(delay),
                    drains: false,
                    asked: now,
                    gave_up: None,
                });
            }
            // Neither the delay nor the drain applies.
            Some(stop) if self.began.is_none() => {
                stop.drains = true;
                stop.until = now;
            }
            Some(_) => self.hurry(now),
        }
    }

    fn hurry(&mut self, now: Tick) {
        let mut signals = false;
        for due in self
            .lives
            .values_mut()
            .filter_map(|l| l.signal_due.as_mut())
        {
            *due = now;
            signals = true;
        }
        if signals {
            self.owed.push(Note::Hurried { kills: false });
            self.tally.hit("hurried to the signal");
            return;
        }
        let mut hurried = false;
        for life in self.lives.values_mut().filter(|l| l.killed.is_none()) {
            life.kill_due = Some(now);
            hurried = true;
        }
        for group in self.groups.values_mut().filter(|g| g.killed.is_none()) {
            group.kill_due = now;
            hurried = true;
        }
        if hurried {
            self.owed.push(Note::Hurried { kills: true });
        }
    }

    /// A stop or a restart replaces any reload, and no successor takes over a slot any more.
    pub(super) fn supersede(&mut self, now: Tick, cause: Cause) {
        if let Some(reload) = &mut self.reload {
            reload.again = None;
            self.end_reload(now, ReloadResult::Superseded);
        }
        self.cull_all(now, cause);
    }

    pub(super) fn asked_to_restart(&mut self, now: Tick) {
        if self.stop.is_some() {
            return;
        }
        self.owed.push(Note::RestartRequested);
        self.supersede(now, Cause::Restart);
        self.code = 0;
        for at in 0..self.slots.len() {
            let slot = &mut self.slots[at];
            slot.calm();
            slot.renewal = None;
            slot.ails = false;
            slot.served = None;
            match slot.chair {
                Chair::Down if slot.halted => self.tally.hit("halted through a restart"),
                Chair::Down | Chair::Due(_) => slot.chair = Chair::Due(now),
                Chair::Seated(pid) => {
                    slot.chair = Chair::Held(pid);
                    self.leaves(now, pid, Cause::Restart, false);
                }
                Chair::Held(_) | Chair::Asked => {}
            }
        }
        for life in self.lives.values_mut() {
            if life.leaves == Some(Cause::StartTimeout) && !life.undead {
                life.leaves = Some(Cause::Restart);
            }
        }
    }

    pub(super) fn asked_to_replace(&mut self, now: Tick, at: usize) {
        if self.stop.is_some() || self.reload.is_some() {
            return;
        }
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        let Chair::Seated(pid) = slot.chair else {
            self.asked_to_start(now, at);
            return;
        };
        if let Some(renewal) = &mut slot.renewal {
            if renewal.due > now {
                self.tally.hit("replacement hastened");
            }
            renewal.due = renewal.due.min(now);
            if renewal.cause == Cause::Unhealthy && !renewal.out {
                renewal.cause = Cause::Restart;
            }
        }
        self.unfit(now, pid, Cause::Restart);
    }

    /// The slot stays empty until it is started.
    pub(super) fn asked_to_halt(&mut self, now: Tick, at: usize) {
        let slot = self.slots.get(at).filter(|slot| !slot.halted);
        if self.stop.is_some() || slot.is_none() {
            return;
        }
        self.tally.hit(if self.reload.is_some() {
            "halted in a reload"
        } else {
            "halted"
        });
        self.cull(now, at, Cause::Halt);
        for life in self.lives.values_mut().filter(|life| life.slot == at) {
            life.returns = false;
            if life.leaves == Some(Cause::StartTimeout) && !life.undead {
                life.leaves = Some(Cause::Halt);
            }
        }
        let slot = &mut self.slots[at];
        slot.halted = true;
        slot.renewal = None;
        slot.ails = false;
        slot.calm();
        let chair = slot.chair;
        if chair != Chair::Asked {
            slot.chair = Chair::Down;
        }
        if let Chair::Seated(pid) = chair {
            let life = self.lives[&pid];
            self.keep_ports(now, &life);
            let drain = life.ready.is_some();
            self.leaves(now, pid, Cause::Halt, drain);
            if let Some(limit) = self.drain_limit().filter(|_| drain) {
                let slot = id(at);
                self.owed.push(Note::Drains { slot, pid, limit });
            }
        }
    }

    pub(super) fn asked_to_start(&mut self, now: Tick, at: usize) {
        let Some(slot) = self.slots.get_mut(at).filter(|_| self.stop.is_none()) else {
            return;
        };
        let halted = std::mem::replace(&mut slot.halted, false);
        let (Chair::Down | Chair::Due(_)) = slot.chair else {
            return;
        };
        // A slot that stayed down is as good as new.
        slot.ails &= slot.chair != Chair::Down;
        let has = |life: &Life| Some(life.listener) == slot.listener && !life.undead;
        let holder = self.lives.iter().find(|(_, life)| has(life));
        slot.chair = holder.map_or(Chair::Due(now), |(pid, _)| Chair::Held(*pid));
        slot.calm();
        self.tally.hit(match (halted, slot.chair) {
            (true, Chair::Held(_)) => "started while the last one leaves",
            (true, _) => "halted, then started",
            (false, _) => "started by hand",
        });
    }

    pub(super) fn asked_to_reload(&mut self, now: Tick, trigger: Trigger) {
        if self.stop.is_some() {
            return;
        }
        match &mut self.reload {
            None => self.begin_reload(now, trigger),
            Some(reload) if reload.again.is_none() => {
                reload.again = Some(trigger);
                self.owed.push(Note::ReloadRemembered { trigger });
            }
            Some(_) => {}
        }
    }

    pub(super) fn asked_for_one_more(&mut self, now: Tick) {
        if self.stop.is_some() {
            return;
        }
        let from = self.slots.len();
        if from == usize::from(MAX_INSTANCES) {
            self.owed.push(Note::ScaleRefused { at: from });
            return;
        }
        self.slots.push(SlotBook::new(None, now));
        self.tally.hit("scale up");
        let to = from + 1;
        self.owed.push(Note::Scaled { from, to });
    }

    pub(super) fn asked_for_one_less(&mut self, now: Tick) {
        if self.stop.is_some() {
            return;
        }
        let from = self.slots.len();
        if from < 2 {
            self.owed.push(Note::ScaleRefused { at: from });
            return;
        }
        let to = from - 1;
        self.tally.hit(if self.reload.is_some() {
            "scale down in a reload"
        } else {
            "scale down"
        });
        self.owed.push(Note::Scaled { from, to });
        self.loses_last(now);
    }

    /// The limits grant this number.
    pub(super) fn granted(&mut self, now: Tick, workers: u16) {
        let (from, to) = (self.slots.len(), usize::from(workers));
        if self.stop.is_some() || from == to {
            return;
        }
        self.owed.push(Note::Scaled { from, to });
        if from < to {
            self.tally.hit("granted more");
            self.slots.resize(to, SlotBook::new(None, now));
        } else {
            self.tally.hit(if self.reload.is_some() {
                "granted less in a reload"
            } else {
                "granted less"
            });
            for _ in to..from {
                self.loses_last(now);
            }
        }
    }

    /// The last slot is removed; its worker drains.
    fn loses_last(&mut self, now: Tick) {
        let to = self.slots.len() - 1;
        self.cull(now, to, Cause::Scale);
        let slot = self.slots.pop().unwrap();
        if let Chair::Seated(pid) = slot.chair {
            let drain = self.lives[&pid].ready.is_some();
            self.leaves(now, pid, Cause::Scale, drain);
            if let Some(limit) = self.drain_limit().filter(|_| drain) {
                let slot = id(to);
                self.owed.push(Note::Drains { slot, pid, limit });
            }
        }
    }
}
