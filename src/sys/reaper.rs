//! The only waiter. Two owners of "is it dead?" would steal each other's answers.
#![expect(
    unsafe_code,
    reason = "waitpid(2) and waitid(2) as nix does not offer them"
)]

use nix::errno::Errno;

use crate::model::{Exit, Pid, Sig};

use super::retry;

/// Collects every child that has ended, ours and adopted ones, until none is left to collect. One SIGCHLD may stand
/// for many deaths (signal(7): standard signals do not queue).
pub fn reap(mut each: impl FnMut(Pid, Exit)) {
    while let Ok((raw, status)) = retry(|| wait_raw(-1, libc::WNOHANG)) {
        if raw <= 0 {
            break;
        }
        if let (Some(pid), Some(exit)) = (Pid::new(raw), decode(status)) {
            each(pid, exit);
        }
    }
}

/// Waits for one child of ours to end. Only before the loop runs (the start-up self-tests): from then on [`reap`] is
/// the only waiter.
pub fn wait_for(pid: Pid) -> nix::Result<Exit> {
    loop {
        let (_, status) = retry(|| wait_raw(pid.get(), 0))?;
        if let Some(exit) = decode(status) {
            return Ok(exit);
        }
    }
}

/// waitpid(2) by hand: nix fails with EINVAL where a real-time signal ended the process.
fn wait_raw(which: i32, options: i32) -> nix::Result<(i32, i32)> {
    let mut status = 0;
    // SAFETY: the pointer is to a live local.
    let raw = unsafe { libc::waitpid(which, &raw mut status, options) };
    Errno::result(raw).map(|raw| (raw, status))
}

fn decode(status: i32) -> Option<Exit> {
    if libc::WIFEXITED(status) {
        u8::try_from(libc::WEXITSTATUS(status)).ok().map(Exit::Code)
    } else if libc::WIFSIGNALED(status) {
        Sig::new(libc::WTERMSIG(status)).map(Exit::Signal)
    } else {
        None
    }
}

/// Whether processes are left in the group that the reaped `leader` led.
///
/// A group's number is not given to anybody else while a member lives or waits to be reaped. A member that is our
/// child is pinned by us, the only reaper, so after a `true` the group may be signalled within this turn. As init of
/// the pid namespace everybody is a descendant of ours and a plain look suffices; elsewhere a member that is nobody's
/// child of ours is left alone.
pub fn group_left(leader: Pid, init: bool) -> bool {
    let Ok(id) = libc::id_t::try_from(leader.get()) else {
        return false;
    };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let pinned = retry(|| {
        // SAFETY: a null siginfo is allowed (waitid(2)); nothing is collected (WNOWAIT).
        Errno::result(unsafe { libc::waitid(libc::P_PGID, id, std::ptr::null_mut(), options) })
    });
    if pinned.is_ok() {
        return true;
    }
    // SAFETY: signal 0 only asks; the negative number names one group because a `Pid` is above 1.
    init && Errno::result(unsafe { libc::kill(-leader.get(), 0) }).is_ok()
}
