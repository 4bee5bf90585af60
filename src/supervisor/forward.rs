//! Forwards signals to the workers.

use nix::errno::Errno;
use tracing::warn;

use super::Supervisor;
use crate::model::{Pid, Sig, SlotId};
use crate::sys::inspect::Dispositions;
use crate::sys::proc::Proc;
use crate::sys::signals;

impl Supervisor {
    /// Forwards the signal to reopen log files. If the runtime has log files, the signal was meant for the runtime: it
    /// is forwarded only to workers that handle it, so that it ends no worker.
    pub(super) fn forward_reopen(&self, sig: Sig) {
        let proc = self.config.log.files.any().then(|| Proc::new("/proc"));
        let survives = |pid| {
            let Some(proc) = &proc else { return true };
            // If the dispositions cannot be read, the signal might end the process. A process that blocks the signal
            // uses signalfd(2). A process that waits in sigwait(3) looks like one that would end, because the kernel
            // removes the awaited signals from the mask during the wait.
            proc.dispositions(pid).is_ok_and(|known| {
                let masks = known.caught | known.blocked | known.ignored;
                Dispositions::has(masks, sig)
            })
        };
        let workers = self.fleet.workers();
        self.forward_to(sig, sig, workers.filter(|(_, pid)| survives(*pid)));
    }

    pub(super) fn forward(&self, received: Sig, sent: Sig) {
        self.forward_to(received, sent, self.fleet.workers());
    }

    fn forward_to(&self, received: Sig, sent: Sig, to: impl Iterator<Item = (SlotId, Pid)>) {
        let mut workers = 0_usize;
        for (slot, pid) in to {
            match self.send(pid, sent) {
                Ok(()) => workers += 1,
                Err(errno) => {
                    warn!(slot = slot.0, pid = pid.get(), signal = %sent, error = errno.desc(), "cannot forward a signal");
                }
            }
        }
        tracing::debug!(signal = %received, %sent, workers, "signal received and forwarded");
    }

    /// Sends a signal by RPM_SIGNAL_SCOPE. The worker is not reaped, so its PID cannot belong to another process.
    pub(super) fn send(&self, pid: Pid, sig: Sig) -> nix::Result<()> {
        match self.config.signals.scope {
            crate::config::Scope::Process => signals::send(pid, sig),
            crate::config::Scope::Group => match signals::send_group(pid, sig) {
                // The worker has moved to another process group. Its PID is still its own.
                Err(Errno::ESRCH) => signals::send(pid, sig),
                other => other,
            },
        }
    }
}
