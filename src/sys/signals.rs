//! Takes and sends signals. The only calls that send a signal are here.
#![expect(
    unsafe_code,
    reason = "kill(2), banned elsewhere, and sets with real-time signals"
)]

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::model::{Pid, Received, Sig};

use super::child::{KEPT, reset_signal};

/// Delivers signals to the event loop: they stay blocked and are read from a descriptor (signalfd(2)). The kernel drops no
/// blocked signal, whatever its disposition is, also for PID 1.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    /// All that are taken.
    set: SigSet,
}

/// How many signals are read at once. A process that sends them in a loop may send as fast as they are read.
const MOST: usize = 128;

impl Signals {
    /// Takes the signals in `which` that are catchable and no faults. Unblocks all others, because our parent may have
    /// started us with signals blocked. Gives every signal its default disposition, because our parent may have ignored
    /// some: then the kernel would reap our children itself (SIGCHLD), and workers would inherit the rest.
    ///
    /// To be called before the first thread starts, which inherits what is blocked.
    pub fn take(which: impl IntoIterator<Item = Sig>) -> io::Result<Self> {
        let which = which
            .into_iter()
            .filter(|sig| sig.is_catchable() && !sig.is_fault());
        let set = set_of(which);
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?;
        let others = (1..=64).filter(|signal| !KEPT.contains(signal));
        others.for_each(reset_signal);
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd, set })
    }

    /// A copy of the descriptor, which is readable while signals are pending. [`Signals::pending`] reads them. It is no
    /// socket: the type is one that the event loop can wait for.
    pub fn wakes(&self) -> io::Result<UnixStream> {
        self.fd.as_fd().try_clone_to_owned().map(UnixStream::from)
    }

    /// The signals that arrived since the last call, each at most once, in the order in which they are read. If more than
    /// one is read and a process sent one of them, it counts as sent. True if more may be pending: then call it again, but
    /// let others work before.
    pub fn pending(&mut self) -> (Vec<Received>, bool) {
        let mut received: Vec<Received> = Vec::new();
        for _ in 0..MOST {
            if !self.read(&mut received) {
                return (received, false);
            }
        }
        // The kernel returns the lowest number first, so one that is sent again and again would hide those above it.
        let mut others = self.set;
        loop {
            for one in &received {
                remove(&mut others, one.sig);
            }
            // An error is not possible for this descriptor and these flags.
            if self.fd.set_mask(&others).is_err() || !self.read(&mut received) {
                break;
            }
        }
        let _ = self.fd.set_mask(&self.set);
        (received, true)
    }

    /// Reads one signal. False if none is pending.
    fn read(&mut self, received: &mut Vec<Received>) -> bool {
        // An error other than "none left" is not possible for this descriptor.
        let Ok(Some(info)) = self.fd.read_signal() else {
            return false;
        };
        let sig = i32::try_from(info.ssi_signo).ok().and_then(Sig::new);
        // Only signals that have a `Sig` are taken.
        let Some(sig) = sig else { return true };
        // kill(2), tgkill(2) and sigqueue(3) have a code of 0 or below, the kernel has one above (sigaction(2)). The
        // PID would not do: that of a sender outside of our PID namespace is 0.
        let sent = info.ssi_code <= 0;
        match received.iter_mut().find(|one| one.sig == sig) {
            Some(one) => one.sent |= sent,
            None => received.push(Received { sig, sent }),
        }
        true
    }
}

/// Removed directly, because nix knows no real-time signals.
fn remove(set: &mut SigSet, sig: Sig) {
    let mut bare = *set.as_ref();
    // SAFETY: the set is initialized. The call fails only for a number that is no signal.
    unsafe { libc::sigdelset(&raw mut bare, sig.get()) };
    // SAFETY: it is a copy of an initialized one.
    *set = unsafe { SigSet::from_sigset_t_unchecked(bare) };
}

