//! Turns of the fleet as in the event loop: all exits are known before anything is decided; each action is performed in
//! the fake system, and its outcome is reported.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::time::Duration;

use rpm_runtime::model::{Pid, Snapshot, Tick};
use rpm_runtime::policy::{Action, Drains, Event, Rotation};

use crate::system::System;
use crate::world::World;

/// Everything that is visible of a fleet from outside.
pub type Outside = (Snapshot, Rotation, Vec<Drains>, u16, Option<Tick>);

impl World {
    pub fn turn(&mut self, events: &[Event]) {
        if self.books.finished {
            return;
        }
        let mut out = Vec::new();
        // Its reports before its end count.
        for pid in self.system.ending(self.now) {
            if let Some(event) = self.system.word(pid) {
                self.takes(event, &mut out);
            }
        }
        for (pid, exit, leftovers) in self.system.reap(self.now) {
            let oom = self.oom;
            self.gone.insert(0, pid);
            self.gone.truncate(6);
            self.takes(
                Event::Exited {
                    pid,
                    exit,
                    leftovers,
                    oom,
                },
                &mut out,
            );
        }
        if self.sees_groups_end {
            let system = &self.system;
            let gone: Vec<Pid> = self
                .fleet
                .sweeping()
                .filter(|pid| !system.group_left(*pid))
                .collect();
            for pid in gone {
                self.takes(Event::GroupEmpty { pid }, &mut out);
            }
        }
        if events.is_empty() {
            self.ticks(&mut out);
        }
        for event in events {
            // The one before it may have been the last.
            if !self.books.finished {
                self.decides(*event, &mut out);
            }
        }
        let mut queue = VecDeque::from(out);
        while let Some(action) = queue.pop_front() {
            let mut more = Vec::new();
            if matches!(action, Action::Spawn { .. })
                && let Some(command) = self.amid.take()
            {
                self.decides(Event::Operator(command), &mut more);
            }
            if let Some(outcome) = self.perform(&action) {
                self.decides(outcome, &mut more);
            }
            queue.extend(more);
        }
        assert_eq!(self.system.stopped(), [], "left stopped");
        self.books.settled(self.now, &self.fleet);
        self.turns += 1;
        self.note_bound();
        self.sleeps_well();
    }

    /// Checks that nothing changes by time alone before the next deadline, even if the fleet is woken; without a
    /// deadline, nothing ever changes.
    fn sleeps_well(&self) {
        let due = self.fleet.next_deadline();
        let at = match due {
            _ if self.books.finished => return,
            Some(due) => Tick(due.0.saturating_sub(Duration::from_nanos(1))),
            None => self.now.after(Duration::from_hours(1)),
        };
        let mut sleeper = self.fleet.clone();
        let mut out = Vec::new();
        sleeper.tick(at, 0, &mut out);
        assert_eq!(out, [], "a change at {at:?}, before the next is due");
        assert_eq!(sleeper.next_deadline(), due);
    }

    pub fn outside(&self) -> Outside {
        let fleet = &self.fleet;
        let drains = fleet.draining(self.now).collect();
        let (listeners, due) = (fleet.listeners(), fleet.next_deadline());
        (fleet.snapshot(), fleet.rotation(), drains, listeners, due)
    }

    fn takes(&mut self, event: Event, out: &mut Vec<Action>) {
        let (jitter, from) = (self.next_jitter(), out.len());
        self.books.hears(self.now, jitter, event);
        self.fleet.take(self.now, jitter, event, out);
        self.books.sees(self.now, &out[from..]);
    }

    /// Only time has passed.
    fn ticks(&mut self, out: &mut Vec<Action>) {
        let (jitter, from) = (self.next_jitter(), out.len());
        self.books.waits(jitter);
        self.fleet.tick(self.now, jitter, out);
        self.books.sees(self.now, &out[from..]);
        self.books.decided(self.now);
    }

    pub fn decides(&mut self, event: Event, out: &mut Vec<Action>) {
        let (jitter, from) = (self.next_jitter(), out.len());
        self.books.hears(self.now, jitter, event);
        self.fleet.decide(self.now, jitter, event, out);
        self.books.sees(self.now, &out[from..]);
        self.books.decided(self.now);
    }

    fn perform(&mut self, action: &Action) -> Option<Event> {
        let now = self.now;
        match *action {
            Action::Spawn { slot, listener, .. } => {
                return Some(match self.system.fork(now) {
                    Some(pid) => Event::Spawned {
                        slot,
                        listener,
                        pid,
                        port: System::port(pid),
                        channel: System::channel(pid),
                    },
                    None => Event::SpawnFailed { slot, listener },
                });
            }
            Action::Scrape { pid, .. } => {
                assert!(self.system.is_unreaped(pid), "{pid} is no worker's");
                // Some cannot be asked.
                return System::refuses_scrape(pid).then_some(Event::Scraped { pid });
            }
            Action::Message { pid } => {
                assert!(self.system.is_unreaped(pid), "{pid} is no worker's");
                self.system.message(now, pid);
            }
            Action::Stop { pid } => {
                assert!(self.system.is_unreaped(pid), "{pid} is no worker's");
                self.system.stop(now, pid);
            }
            Action::Resume { pid } => {
                assert!(self.system.is_unreaped(pid), "{pid} is no worker's");
                self.system.resume(pid);
            }
            Action::Kill { pid } => {
                assert!(self.system.is_unreaped(pid), "{pid} is no worker's");
                self.system.kill(now, pid);
            }
            Action::StopGroup { pid, .. } => self.system.signal_group(now, pid, false),
            Action::KillGroup { pid } => {
                assert!(
                    !self.system.is_unreaped(pid),
                    "{pid} leads another group now"
                );
                self.system.signal_group(now, pid, true);
            }
            Action::Release { .. }
            | Action::CheckListeners { .. }
            | Action::CloseAbandonedPorts
            | Action::Say(_)
            | Action::Finish { .. } => {}
        }
        None
    }
}
