//! After a turn nothing is overdue, and the snapshot of the fleet is right.
#![forbid(unsafe_code)]

use std::time::Duration;

use rpm_runtime::model::{Pid, RunState, Snapshot, Tick, WorkerState};
use rpm_runtime::policy::{Drains, Fleet, KILL_PATIENCE, Rotation};

use super::{Books, Chair, Life, SlotBook, id};

impl Books {
    /// When everything must be finished.
    pub fn ends_by(&self) -> Option<Tick> {
        let stop = self.stop?;
        let drain = self.drain_limit().unwrap_or_default();
        let last = self.params.stop_timeout + KILL_PATIENCE;
        Some(match self.began {
            Some(began) => began.after(last),
            None if stop.drains => stop.until.after(last),
            None => stop.until.after(drain).after(last),
        })
    }

    /// After a turn nothing is overdue, and the snapshot of the fleet is right.
    pub fn settled(&mut self, now: Tick, fleet: &Fleet) {
        assert_eq!(self.asked, [], "not answered");
        let due = self.due(now);
        assert!(due.is_none_or(|at| at > now), "overdue: {self:?}");
        // The fleet neither spins nor oversleeps.
        let next = fleet.next_deadline();
        let early = due.into_iter().chain(self.may_be_due(now)).min();
        let needed = |next: Tick| early.is_some_and(|early| early <= next);
        assert!(next.is_none_or(needed), "{next:?}, {early:?}: {self:?}");
        let in_time = |due: Tick| next.is_some_and(|next| next <= due);
        assert!(due.is_none_or(in_time), "{next:?}, {due:?}: {self:?}");
        let over = self.slots.iter().all(|s| s.chair == Chair::Down)
            && self.lives.values().all(|l| l.undead)
            && self.groups.is_empty();
        // An operator may start a slot again.
        let over = over && (self.stop.is_some() || !self.slots.iter().any(|slot| slot.halted));
        assert_eq!(self.finished, over, "{self:?}");
        let (snapshot, rotation) = (fleet.snapshot(), fleet.rotation());
        self.shown(fleet, &snapshot);
        self.slots_shown(&snapshot);
        self.steering(now, fleet, &rotation);
        self.listeners_are_apart(fleet.listeners(), &rotation);
    }

    /// When time alone must change something.
    fn due(&self, now: Tick) -> Option<Tick> {
        let mut due: Vec<Tick> = Vec::new();
        if self.began.is_none() && !self.finished {
            due.extend(self.stop.map(|stop| stop.until));
        }
        for slot in &self.slots {
            match slot.chair {
                Chair::Due(at) => due.push(at),
                Chair::Held(pid) => {
                    let life = self.lives[&pid];
                    assert!(
                        life.leaves.is_some() && !life.undead,
                        "nobody holds {slot:?}"
                    );
                }
                Chair::Asked => panic!("not answered"),
                Chair::Down | Chair::Seated(_) => {}
            }
        }
        for (pid, life) in &self.lives {
            match life.leaves {
                _ if life.undead => {}
                Some(_) => {
                    let killed = life.killed.map(patience);
                    let told = killed.or(life.signal_due).or(life.kill_due);
                    let told = told.or(life.scraping);
                    due.extend(told.or(life.drain.map(|drain| drain.until)));
                    due.extend(life.drain.and_then(|drain| drain.scrape.due()));
                }
                None if life.ready.is_none() => {
                    let start = life.start;
                    due.extend(start.alive_at);
                    due.extend(start.ready_by);
                    due.extend(start.tell_at);
                }
                None => due.extend(self.proves(now, *pid, *life)),
            }
        }
        for group in self.groups.values() {
            assert!(group.told, "{group:?}");
            due.extend(Some(group.killed.map_or(group.kill_due, patience)));
        }
        due.extend(self.ports_settle());
        due.into_iter().min()
    }

