//! Checks that each action is allowed.
#![forbid(unsafe_code)]

use std::time::Duration;

use rpm_runtime::model::{Pid, Tick};
use rpm_runtime::policy::Action;

use super::{Books, Chair, Life};

impl Books {
    /// Checks the actions that the fleet returned.
    pub fn sees(&mut self, now: Tick, actions: &[Action]) {
        for action in actions {
            assert!(!self.finished, "after the end: {action:?}");
            self.sees_one(now, action);
        }
        assert_eq!(self.owed, [], "not said");
        assert_eq!(self.resumes, [], "left stopped");
        assert_eq!(self.releases, [], "not released");
        assert!(self.checks.is_none() && !self.closed, "for nobody");
    }

    fn sees_one(&mut self, now: Tick, action: &Action) {
        match *action {
            Action::Spawn {
                slot,
                listener,
                generation,
            } => self.asks(now, usize::from(slot.0), listener, generation),
            Action::Scrape { pid, within } => self.scrapes(now, pid, within),
            Action::Message { pid } => self.told_by_message(now, pid),
            Action::Stop { pid } => self.signalled(now, pid),
            Action::Resume { pid } => self.resumed(pid),
            Action::Release { pid, listener } => {
                self.unclaimed = true;
                self.released(now, pid, listener);
            }
            Action::CheckListeners { pid } => assert_eq!(self.checks.replace(pid), None),
            Action::CloseAbandonedPorts if self.reload.is_some() => {
                assert!(!std::mem::replace(&mut self.closed, true));
                self.unclaimed = false;
            }
            Action::CloseAbandonedPorts => {
                assert!(self.ports_settle().is_some_and(|at| at <= now), "{self:?}");
                self.unclaimed = false;
                self.tally.hit("ports of ended workers closed");
            }
            Action::Kill { pid } => {
                let life = self.lives.get_mut(&pid).unwrap();
                assert!(life.kill_due.is_some_and(|due| due <= now), "{life:?}");
                assert_eq!(life.killed, None, "{pid} is killed twice");
                life.killed = Some(now);
                life.signal_due = None;
                self.killed |= self.began.is_some();
            }
            Action::StopGroup { pid, told } => {
                let group = self.groups.get_mut(&pid).unwrap();
                assert!(!group.told, "{pid}'s group is told twice");
                assert_eq!(told, group.led, "whether its leader was told");
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

    /// How long a message comes before the stop signal, if there is one.
    pub(super) fn message_time(&self, life: &Life) -> Option<Duration> {
        let half = self.params.stop_timeout / 2;
        (self.params.stop_message && life.channel && !half.is_zero()).then_some(half)
    }

    fn told_by_message(&mut self, now: Tick, pid: Pid) {
        let time = self.message_time(&self.lives[&pid]).unwrap();
        self.told_to_stop(now, pid);
        self.lives.get_mut(&pid).unwrap().signal_due = Some(now.after(time));
        self.tally.hit("told by message");
    }

    fn signalled(&mut self, now: Tick, pid: Pid) {
        let life = self.lives.get_mut(&pid).unwrap();
        if let Some(due) = life.signal_due.take() {
            assert!(due <= now && life.killed.is_none(), "too early: {life:?}");
            self.tally.hit("message, then signal");
            return;
        }
        assert_eq!(self.message_time(&self.lives[&pid]), None, "{pid}");
        self.told_to_stop(now, pid);
    }

    /// No message is needed any more, and what was to follow one is due.
    pub(super) fn channel_closed(&mut self, now: Tick, pid: Pid) {
        if let Some(life) = self.lives.get_mut(&pid) {
            life.channel = false;
            if let Some(due) = &mut life.signal_due {
                *due = now;
                self.tally.hit("channel closed after the message");
            }
        }
    }

    fn told_to_stop(&mut self, now: Tick, pid: Pid) {
        if self.lives[&pid].leaves.is_none() {
            self.taken_away(now, pid);
        }
        self.scrape_is_over(now, self.lives[&pid]);
        let life = self.lives.get_mut(&pid).unwrap();
        life.scraping = None;
        assert!(life.drain.is_none(), "{pid} drains");
        assert_eq!(life.kill_due, None, "{pid} is told twice");
        life.kill_due = Some(now.after(self.params.stop_timeout));
    }

    fn finish(&mut self, now: Tick, code: u8) {
        assert!(self.lives.values().all(|l| l.undead), "{:?}", self.lives);
        assert!(self.groups.is_empty(), "{:?}", self.groups);
        assert!(self.slots.iter().all(|s| s.chair == Chair::Down));
        assert!(self.reload.is_none() && self.asked.is_empty());
        let asked = self.stop.is_some_and(|stop| stop.gave_up.is_none());
        assert_eq!(self.told_stopped, asked && self.began.is_some());
        let expected = match self.stop {
            Some(stop) if let Some(code) = stop.gave_up => code,
            Some(_) if !self.one_shot() => u8::from(self.killed),
            Some(_) | None => self.code,
        };
        assert_eq!(code, expected, "exit code at {now:?}: {self:?}");
        self.finished = true;
    }
}
