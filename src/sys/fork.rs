//! The only fork.
#![expect(unsafe_code, reason = "fork(2), and _exit(2) in the child")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{ForkResult, fork};

use crate::model::Pid;

/// Forks a child. The child runs `child` with all signals blocked and its end of a status socket (see
/// [`super::status`]), and exits with the returned code. Returns the child's PID and our end of the socket. Fails with
/// EAGAIN or ENOMEM; for the socket with EMFILE or ENFILE.
///
/// # Safety
///
/// `child` must make async-signal-safe calls only (signal-safety(7)), because another thread may hold any lock at this
/// moment. It must not drop anything that frees memory, so it borrows what it needs.
pub unsafe fn fork_with_status(
    child: impl FnOnce(BorrowedFd<'_>) -> u8,
) -> nix::Result<(Pid, OwnedFd)> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    let mut before = SigSet::empty();
    // Our signal handlers must not run in the child: they would write to the pipe that wakes the parent.
    sigprocmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::all()),
        Some(&mut before),
    )?;
    // SAFETY: the caller promises what `child` does; the child exits below.
    let forked = unsafe { fork() };
    if let Ok(ForkResult::Child) = forked {
        let code = child(theirs.as_fd());
        // SAFETY: integers only; _exit runs no exit handlers and flushes no buffers of the parent.
        unsafe { libc::_exit(i32::from(code)) }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    match forked? {
        ForkResult::Child => Err(Errno::ECHILD),
        ForkResult::Parent { child } => Ok((Pid::new(child.as_raw()).ok_or(Errno::ECHILD)?, ours)),
    }
}
