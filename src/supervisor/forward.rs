//! Signals that go on to the workers.

use nix::errno::Errno;
use tracing::warn;

use super::Supervisor;
use crate::model::{Pid, Sig, SlotId};
use crate::sys::peek::Dispositions;
use crate::sys::proc::Proc;
use crate::sys::signals;

impl Supervisor {
    /// Where the log files are ours, the signal was meant for us: it goes on to those that do something with it, and ends
    /// nobody.
    pub(super) fn forward_reopen(&self, sig: Sig) {
        let proc = self.config.log.files.any().then(|| Proc::new("/proc"));
        let survives = |pid| {
            let Some(proc) = &proc else { return true };
            // Who cannot be asked might end. Who blocks it has a signalfd(2); who stands in sigwait(3) cannot be told from
            // one that would end: the kernel takes what it waits for out of the mask for so long.
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
                    warn!(%slot, %pid, signal = %sent, error = errno.desc(), "cannot forward a signal");
                }
            }
        }
        tracing::debug!(signal = %received, %sent, workers, "signal received and forwarded");
    }

    /// By RPM_SIGNAL_SCOPE. The worker is unreaped, so its number is its own.
    pub(super) fn send(&self, pid: Pid, sig: Sig) -> nix::Result<()> {
        match self.config.signal_scope {
            crate::config::Scope::Process => signals::send(pid, sig),
            crate::config::Scope::Group => match signals::send_group(pid, sig) {
                // It left its group for another one; its number is its own all the same.
                Err(Errno::ESRCH) => signals::send(pid, sig),
                other => other,
            },
        }
    }
}
