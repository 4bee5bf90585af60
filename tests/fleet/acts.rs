//! Each action is allowed, and every note that is owed is said.
#![forbid(unsafe_code)]

use rpm_runtime::model::{Exit, Pid, Sig, SlotId, Tick};
use rpm_runtime::policy::{Action, KILL_PATIENCE, Next, Note};

use super::{Books, Chair, PAUSE, SlotBook, Why, id};

impl Books {
    /// What the fleet answered.
    pub fn sees(&mut self, now: Tick, actions: &[Action]) {
        for action in actions {
            assert!(!self.finished, "after the end: {action:?}");
            self.sees_one(now, action);
        }
        assert_eq!(self.owed, [], "not said");
    }

    fn sees_one(&mut self, now: Tick, action: &Action) {
        match *action {
            Action::Spawn { slot, generation } => {
                assert_eq!(generation.0, 0);
                assert!(self.began.is_none(), "a worker for {slot} in the stop");
                let at = usize::from(slot.0);
                let chair = self.slots[at].chair;
                assert!(
                    matches!(chair, Chair::Due(due) if due <= now),
                    "a worker for slot {slot}, which is {chair:?} at {now:?}"
                );
                let shares = self.lives.values().any(|l| l.slot == at && !l.undead);
                assert!(!shares, "two workers on one listener");
                self.slots[at].chair = Chair::Asked;
            }
            Action::Stop { pid } => {
                let grace = now.after(self.params.stop_timeout);
                let life = self.lives.get_mut(&pid).unwrap();
                assert_eq!(life.kill_due, None, "{pid} is told twice");
                if life.told.is_none() {
                    assert!(self.began.is_some(), "no reason to stop {pid}");
                    life.told = Some(Why::Stop);
                }
                life.kill_due = Some(grace);
            }
            Action::Kill { pid } => {
                let life = self.lives.get_mut(&pid).unwrap();
                assert!(life.kill_due.is_some_and(|due| due <= now), "{life:?}");
                assert_eq!(life.killed, None, "{pid} is killed twice");
                life.killed = Some(now);
                self.killed |= self.began.is_some();
            }
            Action::StopGroup { pid, .. } => {
                let group = self.groups.get_mut(&pid).unwrap();
                assert!(!group.told, "{pid}'s group is told twice");
                group.told = true;
            }
            Action::KillGroup { pid } => {
                let group = self.groups.get_mut(&pid).unwrap();
                assert!(group.told && group.kill_due <= now, "{group:?}");
                assert_eq!(group.killed, None, "{pid}'s group is killed twice");
                group.killed = Some(now);
                self.killed |= self.began.is_some();
            }
            Action::Say(note) => self.said(now, note),
            Action::Finish { code } => self.finish(now, code),
        }
    }

    fn said(&mut self, now: Tick, note: Note) {
        if self.owed.first() == Some(&note) {
            self.owed.remove(0);
            return;
        }
        match note {
            Note::Ready { slot, pid, after } => {
                let life = self.lives.get_mut(&pid).unwrap();
                assert_eq!(after, now.since(life.started));
                assert_eq!(slot, id(life.slot));
                assert!(!life.ready && life.alive_at.is_some_and(|at| at <= now));
                assert_eq!(life.told, None);
                life.ready = true;
            }
            Note::NotReady { slot, pid, after } => {
                let life = self.lives.get_mut(&pid).unwrap();
                assert_eq!(after, now.since(life.started));
                assert_eq!(slot, id(life.slot));
                assert!(!life.ready && life.ready_by.is_some_and(|by| by <= now));
                assert_eq!(life.told, None);
                life.told = Some(Why::NotReady);
                self.slots[life.slot].chair = Chair::Held;
            }
            Note::StopBegins { workers, grace } => {
                assert!(self.coming(now) && self.began.is_none());
                let seated = |slot: &&SlotBook| matches!(slot.chair, Chair::Seated(_));
                assert_eq!(workers, self.slots.iter().filter(seated).count());
                assert_eq!(grace, self.params.stop_timeout);
                self.began = Some(now);
                for slot in &mut self.slots {
                    if slot.chair != Chair::Asked {
                        slot.chair = Chair::Down;
                    }
                }
            }
            Note::GraceOver { .. } => {}
            Note::Undead {
                slot,
                pid,
                leftovers,
            } => {
                assert_eq!(leftovers, self.groups.contains_key(&pid));
                self.undead(now, slot, pid);
            }
            Note::Ended { .. }
            | Note::Leftovers { .. }
            | Note::SpawnDelayed { .. }
            | Note::StopRequested { .. }
            | Note::Hurried
            | Note::RestartRequested
            | Note::GivesUp { .. }
            | Note::Stranger { .. } => panic!("{note:?}, owed {:?}", self.owed),
        }
    }

    fn undead(&mut self, now: Tick, slot: SlotId, pid: Pid) {
        let over = |killed: Option<Tick>| killed.is_some_and(|at| at.after(KILL_PATIENCE) <= now);
        if let Some(group) = self.groups.remove(&pid) {
            assert!(over(group.killed) && id(group.slot) == slot);
            return;
        }
        let life = self.lives.get_mut(&pid).unwrap();
        assert!(over(life.killed) && !life.undead && id(life.slot) == slot);
        life.undead = true;
        let (life, at) = (*life, life.slot);
        let exit = Exit::Signal(Sig::KILL);
        if self.coming(now) {
            if self.began.is_none() {
                self.slots[at].chair = Chair::Down;
            }
            if self.one_shot() && self.code == 0 {
                self.code = self.mapped(life, exit);
            }
        } else if life.told == Some(Why::NotReady) {
            self.slots[at].streak += 1;
            let next = self.rules(life, exit);
            self.settle(now, at, next, PAUSE);
            if next == Next::GivesUp {
                let code = self.mapped(life, exit).max(1);
                self.give_up(now, slot, self.slots[at].streak, code);
            }
        } else {
            assert_eq!(self.slots[at].chair, Chair::Held);
            self.slots[at].chair = Chair::Due(now.after(PAUSE));
        }
    }

    fn finish(&mut self, now: Tick, code: u8) {
        assert!(self.lives.values().all(|l| l.undead), "{:?}", self.lives);
        assert!(self.groups.is_empty(), "{:?}", self.groups);
        assert!(self.slots.iter().all(|s| s.chair == Chair::Down));
        let expected = match self.stop {
            Some((_, Some(code))) => code,
            Some((_, None)) if !self.one_shot() => u8::from(self.killed),
            Some((_, None)) | None => self.code,
        };
        assert_eq!(code, expected, "exit code at {now:?}: {self:?}");
        self.finished = true;
    }
}
