//! What must follow the end of a process, by the rules of restart and of retiring.
#![forbid(unsafe_code)]

use std::time::Duration;

use rpm_runtime::model::{Cause, DrainEnd, Exit, Pid, Sig, SlotId, Tick};
use rpm_runtime::policy::{KILL_PATIENCE, Next, NotUp, Note, Restart};

use super::scrapes::Scrape;
use super::{Books, Chair, Drain, Group, Life, PAUSE, Renewal, SlotBook, StopBook, id};

impl Books {
    /// A worker must end: it is told at once, or after its drain. It has no slot any more.
    pub(super) fn leaves(&mut self, now: Tick, pid: Pid, cause: Cause, drain: bool) {
        let limit = self.drain_limit().filter(|_| drain);
        let (grace, scrape) = (self.params.stop_timeout, self.scrape_time());
        let life = self.lives.get_mut(&pid).unwrap();
        assert_eq!(life.leaves, None, "{pid} is to end twice");
        life.leaves = Some(cause);
        self.left += 1;
        life.left = self.left;
        life.drain = limit.map(|limit| Drain {
            since: now,
            until: now.after(limit),
            choosing: false,
            settled_until: None,
            scrape: Scrape::None,
        });
        let drain = limit.map_or(Duration::ZERO, |limit| limit + grace);
        let scrape = scrape.unwrap_or_default();
        life.gone_by = now.after(drain + scrape + grace + KILL_PATIENCE);
        life.overslept = self.overslept;
        if let Some(reload) = &mut self.reload {
            reload.keeps.remove(&pid);
        }
    }

    /// Whether the stop signals are due, so that an ending worker gets no successor.
    pub(super) fn coming(&self, now: Tick) -> bool {
        let due = |stop: &StopBook| stop.until <= now && (stop.drains || !self.has_to_drain());
        self.began.is_some() || self.stop.as_ref().is_some_and(due)
    }

    pub(super) fn has_to_drain(&self) -> bool {
        let serves = |chair: Chair| match chair {
            Chair::Seated(pid) => self.lives[&pid].ready.is_some(),
            _ => false,
        };
        let drains = self.lives.values().any(|life| life.drain.is_some());
        let serve = self.slots.iter().any(|slot| serves(slot.chair));
        self.drain_limit().is_some() && (drains || serve)
    }

    pub(super) fn give_up(&mut self, now: Tick, slot: SlotId, streak: u32, code: u8) {
        self.tally.hit("given up");
        self.owed.push(Note::GivesUp { slot, streak, code });
        self.supersede(now, Cause::Stop);
        match &mut self.stop {
            None => {
                self.stop = Some(StopBook {
                    until: now,
                    drains: false,
                    asked: now,
                    gave_up: Some(code),
                });
            }
            Some(stop) if !stop.drains => stop.until = stop.until.min(now),
            Some(_) => {}
        }
    }

    /// What must follow the end of a worker of this slot.
    fn rules(&mut self, life: Life, exit: Exit, wait_of: u32) -> Next {
        let code = self.mapped(life, exit);
        let by_itself = life.leaves.is_none();
        let streak = self.slots[life.slot].streak;
        if life.starved && by_itself && !self.one_shot() {
            let shortages = self.slots[life.slot].shortages;
            let wait = self.params.backoff.delay(shortages, self.jitter).max(PAUSE);
            return Next::Restart { wait, streak };
        }
        if life.exec_failed.is_some() && !self.ran {
            return Next::GivesUp;
        }
        let stays = by_itself
            && matches!(exit, Exit::Code(raw) if self.params.stop_exit_codes.contains(&raw));
        let stays = stays
            || match self.params.restart {
                Restart::Always => false,
                Restart::OnFailure => by_itself && code == 0,
                Restart::Never => true,
            };
        if stays {
            if self.code == 0 {
                self.code = code;
            }
            Next::StaysDown
        } else if self.params.max_restarts.is_some_and(|most| streak >= most) {
            Next::GivesUp
        } else {
            let wait = self.params.backoff.delay(wait_of, self.jitter);
            Next::Restart { wait, streak }
        }
    }

    fn settle(&mut self, now: Tick, at: usize, next: Next, least: Duration) {
        self.slots[at].chair = match next {
            Next::Restart { wait, .. } => Chair::Due(now.after(wait.max(least))),
            _ => Chair::Down,
        };
    }

    pub(super) fn exited(&mut self, now: Tick, pid: Pid, exit: Exit, leftovers: bool, oom: bool) {
        let Some(life) = self.lives.get(&pid).copied() else {
            self.owed.push(Note::Stranger { pid, exit });
            return;
        };
        if let Some(reload) = &mut self.reload {
            reload.keeps.remove(&pid);
        }
        let own = match (life.exec_failed, exit) {
            (Some(_), _) => Cause::ExecFailed,
            _ if life.starved => Cause::ExecFailed,
            (None, Exit::Signal(Sig::KILL)) if oom => Cause::Oom,
            (None, Exit::Code(_)) => Cause::Exit,
            (None, Exit::Signal(_)) => Cause::Signal,
        };
        if life.leaves.is_some() {
            self.leaver_ended(now, pid, life, exit, leftovers, own);
        } else if self.slots[life.slot].chair == Chair::Seated(pid) {
            self.seated_ended(now, pid, life, exit, leftovers, own);
        } else {
            self.riser_ended(now, pid, life, exit, leftovers, own);
        }
    }

