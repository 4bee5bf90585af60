//! Catching a worker that lives off its clients' open connections in a moment when none of them is at work.

use std::net::SocketAddr;

use crate::model::{Pid, Sig};
use crate::policy::drain::{Aim, Look};
use crate::sys::signals;

use super::sight::{Sight, Subject};
use super::survey::Handshakes;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The worker has nothing to lose. It is stopped: the stop signal and SIGCONT are the caller's.
    Quiet,
    /// It has something to lose, and goes on.
    Busy,
    /// Its connections cannot be seen, so that it makes no sense to wait for such a moment. It was not stopped.
    Blind,
}

/// A group that has been sent SIGSTOP, and gets SIGCONT whatever happens, unless it shall stay as it is.
struct Frozen {
    leader: Pid,
    stays: bool,
}

impl Frozen {
    /// Even if the signal cannot be sent, the other one will be: it does no harm.
    fn freeze(leader: Pid) -> (Self, bool) {
        let frozen = Self {
            leader,
            stays: false,
        };
        let sent = signals::send_group(leader, Sig::STOP).is_ok();
        (frozen, sent)
    }

    fn stays(mut self) {
        self.stays = true;
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if !self.stays {
            // Nobody is left to be told if it fails: the group is gone.
            let _ = signals::send_group(self.leader, Sig::CONT);
        }
    }
}

impl Sight {
    /// Looks at `leader`'s worker; if it is as `aim` says, stops its whole group, waits until every
    /// thread of it stands still, and looks again, since a request may have come in between. If it is still quiet, it
    /// stays stopped. `queued` gives the length of its listeners' queues, which are ours and outlive it.
    ///
    /// Blocks the caller's thread for two looks and, between them, up to some 20 ms. The caller is the only one who
    /// reaps, and has not reaped `leader`. The worker may notice: some calls return EINTR after a stop (signal(7)), so
    /// this is for those that the stop signal would end anyway. Without sock_diag, only a worker without connections is
    /// ever found quiet. A process of the worker's that has left its group is looked at but not
    /// stopped.
    pub fn moment(
        &mut self,
        leader: Pid,
        ports: &[SocketAddr],
        aim: Aim,
        queued: impl Fn() -> u32,
    ) -> Moment {
        let look = self.look_at(leader, ports, aim, queued());
        if !look.visible {
            return Moment::Blind;
        }
        if !aim.passes(&look) {
            return Moment::Busy;
        }
        let (frozen, sent) = Frozen::freeze(leader);
        // Read after the signal: nobody who has it pending can fork any more, so none is missed.
        let stopped = sent
            && self
                .group(leader)
                .is_some_and(|group| self.proc.stopped_within(&group));
        if stopped {
            let look = self.look_at(leader, ports, aim, queued());
            if look.visible && aim.passes(&look) {
                frozen.stays();
                return Moment::Quiet;
            }
        }
        Moment::Busy
    }

    /// The same, for a moment in which nothing is at work.
    #[cfg(test)]
    pub fn quiet_moment(
        &mut self,
        leader: Pid,
        ports: &[SocketAddr],
        queued: impl Fn() -> u32,
    ) -> Moment {
        self.moment(leader, ports, Aim::Quiet, queued)
    }

    fn look_at(&mut self, leader: Pid, ports: &[SocketAddr], aim: Aim, queued: u32) -> Look {
        let subject = Subject {
            leader,
            handshakes: &Handshakes::default(),
            aim: Some(aim),
            queued,
        };
        self.look(&[subject], ports).pop().unwrap_or_default()
    }
}
