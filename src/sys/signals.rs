//! Which signals we take, how they arrive, and the only calls that send one.
#![expect(unsafe_code, reason = "kill(2), banned elsewhere")]

use std::io;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::model::{Pid, Sig};

/// Signals on their way to the loop: the handlers only set a flag and write a byte.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    /// Takes `which`, which must all be catchable and no faults (signal-hook panics otherwise, hence the filter), and
    /// unblocks everything: a parent that blocked all signals must not make us deaf.
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

    /// A descriptor that becomes readable when a signal arrives, for whoever waits; [`Signals::pending`] empties it.
    pub fn wakes(&self) -> io::Result<UnixStream> {
        self.delivery.get_read().try_clone()
    }

    /// What arrived since the last call, each at most once, by number.
    pub fn pending(&mut self) -> Vec<Sig> {
        self.delivery.pending().filter_map(Sig::new).collect()
    }
}

/// Sends `sig` to one process of ours that is not reaped yet. ESRCH cannot mean "gone": it would be a zombie, which
/// accepts every signal.
pub fn send(pid: Pid, sig: Sig) -> nix::Result<()> {
    // SAFETY: kill has no memory preconditions; a `Pid` is above 1, so it names one process.
    let result = unsafe { libc::kill(pid.get(), sig.get()) };
    Errno::result(result).map(drop)
}

/// Sends `sig` to the process group that `leader` leads or led. The caller makes sure that the number still is ours:
/// the leader is unreaped, or [`super::reaper::group_left`] said so in this turn.
pub fn send_group(leader: Pid, sig: Sig) -> nix::Result<()> {
    // SAFETY: as above; the negative number names one group, never "everybody", because a `Pid` is above 1.
    let result = unsafe { libc::kill(-leader.get(), sig.get()) };
    Errno::result(result).map(drop)
}

/// Blocks every signal in the calling thread, for threads that should not be interrupted: the main one takes them.
pub fn block_all() {
    // It fails only for an invalid `how`.
    let _ = SigSet::all().thread_block();
}
