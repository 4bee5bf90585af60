//! After a turn nothing is overdue, and the fleet shows what is.
#![forbid(unsafe_code)]

use rpm_runtime::model::{Pid, RunState, Tick, WorkerState};
use rpm_runtime::policy::{Fleet, KILL_PATIENCE};

use super::{Books, Chair, SlotBook, id};

impl Books {
    /// After a turn nothing is overdue, and the fleet shows what is.
    pub fn settled(&mut self, now: Tick, fleet: &Fleet) {
        let mut due: Vec<Tick> = Vec::new();
        if self.began.is_none() {
            due.extend(self.stop.filter(|_| !self.finished).map(|(at, _)| at));
        }
        for slot in &self.slots {
            match slot.chair {
                Chair::Due(at) => due.push(at),
                Chair::Seated(pid) if !self.lives[&pid].ready => {
                    due.extend(self.lives[&pid].alive_at);
                    due.extend(self.lives[&pid].ready_by);
                }
                Chair::Held => assert!(
                    self.lives.values().any(|l| l.told.is_some() && !l.undead),
                    "nobody holds {slot:?}"
                ),
                Chair::Asked => panic!("not answered"),
                Chair::Down | Chair::Seated(_) => {}
            }
        }
        for life in self.lives.values().filter(|l| !l.undead) {
            assert_eq!(life.told.is_some(), life.kill_due.is_some(), "{life:?}");
            due.extend(life.killed.map(patience).or(life.kill_due));
        }
        for group in self.groups.values() {
            assert!(group.told, "{group:?}");
            due.extend(Some(group.killed.map_or(group.kill_due, patience)));
        }
        let next = due.into_iter().min();
        assert!(next.is_none_or(|at| at > now), "overdue: {self:?}");
        // Neither a spin nor an oversleep.
        assert_eq!(fleet.next_deadline(), next, "{self:?}");
        let over = self.slots.iter().all(|s| s.chair == Chair::Down)
            && self.lives.values().all(|l| l.undead)
            && self.groups.is_empty();
        assert_eq!(self.finished, over, "{self:?}");
        self.shown(fleet);
    }

    fn shown(&mut self, fleet: &Fleet) {
        let workers: Vec<Pid> = sorted(fleet.workers().map(|(_, pid)| pid));
        assert_eq!(workers, self.lives.keys().copied().collect::<Vec<_>>());
        let groups = sorted(fleet.sweeping());
        assert_eq!(groups, self.groups.keys().copied().collect::<Vec<_>>());
        let snapshot = fleet.snapshot();
        assert_eq!(snapshot.slots.len(), self.slots.len());
        assert_eq!(snapshot.desired, self.params.instances);
        let mut live = Vec::new();
        let mut expected = Vec::new();
        for (at, (view, slot)) in snapshot.slots.iter().zip(&self.slots).enumerate() {
            let (state, pid) = match slot.chair {
                Chair::Down => (WorkerState::Stopped, None),
                Chair::Due(_) | Chair::Held | Chair::Asked => (WorkerState::Backoff, None),
                Chair::Seated(pid) if self.lives[&pid].ready => (WorkerState::Ready, Some(pid)),
                Chair::Seated(pid) => (WorkerState::Starting, Some(pid)),
            };
            assert_eq!((view.slot, view.state, view.pid), (id(at), state, pid));
            if state == WorkerState::Ready {
                live.push(id(at));
            }
            if state != WorkerState::Stopped {
                expected.push(id(at));
            }
        }
        let rotation = fleet.rotation();
        assert_eq!((&rotation.live, &rotation.expected), (&live, &expected));
        let retiring = sorted(snapshot.retiring.iter().filter_map(|view| view.pid));
        let told = self.lives.iter().filter(|(_, l)| l.told.is_some());
        assert_eq!(retiring, told.map(|(pid, _)| *pid).collect::<Vec<_>>());
        assert_eq!(
            snapshot.ready,
            self.stop.is_none() && !live.is_empty() && !self.finished
        );
        let staffed = |s: &SlotBook| match s.chair {
            Chair::Seated(pid) => self.lives[&pid].ready,
            chair => chair == Chair::Down,
        };
        self.started |= !live.is_empty() && self.slots.iter().all(staffed);
        assert!(snapshot.started || !self.started, "started is forgotten");
        self.started = snapshot.started;
        let state = match self.stop {
            _ if self.began.is_some() || self.finished => RunState::Stopping,
            Some(_) => RunState::Draining,
            None if self.started => RunState::Running,
            None => RunState::Starting,
        };
        assert_eq!(snapshot.state, state);
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
