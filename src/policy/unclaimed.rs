//! Ports that only workers had which have ended: a child of a worker bound one, or the program binds one in some of its
//! lives. If no later worker binds it, clients would wait there for ever.

use std::time::Duration;

use crate::model::Tick;

use super::Action;
use super::fleet::{Fleet, Mode};
use super::slot::{Seat, Worker};
use super::turn::Turn;

/// A worker has at least this time from its start to bind its ports.
const SHORTEST: Duration = Duration::from_secs(1);

/// A worker that opened a port late, such as that of a debugger, gives the next ones no more time than this.
const LONGEST: Duration = Duration::from_mins(10);

impl Fleet {
    /// The worker has ended, or cannot be killed: its listener is free for the next one.
    pub(super) fn release(&mut self, turn: &mut Turn<'_>, worker: &Worker) {
        self.released = true;
        turn.act(Action::Release {
            pid: worker.pid,
            listener: worker.listener,
        });
    }

    /// When every worker has bound what it binds, so that a port which nobody has is nobody's. `None` if no worker has
    /// ended since the last time, if workers still come and go, and if there is no worker.
    pub(super) fn unclaimed_at(&self) -> Option<Tick> {
        let busy = self.mode != Mode::Serving
            || self.reload.is_some()
            || !self.asked.is_empty()
            || self.retiring.iter().any(|gone| !gone.undead);
        if busy || !self.released {
            return None;
        }
        let mut last = None;
        for slot in &self.slots {
            match slot.seat {
                Seat::Stopped => {}
                Seat::Ready { worker, since } if slot.successor.is_none() => {
                    last = last.max(Some(self.has_bound_at(&worker, since)));
                }
                Seat::Ready { .. }
                | Seat::Waiting { .. }
                | Seat::Held
                | Seat::Launching
                | Seat::Starting { .. } => return None,
            }
        }
        last
    }

    /// When a worker has bound all its ports that became ready at `since`. It may open some after it is ready, and a
    /// program that was slow once may be slow again.
    fn has_bound_at(&self, worker: &Worker, since: Tick) -> Tick {
        let slow = self.slowest.saturating_mul(2).min(LONGEST);
        let from_start = self.params.min_uptime.max(SHORTEST).max(slow);
        let from_ready = self.params.ready_timeout;
        worker
            .started
            .after(from_start)
            .max(since.after(from_ready))
    }

    /// Has the ports closed that nobody has any more.
    pub(super) fn close_unclaimed(&mut self, turn: &mut Turn<'_>) {
        if self.unclaimed_at().is_some_and(|at| at <= turn.now) {
            self.released = false;
            turn.act(Action::CloseAbandonedPorts);
        }
    }
}
