//! The only code that waits for children. Two waiters would steal each other's results.
#![expect(
    unsafe_code,
    reason = "waitpid(2) and waitid(2) as nix does not offer them"
)]

use nix::errno::Errno;

use crate::model::{Exit, Pid, Sig};

use super::retry;

/// Reaps every child that has ended, own and adopted. One SIGCHLD may stand for several deaths (signal(7): standard
/// signals do not queue).
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

/// Waits for one child to end. Only for the self-tests before the event loop starts; from then on [`reap`] is the only
/// waiter.
pub fn wait_for(pid: Pid) -> nix::Result<Exit> {
    loop {
        let (_, status) = retry(|| wait_raw(pid.get(), 0))?;
        if let Some(exit) = decode(status) {
            return Ok(exit);
        }
    }
}

/// Calls waitpid(2) directly: nix fails with EINVAL if a real-time signal ended the process.
fn wait_raw(which: i32, options: i32) -> nix::Result<(i32, i32)> {
    let mut status = 0;
    // SAFETY: the pointer is to a live local.
    let raw = unsafe { libc::waitpid(which, &raw mut status, options) };
    Errno::result(raw).map(|raw| (raw, status))
}

/// Whether a child has ended, reaped or not. It does not reap, so any thread may ask.
pub fn has_ended(pid: Pid) -> bool {
    // ECHILD: it is reaped.
    peek(libc::P_PID, pid) != Ok(0)
}

/// A child that has ended, of those that `which` and `pid` name, or 0 if all of them live. It is left unreaped (waitid(2),
/// WNOWAIT). ECHILD if none of them is our child.
fn peek(which: libc::idtype_t, pid: Pid) -> nix::Result<libc::pid_t> {
    let id = libc::id_t::from(pid.get().unsigned_abs());
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: zeroes are a valid value of this structure.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live local.
    retry(|| Errno::result(unsafe { libc::waitid(which, id, &raw mut info, how) }))?;
    // SAFETY: waitid(2) fills this field, and leaves it zero if no child has ended.
    Ok(unsafe { info.si_pid() })
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

/// Whether processes remain in the group that the reaped process `leader` led.
///
/// The kernel does not reuse a group number while a member of the group lives or is not reaped. A member that is our
/// child stays until we reap it, so after `true` the caller may signal the group within this turn. If we are init of
/// the PID namespace, every process descends from us, so a check with signal 0 is enough. Otherwise a member that is
/// not our child is left alone.
pub fn group_left(leader: Pid, init: bool) -> bool {
    if peek(libc::P_PGID, leader).is_ok() {
        return true;
    }
    // SAFETY: signal 0 only checks for existence. The negative number names one group because a `Pid` is above 1.
    init && Errno::result(unsafe { libc::kill(-leader.get(), 0) }).is_ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// The child lives until its input ends.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a child of a test")]
    fn a_child_has_ended_before_it_is_reaped_and_after() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::new(child.id().try_into().unwrap()).unwrap();
        assert!(!has_ended(pid));
        drop(child.stdin.take());
        while !has_ended(pid) {
            std::thread::yield_now();
        }
        assert!(child.wait().unwrap().success());
        assert!(has_ended(pid));
    }
}