    /// When every worker has bound its ports, after one has ended.
    pub fn ports_settle(&self) -> Option<Tick> {
        let quiet = self.stop.is_none() && self.reload.is_none() && self.groups.is_empty();
        if !quiet || !self.unclaimed {
            return None;
        }
        let latest = (self.slowest * 2).min(Duration::from_mins(10));
        let at_least = self.params.min_uptime.max(Duration::from_secs(1));
        let from_start = at_least.max(latest);
        let mut last = None;
        for (pid, life) in self.lives.iter().filter(|(_, life)| !life.undead) {
            let slot = self.slots.get(life.slot);
            let seated = slot.is_some_and(|slot| slot.chair == Chair::Seated(*pid));
            let ready = life.ready.filter(|_| seated)?;
            let settled = ready.after(self.params.ready_timeout);
            last = last.max(Some(settled.max(life.started.after(from_start))));
        }
        let there = |slot: &SlotBook| matches!(slot.chair, Chair::Down | Chair::Seated(_));
        last.filter(|_| self.slots.iter().all(there))
    }

    /// When a ready worker has been ready for long enough, or for too long without a check.
    fn proves(&self, now: Tick, pid: Pid, life: Life) -> Option<Tick> {
        let ready = life.ready?;
        let rises = self.slots[life.slot].chair != Chair::Seated(pid);
        let settles = ready.after(self.params.min_ready);
        let tried = rises || self.on_trial(now, life);
        let due = if life.fit {
            settles
        } else {
            ready.after(self.params.ready_timeout)
        };
        Some(due).filter(|_| tried && self.stop.is_none())
    }

    /// When time alone may change something, if there is room then.
    fn may_be_due(&self, now: Tick) -> Option<Tick> {
        let renewals = self.slots.iter().filter_map(|slot| slot.renewal);
        let due = renewals.map(|renewal| renewal.due);
        // One more worker that is up may change what is expected of a starting one.
        let seated = self.seated().map(|pid| &self.lives[&pid]);
        let up = seated.filter(|life| life.ready.is_some());
        let up = up.map(|life| life.started.after(self.params.min_uptime));
        due.chain(up).filter(|at| *at > now).min()
    }

    fn shown(&mut self, fleet: &Fleet, snapshot: &Snapshot) {
        let workers: Vec<Pid> = sorted(fleet.workers().map(|(_, pid)| pid));
        assert_eq!(workers, self.lives.keys().copied().collect::<Vec<_>>());
        let groups = sorted(fleet.sweeping());
        assert_eq!(groups, self.groups.keys().copied().collect::<Vec<_>>());
        assert_eq!(usize::from(snapshot.desired), self.slots.len());
        assert_eq!(snapshot.generation, self.generation);
        let ready = |slot: &SlotBook| match slot.chair {
            Chair::Seated(pid) => self.lives[&pid].ready.is_some(),
            _ => false,
        };
        let any_ready = self.slots.iter().any(ready);
        let over = self.stop.is_some() || self.finished;
        assert_eq!(snapshot.ready, any_ready && !over);
        let staffed = |s: &SlotBook| ready(s) || s.chair == Chair::Down;
        self.started |= any_ready && self.slots.iter().all(staffed);
        assert!(snapshot.started || !self.started, "started is forgotten");
        self.started = snapshot.started;
        let state = match self.stop {
            _ if self.began.is_some() || self.finished => RunState::Stopping,
            Some(_) => RunState::Draining,
            None if self.started && self.reload.is_some() => RunState::Reloading,
            None if self.started => RunState::Running,
            None => RunState::Starting,
        };
        assert_eq!(snapshot.state, state);
        let checked = sorted(fleet.checked_workers().map(|one| one.pid));
        let is_checked = |life: &Life| life.leaves.is_none() && life.ready.is_some();
        assert_eq!(checked, self.those(is_checked));
        let in_work = |life: &Life| life.leaves.is_none() || life.drain.is_some();
        let drains = self.began.is_none() && self.stop.is_some_and(|stop| stop.drains);
        let expected = (drains && !self.finished).then(|| self.those(in_work));
        let shown = fleet.stop_drain();
        let shown = shown.map(|all| sorted(all.into_iter().map(|(pid, _)| pid)));
        assert_eq!(shown, expected);
    }

