//! From the request for a worker until it is ready.
#![forbid(unsafe_code)]

use std::time::Duration;

use rpm_runtime::model::{Cause, ListenerId, Pid, PortId, SlotId, Tick};
use rpm_runtime::policy::{NotUp, Note};

use super::{Asked, Books, Chair, Life, PAUSE};

/// The purpose of a requested worker when the answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Chair,
    Next,
    /// The slot no longer needs it.
    Nobody,
}

impl Books {
    /// The request that is answered, and its present purpose.
    fn answered(&mut self, at: usize, listener: ListenerId) -> (Asked, For) {
        let asked = self.asked.iter();
        let mut found = asked
            .enumerate()
            .filter(|(_, asked)| asked.slot == at && asked.listener == listener);
        let place = found.next().map(|(place, _)| place).unwrap();
        assert!(found.next().is_none(), "asked twice for {listener}");
        let asked = self.asked.remove(place);
        let answer = match self.slots.get(at) {
            Some(slot) if slot.chair == Chair::Asked && slot.listener == Some(listener) => {
                For::Chair
            }
            Some(slot)
                if slot
                    .next
                    .is_some_and(|next| next.pid.is_none() && next.listener == listener) =>
            {
                For::Next
            }
            _ => For::Nobody,
        };
        (asked, answer)
    }

    pub(super) fn spawned(
        &mut self,
        now: Tick,
        at: usize,
        listener: ListenerId,
        (pid, port, channel): (Pid, Option<PortId>, bool),
    ) {
        self.forked = true;
        // A PID is reused only when its process group is gone.
        self.groups.remove(&pid);
        let (asked, answer) = self.answered(at, listener);
        let coming = self.began.is_some();
        let halted = self.slots.get(at).is_some_and(|slot| slot.halted);
        let life = Life {
            slot: at,
            listener,
            generation: asked.generation,
            started: now,
            ready: None,
            start: self.start(now, at, port),
            exec_failed: None,
            starved: false,
            fit: self.params.health_failures.is_none(),
            failures: 0,
            excludes: false,
            found_in_use: false,
            leaves: None,
            returns: false,
            left: 0,
            gone_by: now,
            overslept: self.overslept,
            drain: None,
            scraping: None,
            scraped: false,
            channel,
            signal_due: None,
            kill_due: None,
            killed: None,
            undead: false,
            released: false,
        };
        assert!(self.lives.insert(pid, life).is_none(), "{pid} twice");
        match answer {
            For::Chair if coming || halted => {
                self.slots[at].chair = Chair::Down;
                let cause = if coming { Cause::Stop } else { Cause::Halt };
                self.leaves(now, pid, cause, false);
            }
            For::Chair => self.slots[at].chair = Chair::Seated(pid),
            For::Next => {
                assert!(self.stop.is_none(), "a successor in the stop");
                self.slots[at].next.as_mut().unwrap().pid = Some(pid);
            }
            For::Nobody => {
                self.tally.hit("answered too late");
                let cause = match (coming, halted) {
                    (true, _) => Cause::Stop,
                    (false, true) => Cause::Halt,
                    (false, false) => Cause::Reload,
                };
                self.leaves(now, pid, cause, false);
            }
        }
    }

    pub(super) fn spawn_failed(&mut self, now: Tick, slot: SlotId, listener: ListenerId) {
        let at = usize::from(slot.0);
        let (_, answer) = self.answered(at, listener);
        match answer {
            For::Nobody => {}
            For::Next => {
                self.tally.hit("successor cannot be forked");
                self.not_up(now, at, None, NotUp::NotStarted, true);
            }
            For::Chair if self.began.is_some() || self.slots[at].halted => {
                self.slots[at].chair = Chair::Down;
            }
            For::Chair if self.forked => {
                let book = &mut self.slots[at];
                book.shortages += 1;
                let wait = self.params.backoff.delay(book.shortages, self.jitter);
                let retry_in = wait.max(PAUSE);
                book.chair = Chair::Due(now.after(retry_in));
                self.owed.push(Note::SpawnDelayed { slot, retry_in });
                if self.reload.is_some() {
                    self.trial_failed(now, slot, None, NotUp::NotStarted);
                }
            }
            For::Chair => {
                self.slots[at].chair = Chair::Down;
                self.give_up(now, slot, 0, 71);
            }
        }
    }

    pub(super) fn extended(&mut self, now: Tick, pid: Pid, by: Duration) {
        if let Some(life) = self.lives.get_mut(&pid)
            && life.leaves.is_none()
            && life.ready.is_none()
            && let Some(ready_by) = &mut life.start.ready_by
        {
            *ready_by = now.after(by).max(*ready_by);
        }
    }
}
