//! The one fork.
#![expect(unsafe_code, reason = "fork(2), and _exit(2) in the child")]

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{ForkResult, fork};

use crate::model::Pid;

/// Forks a child that runs `child` with all signals blocked and its end of a status socket (see [`super::status`]), and
/// that exits with the code it returns. Returns the child and our end. EAGAIN, ENOMEM; EMFILE and ENFILE for the socket.
///
/// # Safety
///
/// `child` makes async-signal-safe calls only (signal-safety(7)): another thread may hold any lock at this moment. It
/// drops nothing that frees memory, so what it needs is borrowed.
pub unsafe fn fork_with_status(child: impl FnOnce(RawFd) -> u8) -> nix::Result<(Pid, OwnedFd)> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    let mut before = SigSet::empty();
    // No handler of ours may run in the child: it would write to the pipe that wakes the parent.
    sigprocmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::all()),
        Some(&mut before),
    )?;
    // SAFETY: what the child does is the caller's promise; it ends below.
    let forked = unsafe { fork() };
    if let Ok(ForkResult::Child) = forked {
        let code = child(theirs.as_raw_fd());
        // SAFETY: integers only; no handler of the parent's runs, and none of its buffers is flushed.
        unsafe { libc::_exit(i32::from(code)) }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    match forked? {
        ForkResult::Child => Err(Errno::ECHILD),
        ForkResult::Parent { child } => Ok((Pid::new(child.as_raw()).ok_or(Errno::ECHILD)?, ours)),
    }
}