    fn owe_end(&mut self, now: Tick, pid: Pid, life: Life, exit: Exit, cause: Cause, next: Next) {
        if !life.released {
            self.releases.push((pid, life.listener));
        }
        self.owed.push(Note::Ended {
            slot: id(life.slot),
            pid,
            exit,
            cause,
            uptime: now.since(life.started),
            next,
        });
        if cause == Cause::Oom {
            self.tally.hit("out of memory");
        }
    }

    fn owe_group(&mut self, now: Tick, pid: Pid, life: Life) {
        let slot = id(life.slot);
        let group = Group {
            slot: life.slot,
            led: life.kill_due.is_some() && life.signal_due.is_none(),
            told: life.killed.is_some(),
            kill_due: life.kill_due.unwrap_or(now.after(self.params.stop_timeout)),
            killed: life.killed,
        };
        if !group.told {
            self.owed.push(Note::Leftovers { slot, pid });
        }
        self.groups.insert(pid, group);
    }

    /// The worker ended by itself.
    fn seated_ended(
        &mut self,
        now: Tick,
        pid: Pid,
        life: Life,
        exit: Exit,
        leftovers: bool,
        own: Cause,
    ) {
        let at = life.slot;
        let lived = now.since(life.started);
        let up = life.ready.is_some() && self.serves_all(now, &life);
        let up = up || self.may_serve_no_port(&life);
        let good = up && lived >= self.params.min_uptime;
        let new = self.reload.is_some() && life.generation == self.generation;
        let tried = self.on_trial(now, life) || (new && (!good || exit != Exit::Code(0)));
        let tried = tried && !life.gave_way();
        let coming = self.coming(now);
        if !coming && self.comes_back(now, pid, life, exit, leftovers, own) {
            return;
        }
        self.keep_ports(now, &life);
        let slot = &mut self.slots[at];
        slot.renewal = None;
        slot.ails = false;
        // The wait after a life that was neither short nor long is that of the lives before it.
        let before = slot.unrest;
        let mut wait_of = before;
        if life.starved {
            slot.shortages += 1;
        } else if !good {
            slot.streak += 1;
            slot.unrest += 1;
            wait_of = slot.unrest;
        } else if lived >= self.params.backoff.delay(before + 1, 0) * 100 {
            slot.calm();
            wait_of = 0;
        } else {
            slot.unrest += 1;
            self.tally.hit("neither short nor long");
        }
        let next = if coming {
            if self.one_shot() && self.code == 0 {
                self.code = self.mapped(life, exit);
            }
            Next::Stopping
        } else {
            self.rules(life, exit, wait_of)
        };
        self.settle(now, at, next, Duration::ZERO);
        self.lives.remove(&pid);
        self.owe_end(now, pid, life, exit, own, next);
        if leftovers {
            self.owe_group(now, pid, life);
        }
        self.cull(now, at, Cause::Reload);
        if tried {
            self.trial_failed(now, id(at), Some(pid), NotUp::Ended(exit));
        }
        if next == Next::GivesUp {
            let code = self.mapped(life, exit).max(1);
            self.give_up(now, id(at), self.slots[at].streak, code);
        }
    }

    /// The predecessor of a worker that ended serves again, if it was well and has no stop signal yet.
    fn comes_back(
        &mut self,
        now: Tick,
        pid: Pid,
        life: Life,
        exit: Exit,
        leftovers: bool,
        own: Cause,
    ) -> bool {
        let at = life.slot;
        let mut before: Vec<(Pid, Life)> = self.lives.iter().map(|(pid, l)| (*pid, *l)).collect();
        before.retain(|(_, old)| {
            let waits = old.drain.is_some() || old.scraping.is_some();
            old.slot == at && old.returns && waits && !old.undead
        });
        // The last one that left.
        let Some((old, back)) = before.into_iter().max_by_key(|(_, old)| old.left) else {
            return false;
        };
        self.tally.hit("gave back");
        self.lives.remove(&pid);
        self.owe_end(now, pid, life, exit, own, Next::Replaced);
        if leftovers {
            self.owe_group(now, pid, life);
        }
        self.cull(now, at, Cause::Reload);
        let cause = back.leaves.unwrap();
        let returned = self.lives.get_mut(&old).unwrap();
        (returned.leaves, returned.drain, returned.scraping) = (None, None, None);
        returned.scraped = false;
        returned.returns = false;
        returned.ready = Some(now);
        let wait = self.params.backoff.delay(1, self.jitter);
        let slot = &mut self.slots[at];
        slot.chair = Chair::Seated(old);
        slot.listener = Some(back.listener);
        slot.renewal = (cause != Cause::Reload).then(|| Renewal {
            cause,
            grown: true,
            due: now.after(wait),
            tries: 1,
            out: false,
        });
        self.owed.push(Note::GaveBack {
            slot: id(at),
            pid,
            old,
        });
        self.trial_failed(now, id(at), Some(pid), NotUp::Ended(exit));
        true
    }

