//! Takes and sends signals. The only calls that send a signal are here.
#![expect(unsafe_code, reason = "kill(2), banned elsewhere")]

use std::io;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::model::{Pid, Sig};

/// Delivers signals to the event loop. The handlers only set a flag and write a byte.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
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
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, numbers)?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        Ok(Self { delivery })
    }

    /// A descriptor that becomes readable when a signal arrives. [`Signals::pending`] empties it.
    pub fn wakes(&self) -> io::Result<UnixStream> {
        self.delivery.get_read().try_clone()
    }

    /// The signals that arrived since the last call, each at most once, in the order of their numbers.
    pub fn pending(&mut self) -> Vec<Sig> {
        self.delivery.pending().filter_map(Sig::new).collect()
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
