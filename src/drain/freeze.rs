//! Stops a worker at a moment without a request at work, although its clients keep their connections open.

use std::io;
use std::net::SocketAddr;

use crate::model::{Pid, Sig};
use crate::policy::drain::{Aim, Look};
use crate::sys::proc::Proc;
use crate::sys::signals;

use super::inspector::{Inspector, Subject};
use super::sockets::{Existing, Handshakes};

/// Result of [`Inspector::freeze_if_quiet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezeOutcome {
    /// The worker has nothing to lose. It is stopped by SIGSTOP; the caller sends the stop signal and SIGCONT.
    Quiet,
    /// The worker has something to lose and continues to run.
    Busy,
    /// The connections cannot be read, or the worker cannot be stopped (another uid, and no CAP_KILL), so there is no
    /// point in trying again. It was not stopped.
    Blind,
}

/// A process group that was sent SIGSTOP. Dropping this sends SIGCONT, unless it was told to stay stopped.
#[derive(Debug)]
pub struct Frozen {
    leader: Pid,
    stays: bool,
}

impl Frozen {
    /// Sends SIGSTOP. Fails with EPERM if we may not signal the worker, with ESRCH if it is gone.
    fn freeze(leader: Pid) -> io::Result<Self> {
        signals::send_group(leader, Sig::STOP)?;
        Ok(Self {
            leader,
            stays: false,
        })
    }

    /// Stops the process group of this worker, for what must not happen while it runs. `None` if it cannot be stopped
    /// within about 20 ms. The same restrictions hold as for [`Inspector::freeze_if_quiet`].
    pub fn pause(leader: Pid) -> Option<Self> {
        let frozen = Self::freeze(leader).ok()?;
        let proc = Proc::new("/proc");
        let mut group = proc.processes().ok()?.group(leader);
        group.retain(|process| !process.is_over());
        proc.stopped_within(&group).then_some(frozen)
    }

    /// Whether every process of this worker's group is stopped already, by somebody else. False if this cannot be read.
    pub fn is_already(leader: Pid) -> bool {
        let proc = Proc::new("/proc");
        let Ok(processes) = proc.processes() else {
            return false;
        };
        let group = processes.group(leader);
        let mut living = group.iter().filter(|process| !process.is_over());
        living.all(|process| {
            Pid::new(process.pid).is_some_and(|pid| proc.is_stopped(pid).unwrap_or(false))
        })
    }

    fn stays(mut self) {
        self.stays = true;
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if !self.stays {
            // It fails only if the group is gone; then nothing needs the signal.
            let _ = signals::send_group(self.leader, Sig::CONT);
        }
    }
}

impl Inspector {
    /// Looks at the worker of `leader`. If it meets `aim`, stops its whole process group, waits until every thread is
    /// stopped, and looks again, because a request may have arrived in between. If it still meets `aim`, it stays
    /// stopped. `existing` is that of [`Subject`]. `queued` returns the length of its listeners' queues, which belong to the runtime and outlive the
    /// worker.
    ///
    /// Blocks the calling thread for two looks and up to about 20 ms between them. The caller must be the only reaper
    /// and must not have reaped `leader`. The worker may notice the stop, because some system calls return EINTR after
    /// it (signal(7)); so use this only for workers that the stop signal would end anyway. Without sock_diag only a
    /// worker without connections can be found quiet. A process that has left the worker's group is looked at but not
    /// stopped.
    pub fn freeze_if_quiet(
        &mut self,
        leader: Pid,
        ports: &[SocketAddr],
        (aim, existing): (Aim, Option<&Existing>),
        queued: impl Fn() -> u32,
    ) -> FreezeOutcome {
        let none = Handshakes::default();
        let subject = |queued| Subject {
            leader,
            handshakes: &none,
            existing,
            aim: Some(aim),
            queued,
        };
        let look = self.look_at(subject(queued()), ports);
        if !look.visible {
            return FreezeOutcome::Blind;
        }
        if !aim.passes(&look) {
            return FreezeOutcome::Busy;
        }
        let frozen = match Frozen::freeze(leader) {
            Ok(frozen) => frozen,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return FreezeOutcome::Blind;
            }
            Err(_) => return FreezeOutcome::Busy,
        };
        // The group is read after the signal: a process with a pending SIGSTOP cannot fork any more, so none is missed.
        let stopped = self
            .group(leader)
            .is_some_and(|group| self.proc.stopped_within(&group));
        if stopped {
            let look = self.look_at(subject(queued()), ports);
            if look.visible && aim.passes(&look) {
                frozen.stays();
                return FreezeOutcome::Quiet;
            }
        }
        FreezeOutcome::Busy
    }

    /// As [`Inspector::freeze_if_quiet`] with [`Aim::Quiet`].
    #[cfg(test)]
    pub fn freeze_if_nothing_is_at_work(
        &mut self,
        leader: Pid,
        ports: &[SocketAddr],
        queued: impl Fn() -> u32,
    ) -> FreezeOutcome {
        self.freeze_if_quiet(leader, ports, (Aim::Quiet, None), queued)
    }

    fn look_at(&mut self, subject: Subject<'_>, ports: &[SocketAddr]) -> Look {
        self.look(&[subject], ports).pop().unwrap_or_default()
    }
}