    /// A successor ended before it took over.
    fn riser_ended(
        &mut self,
        now: Tick,
        pid: Pid,
        life: Life,
        exit: Exit,
        leftovers: bool,
        own: Cause,
    ) {
        self.tally.hit("successor ended");
        self.lives.remove(&pid);
        self.owe_end(now, pid, life, exit, own, Next::Replaced);
        if leftovers {
            self.owe_group(now, pid, life);
        }
        self.slots[life.slot].next = None;
        if let Chair::Seated(old) = self.slots[life.slot].chair
            && self.lives[&old].excludes
        {
            self.tally.hit("made room");
            let slot = id(life.slot);
            self.owed.push(Note::LeavesFirst { slot, pid, old });
            return;
        }
        if life.gave_way() {
            self.tally.hit("gave way");
            let slot = id(life.slot);
            self.owed.push(Note::StartsAgain { slot, pid });
            return;
        }
        let why = NotUp::Ended(exit);
        self.not_up(now, life.slot, Some(pid), why, true);
    }

    /// A retiring worker ended.
    fn leaver_ended(
        &mut self,
        now: Tick,
        pid: Pid,
        life: Life,
        exit: Exit,
        leftovers: bool,
        own: Cause,
    ) {
        let at = life.slot;
        let slot = id(at);
        if let Some(drain) = life.drain {
            let took = now.since(drain.since);
            let end = DrainEnd::Exited;
            self.tally.drain(end);
            self.owed.push(Note::DrainEnded {
                slot,
                pid,
                end,
                took,
            });
        }
        let cause = match life.leaves {
            // It has no stop signal yet, so it ended by itself.
            _ if life.kill_due.is_none() => own,
            Some(Cause::Stop) if life.killed.is_some() => Cause::StopTimeout,
            cause => cause.unwrap(),
        };
        let coming = self.coming(now);
        let next = if life.undead {
            if coming {
                Next::Stopping
            } else {
                Next::Replaced
            }
        } else {
            self.vacates(now, coming, pid, life, exit, cause, Duration::ZERO)
        };
        self.lives.remove(&pid);
        self.owe_end(now, pid, life, exit, cause, next);
        if leftovers && !life.undead {
            self.owe_group(now, pid, life);
        }
        if next == Next::GivesUp {
            let code = self.mapped(life, exit).max(1);
            self.give_up(now, slot, self.slots[at].streak, code);
        }
    }

    /// Whether a slot waits for it, and what happens there next.
    #[expect(clippy::too_many_arguments, reason = "all that an end is")]
    fn vacates(
        &mut self,
        now: Tick,
        coming: bool,
        pid: Pid,
        life: Life,
        exit: Exit,
        cause: Cause,
        least: Duration,
    ) -> Next {
        let at = life.slot;
        let chair = self.slots.get(at).map(|slot| slot.chair);
        let empty = |slot: &SlotBook| slot.halted && slot.listener == Some(life.listener);
        let held = chair == Some(Chair::Held(pid));
        let next = if coming {
            if self.one_shot() && self.code == 0 {
                self.code = self.mapped(life, exit);
            }
            Next::Stopping
        } else if chair.is_none() {
            Next::GivenUp
        } else if self.slots.get(at).is_some_and(empty) {
            Next::Halted
        } else if !held {
            Next::Replaced
        } else if cause == Cause::StartTimeout {
            self.slots[at].streak += 1;
            self.slots[at].unrest += 1;
            self.rules(life, exit, self.slots[at].unrest)
        } else {
            Next::Restart {
                wait: Duration::ZERO,
                streak: 0,
            }
        };
        if held {
            self.settle(now, at, next, least);
        }
        next
    }

    /// A process that cannot be killed is given up.
    pub(super) fn undead(&mut self, now: Tick, slot: SlotId, pid: Pid) {
        let over = |killed: Option<Tick>| killed.is_some_and(|at| at.after(KILL_PATIENCE) <= now);
        self.tally.hit("undead");
        if let Some(group) = self.groups.remove(&pid) {
            assert!(over(group.killed) && id(group.slot) == slot);
            return;
        }
        let life = self.lives.get_mut(&pid).unwrap();
        assert!(over(life.killed) && !life.undead && id(life.slot) == slot);
        assert!(life.released, "its listener is not released: {life:?}");
        life.undead = true;
        let life = *life;
        let exit = Exit::Signal(Sig::KILL);
        let (coming, cause) = (self.coming(now), life.leaves.unwrap());
        let next = self.vacates(now, coming, pid, life, exit, cause, PAUSE);
        if next == Next::GivesUp {
            let code = self.mapped(life, exit).max(1);
            self.give_up(now, slot, self.slots[life.slot].streak, code);
        }
    }
}
