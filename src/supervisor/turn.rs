//! One turn of the loop: reap all ended processes, handle events, decide, perform the actions, publish the state.

use std::collections::VecDeque;

use crate::model::{Cause, Pid};
use crate::policy::{Action, Event};
use crate::sys::pid1::Role;
use crate::sys::reaper;

use super::Supervisor;

impl Supervisor {
    /// Performs one turn with all events that have come at once; no events if only time has passed. Returns the exit
    /// code if this was the last turn.
    pub(super) fn turn(&mut self, events: Vec<Event>) -> Option<u8> {
        let mut actions = Vec::new();
        // A worker's status messages came before its end, which may be waiting to be reaped, and they explain that end.
        // So they are handled first.
        let (starts, events): (Vec<Event>, Vec<Event>) =
            events.into_iter().partition(comes_before_the_end);
        for event in starts {
            self.take(event, &mut actions);
        }
        self.reap(&mut actions);
        self.look_at_drains(&mut actions);
        self.look_at_watchdogs(&mut actions);
        if events.is_empty() {
            self.fleet.tick(self.now, self.clock.jitter(), &mut actions);
        }
        for event in events {
            self.decide(event, &mut actions);
        }
        self.judge_barred(&mut actions);
        // Steers first, because forking a successor may take long, and no new connection must go to an ended worker in
        // that time.
        self.steer();
        let end = self.perform_all(actions);
        self.leftovers.forget_seen();
        self.publish();
        self.workers.forget_reaped();
        self.answers.send();
        end
    }

    /// Performs the actions and those that result from their outcomes. Returns the exit code if one of them is to
    /// finish.
    fn perform_all(&mut self, actions: Vec<Action>) -> Option<u8> {
        let mut queue = VecDeque::from(actions);
        let mut end = None;
        while let Some(action) = queue.pop_front() {
            if let Action::Finish { code } = action {
                end = Some(code);
                continue;
            }
            if let Some(outcome) = self.perform(&action) {
                let mut more = Vec::new();
                self.decide(outcome, &mut more);
                queue.extend(more);
            }
        }
        end
    }

    /// A worker without a listener is unfit for as long as it lives, whatever its checks say, and also if it becomes ready
    /// only later.
    fn judge_barred(&mut self, actions: &mut Vec<Action>) {
        let barred = self
            .workers
            .iter_mut()
            .filter(|one| one.barred && !one.told);
        let barred: Vec<Pid> = barred.map(|worker| worker.id.pid).collect();
        for pid in barred {
            let cause = Cause::Unhealthy;
            self.decide(Event::Unfit { pid, cause }, actions);
        }
    }

    fn decide(&mut self, event: Event, out: &mut Vec<Action>) {
        self.fleet.decide(self.now, self.clock.jitter(), event, out);
    }

    pub(super) fn take(&mut self, event: Event, out: &mut Vec<Action>) {
        self.fleet.take(self.now, self.clock.jitter(), event, out);
    }

    /// Reaps all ended processes before anything is decided.
    fn reap(&mut self, actions: &mut Vec<Action>) {
        let mut ended = Vec::new();
        reaper::reap(|pid, exit| ended.push((pid, exit)));
        if ended.is_empty() {
            return;
        }
        let init = self.host.role == Role::Init;
        let oom = self.oom_struck(&ended);
        let mut processes = None;
        for &(pid, exit) in &ended {
            let mut leftovers = false;
            let ours = self.workers.get(pid).is_some();
            if ours {
                // The status messages from before its end count: they say why it could not run its program.
                let mut said = Vec::new();
                self.read_status(pid, &mut said);
                for event in said {
                    self.take(event, actions);
                }
                let group_left = reaper::group_left(pid, init);
                leftovers = self.find_leftovers(pid, exit, &mut processes, group_left);
                self.forget(pid);
            }
            self.take(
                Event::Exited {
                    pid,
                    exit,
                    leftovers,
                    oom,
                },
                actions,
            );
        }
        self.sweep_leftovers(&ended);
        let sweeping: Vec<Pid> = self.fleet.sweeping().collect();
        for pid in sweeping {
            if !self.anything_left(pid) {
                self.take(Event::GroupEmpty { pid }, actions);
            }
        }
    }

    /// The only place where the record of a worker is removed.
    fn forget(&mut self, pid: Pid) {
        self.channel_ends(pid);
        if let Some(id) = self.workers.reap(pid) {
            self.app_metrics.worker_ended(id.process);
            self.lives.forget(pid);
        }
    }
}

/// Whether the event is about a start, so that it is older than the end of its worker, or explains the end of another.
fn comes_before_the_end(event: &Event) -> bool {
    matches!(
        event,
        Event::ExecFailed { .. }
            | Event::Starved { .. }
            | Event::Executed { .. }
            | Event::Excludes { .. }
            | Event::FoundInUse { .. }
    )
}
