//! Descriptors of processes (pidfd_open(2)).
#![expect(unsafe_code, reason = "pidfd_open(2) has no safe wrapper")]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::rights::{status, words};

/// A descriptor of a process. It is readable as soon as all threads of the process have ended. `flags` are those of
/// pidfd_open(2). Fails with ESRCH if the process has ended and was reaped.
pub fn open(process: i32, flags: i32) -> nix::Result<OwnedFd> {
    // SAFETY: integers only.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, process, flags) })
}

/// A descriptor that a system call has just returned.
pub(super) fn owned(fd: libc::c_long) -> nix::Result<OwnedFd> {
    let fd = RawFd::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The process to which a thread belongs.
pub fn of_thread(thread: i32) -> nix::Result<i32> {
    let status = status(Some(thread))?;
    let number = words(&status, b"Tgid:").and_then(|mut words| words.next()?.parse().ok());
    number.ok_or(Errno::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::epoll::{Interest, Poller};
    use crate::sys::testing::Puppet;

    #[test]
    fn the_end_of_a_process_is_told() {
        let child = Puppet::start("cat", &[]);
        let pid = child.pid().get();
        let watched = open(pid, 0).unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&watched, 7, Interest::Readable).unwrap();
        let mut ready = Vec::new();
        poller
            .wait(&mut ready, Some(std::time::Duration::ZERO))
            .unwrap();
        assert_eq!(ready, []);
        // It is killed and reaped.
        drop(child);
        poller.wait(&mut ready, None).unwrap();
        assert!(ready.iter().any(|one| one.token == 7 && one.readable));
        assert_eq!(open(pid, 0).unwrap_err(), Errno::ESRCH);
    }

    #[test]
    fn a_thread_belongs_to_its_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(of_thread(own), Ok(own));
        let other = std::thread::spawn(|| of_thread(nix::unistd::gettid().as_raw()));
        assert_eq!(other.join().unwrap(), Ok(own));
        assert!(of_thread(i32::MAX).is_err());
    }
}
