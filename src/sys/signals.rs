//! Takes and sends signals. The only calls that send a signal are here.
#![expect(unsafe_code, reason = "kill(2), banned elsewhere")]

use std::io;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::raw::WithRawSiginfo;

use crate::model::{Pid, Received, Sig};

/// Delivers signals to the event loop. The handlers only store what the kernel says of a signal and write a byte.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, WithRawSiginfo>,
}

impl Signals {
    /// Installs handlers for the signals in `which` that are catchable and no faults (signal-hook panics for the
    /// others, hence the filter). Then unblocks all signals, because our parent may have started us with signals
    /// blocked.
    pub fn take(which: impl IntoIterator<Item = Sig>) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        let numbers: Vec<i32> = which
            .into_iter()
            .filter(|sig| sig.is_catchable() && !sig.is_fault())
            .map(Sig::get)
            .collect();
        let delivery = SignalDelivery::with_pipe(read, write, WithRawSiginfo, numbers)?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        Ok(Self { delivery })
    }

    /// A descriptor that becomes readable when a signal arrives. [`Signals::pending`] empties it.
    pub fn wakes(&self) -> io::Result<UnixStream> {
        self.delivery.get_read().try_clone()
    }

    /// The signals that arrived since the last call, each at most once, in the order of their numbers. If one arrived
    /// more than once and a process sent one of them, it counts as sent.
    pub fn pending(&mut self) -> Vec<Received> {
        let mut received: Vec<Received> = Vec::new();
        for info in self.delivery.pending() {
            let Some(sig) = Sig::new(info.si_signo) else {
                continue;
            };
            // kill(2), tgkill(2) and sigqueue(3) have a code of 0 or below, the kernel has one above (sigaction(2)). The
            // PID would not do: that of a sender outside of our PID namespace is 0.
            let sent = info.si_code <= 0;
            match received.iter_mut().find(|one| one.sig == sig) {
                Some(one) => one.sent |= sent,
                None => received.push(Received { sig, sent }),
            }
        }
        received
    }
}

/// Sends `sig` to one process of ours that is not reaped yet. Such a process at least exists as a zombie, which accepts
/// every signal, so ESRCH never means that it is gone.
pub fn send(pid: Pid, sig: Sig) -> nix::Result<()> {
    // SAFETY: kill has no memory preconditions; a `Pid` is above 1, so it names one process.
    let result = unsafe { libc::kill(pid.get(), sig.get()) };
    Errno::result(result).map(drop)
}

/// Sends `sig` to the process group that `leader` leads or led. The caller ensures that the group number is still ours:
/// the leader is not reaped, or [`super::reaper::group_left`] confirmed the group in this turn.
pub fn send_group(leader: Pid, sig: Sig) -> nix::Result<()> {
    // SAFETY: as above. The negative number names one group, never all processes, because a `Pid` is above 1.
    let result = unsafe { libc::kill(-leader.get(), sig.get()) };
    Errno::result(result).map(drop)
}

/// Blocks every signal in the calling thread. Only the main thread receives signals.
pub fn block_all() {
    // It fails only for an invalid `how`.
    let _ = SigSet::all().thread_block();
}
