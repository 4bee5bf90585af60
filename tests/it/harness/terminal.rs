//! A terminal without a person.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::libc;

/// A pseudoterminal: the side of the person, and the side of the program.
#[allow(unsafe_code, reason = "ioctl_tty(2)")]
pub fn terminal() -> (File, OwnedFd) {
    let open = File::options().read(true).write(true).open("/dev/ptmx");
    let master = open.unwrap();
    let zero: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int, which is ours.
    let unlocked = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const zero) };
    assert_eq!(unlocked, 0);
    let wanted = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes flags and gives a new descriptor.
    let slave = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, wanted) };
    assert!(slave >= 0);
    // SAFETY: just opened, and owned by nothing else.
    (master, unsafe { OwnedFd::from_raw_fd(slave) })
}
