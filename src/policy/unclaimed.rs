//! Ports that only workers had which have ended: a child of a worker bound one, or the program binds one in some of its
//! lives. If no later worker binds it, clients would wait there for ever.

use std::time::Duration;

use crate::model::Tick;

use super::fleet::{Fleet, Mode};
use super::slot::{Seat, Worker};
use super::turn::Turn;
use super::{Action, ReadyRule};

/// A worker binds its ports within this time, at least.
const SHORTEST: Duration = Duration::from_secs(1);

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
                Seat::Ready { worker, .. } if slot.successor.is_none() => {
                    last = last.max(Some(worker.started.after(self.binds_within())));
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

    /// The time from its start in which a worker that is ready has bound all its ports. Where listening makes it ready, it
    /// listens on every port that is expected of it.
    fn binds_within(&self) -> Duration {
        let at_least = self.params.min_uptime.max(SHORTEST);
        match self.params.ready {
            ReadyRule::Listens { .. } | ReadyRule::Asked => at_least,
            ReadyRule::Told | ReadyRule::Alive(_) => at_least.max(self.params.ready_timeout),
        }
    }

    /// Has the ports closed that nobody has any more.
    pub(super) fn close_unclaimed(&mut self, turn: &mut Turn<'_>) {
        if self.unclaimed_at().is_some_and(|at| at <= turn.now) {
            self.released = false;
            turn.act(Action::CloseAbandonedPorts);
        }
    }
}
