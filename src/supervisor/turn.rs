//! One turn of the loop: reap everything first, look, decide, perform, publish.

use crate::model::Pid;
use crate::policy::{Action, Event};
use crate::sys::pid1::Role;
use crate::sys::reaper;

use super::Supervisor;

impl Supervisor {
    /// One turn. The exit code, if this was the last.
    pub(super) fn turn(&mut self, event: Event) -> Option<u8> {
        let mut actions = Vec::new();
        if matches!(
            event,
            Event::ExecFailed { .. } | Event::Starved { .. } | Event::Executed { .. }
        ) {
            // It was said before the end that may be waiting to be reaped, and tells what that end means.
            self.take(event, &mut actions);
            self.reap(&mut actions);
            self.decide(Event::Woke, &mut actions);
        } else {
            self.reap(&mut actions);
            self.look_at_drains(&mut actions);
            self.look_at_watchdogs(&mut actions);
            self.decide(event, &mut actions);
        }
        // Nothing is sent any more to who is gone while its successor is being forked, which may take long.
        self.steer();
        let mut queue = std::collections::VecDeque::from(actions);
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
        self.publish();
        self.workers.forget_reaped();
        end
    }

    /// The only place where the record of a worker goes.
    fn forget(&mut self, pid: Pid) {
        if let Some(id) = self.workers.reap(pid) {
            self.app_metrics.worker_ended(id.life);
        }
    }

    fn decide(&mut self, event: Event, out: &mut Vec<Action>) {
        self.fleet.decide(self.now, self.clock.jitter(), event, out);
    }

    pub(super) fn take(&mut self, event: Event, out: &mut Vec<Action>) {
        self.fleet.take(self.now, self.clock.jitter(), event, out);
    }

    /// Everything that has ended is known before anything is decided.
    fn reap(&mut self, actions: &mut Vec<Action>) {
        let mut ended = Vec::new();
        reaper::reap(|pid, exit| ended.push((pid, exit)));
        if ended.is_empty() {
            return;
        }
        let init = self.host.role == Role::Init;
        let oom = self.oom_struck(&ended);
        for (pid, exit) in ended {
            let ours = self.workers.get(pid).is_some();
            if ours {
                // What it said before it died counts: why it could not run its program.
                while let Some(event) = self.read_status(pid) {
                    self.take(event, actions);
                }
                self.forget(pid);
            }
            let leftovers = ours && reaper::group_left(pid, init);
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
        let swept: Vec<Pid> = self
            .fleet
            .sweeping()
            .filter(|leader| !reaper::group_left(*leader, init))
            .collect();
        for pid in swept {
            self.take(Event::GroupEmpty { pid }, actions);
        }
    }
}