    fn steering(&self, now: Tick, fleet: &Fleet, rotation: &Rotation) {
        let mut expected = Rotation {
            apart: self.apart(),
            ..Rotation::default()
        };
        for (at, slot) in self.slots.iter().enumerate() {
            let shown = rotation.seats[at].0;
            let own = slot.listener.unwrap_or(shown);
            expected.seats.push((own, id(at)));
            if self.serves(slot) {
                expected.live.push(own);
            }
            if self.is_empty() || slot.chair != Chair::Down {
                let next = slot.next.filter(|_| slot.is_out());
                expected
                    .expected
                    .push(next.map_or(own, |next| next.listener));
            }
        }
        assert_eq!(rotation, &expected);
        let mut drains: Vec<Drains> = fleet.draining(now).collect();
        drains.sort_by_key(|one| one.pid);
        let all = self.lives.iter();
        let all = all.filter_map(|(pid, life)| {
            life.drain.map(|drain| Drains {
                slot: id(life.slot),
                pid: *pid,
                listener: life.listener,
                seek: drain.seek(now),
            })
        });
        assert_eq!(drains, all.collect::<Vec<_>>());
    }

    fn slots_shown(&self, snapshot: &Snapshot) {
        assert_eq!(snapshot.slots.len(), self.slots.len());
        for (at, (view, slot)) in snapshot.slots.iter().zip(&self.slots).enumerate() {
            let (state, pid) = match slot.chair {
                Chair::Down if slot.halted => (WorkerState::Halted, None),
                Chair::Down => (WorkerState::Stopped, None),
                Chair::Due(_) | Chair::Held(_) | Chair::Asked => (WorkerState::Backoff, None),
                Chair::Seated(pid) if self.lives[&pid].ready.is_some() => {
                    (WorkerState::Ready, Some(pid))
                }
                Chair::Seated(pid) => (WorkerState::Starting, Some(pid)),
            };
            assert_eq!((view.slot, view.state, view.pid), (id(at), state, pid));
            let of = pid.map_or(self.generation, |pid| self.lives[&pid].generation);
            assert_eq!((view.generation, view.streak), (of, slot.streak));
        }
        let rising = snapshot.rising.iter().map(|view| (view.slot, view.pid));
        let risers = self.slots.iter().enumerate();
        let risers = risers.filter_map(|(at, slot)| Some((id(at), slot.next?.pid)));
        assert_eq!(rising.collect::<Vec<_>>(), risers.collect::<Vec<_>>());
        let retiring = snapshot.retiring.iter();
        let mut retiring: Vec<_> = retiring
            .filter_map(|view| Some((view.pid?, view.slot, view.state, view.generation)))
            .collect();
        retiring.sort_unstable_by_key(|view| view.0);
        let leave = self.lives.iter().filter(|(_, life)| life.leaves.is_some());
        let leave = leave.map(|(pid, life)| {
            let state = if life.drain.is_some() || life.scraping.is_some() {
                WorkerState::Draining
            } else {
                WorkerState::Retiring
            };
            (*pid, id(life.slot), state, life.generation)
        });
        assert_eq!(retiring, leave.collect::<Vec<_>>());
    }

    fn those(&self, which: impl Fn(&Life) -> bool) -> Vec<Pid> {
        let all = self.lives.iter().filter(|(_, life)| which(life));
        all.map(|(pid, _)| *pid).collect()
    }
}

fn patience(killed: Tick) -> Tick {
    killed.after(KILL_PATIENCE)
}

fn sorted(pids: impl Iterator<Item = Pid>) -> Vec<Pid> {
    let mut pids: Vec<Pid> = pids.collect();
    pids.sort_unstable();
    pids
}