/// Built directly, because nix knows no real-time signals.
fn set_of(which: impl IntoIterator<Item = Sig>) -> SigSet {
    let mut set = *SigSet::empty().as_ref();
    for sig in which {
        // SAFETY: the set is initialized. The call fails only for a number that is no signal.
        unsafe { libc::sigaddset(&raw mut set, sig.get()) };
    }
    // SAFETY: it was made by sigemptyset(3).
    unsafe { SigSet::from_sigset_t_unchecked(set) }
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

/// Stops the own process until somebody continues it, as SIGTSTP does. The kernel does not if nobody could: in a process
/// group without a shell (`kubectl exec`). For a thread that has SIGTSTP blocked and leaves its disposition.
pub fn stop_self() {
    let own = SigSet::from(Signal::SIGTSTP);
    // They fail only for an invalid `how`.
    let _ = own.thread_unblock();
    // SAFETY: raise has no memory preconditions. It does not fail for a signal that exists.
    unsafe { libc::raise(libc::SIGTSTP) };
    let _ = own.thread_block();
}

/// Blocks every signal in the calling thread. Only the main thread receives signals.
pub fn block_all() {
    // It fails only for an invalid `how`.
    let _ = SigSet::all().thread_block();
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::sys::thread;

    /// What the kernel says of the calling thread.
    fn mask(name: &str) -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(value.trim(), 16).unwrap()
    }

    fn bit(sig: i32) -> u64 {
        1 << (sig - 1)
    }

    /// In a thread of its own, because it changes what the thread blocks. What it changes of the process lasts.
    #[test]
    fn signals_are_read_with_who_sent_them_and_nothing_stays_ignored() {
        let body = || {
            reset_signal(libc::SIGHUP);
            // SAFETY: no handler.
            unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
            let which = [Sig::TERM, Sig::KILL, Sig::RTMIN_3, Sig::new(11).unwrap()];
            let mut signals = Signals::take(which).unwrap();
            assert_eq!(
                mask("SigBlk:"),
                bit(15) | bit(37),
                "KILL and a fault are not taken"
            );
            assert_eq!(mask("SigIgn:") & !bit(libc::SIGPIPE), 0);
            let none = (Vec::new(), false);
            assert_eq!(signals.pending(), none);
            for _ in 0..2 {
                for sig in [libc::SIGTERM, 37] {
                    // SAFETY: no arguments.
                    let own = unsafe { libc::pthread_self() };
                    // SAFETY: the thread runs.
                    unsafe { libc::pthread_kill(own, sig) };
                }
            }
            let wakes = signals.wakes().unwrap();
            assert_ne!(wakes.as_raw_fd(), signals.fd.as_fd().as_raw_fd());
            let sent = |sig| Received { sig, sent: true };
            let both = vec![sent(Sig::TERM), sent(Sig::RTMIN_3)];
            assert_eq!(signals.pending(), (both, false));
            assert_eq!(signals.pending(), none);
        };
        let taking = thread::start("taking", thread::STACK, body);
        taking.unwrap().join().unwrap();
    }

    /// Real-time signals are queued, each by itself, so the test needs no sender that keeps up with the reader.
    #[test]
    fn a_flood_is_read_in_parts_and_hides_no_other_signal() {
        let body = || {
            let flood = Sig::new(35).unwrap();
            let mut signals = Signals::take([flood, Sig::RTMIN_3]).unwrap();
            let send = |sig: Sig| {
                // SAFETY: no arguments.
                let own = unsafe { libc::pthread_self() };
                // SAFETY: the thread runs.
                assert_eq!(unsafe { libc::pthread_kill(own, sig.get()) }, 0);
            };
            for _ in 0..=2 * MOST {
                send(flood);
            }
            send(Sig::RTMIN_3);
            let of = |sig| Received { sig, sent: true };
            let first = vec![of(flood), of(Sig::RTMIN_3)];
            assert_eq!(signals.pending(), (first, true));
            assert_eq!(signals.pending(), (vec![of(flood)], true));
            assert_eq!(signals.pending(), (vec![of(flood)], false));
            assert_eq!(signals.pending(), (Vec::new(), false));
            send(Sig::RTMIN_3);
            assert_eq!(signals.pending(), (vec![of(Sig::RTMIN_3)], false));
        };
        let taking = thread::start("taking", thread::STACK, body);
        taking.unwrap().join().unwrap();
    }
}
