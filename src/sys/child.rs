//! Calls of a child between fork and exec: none of them allocates, locks or logs (signal-safety(7)).
#![expect(
    unsafe_code,
    reason = "plain calls between fork and exec: std may allocate"
)]

use std::ffi::CStr;
use std::os::fd::RawFd;

use nix::errno::Errno;

/// Whether it is a binary, for another machine then: a shell would read it as a script and say something odd.
pub(super) fn is_elf(path: &CStr) -> bool {
    // SAFETY: the path ends in NUL.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    let mut magic = [0_u8; 4];
    // SAFETY: the buffer is live and as long as said; a descriptor that is none fails harmlessly.
    let got = unsafe { libc::read(fd, magic.as_mut_ptr().cast(), magic.len()) };
    got == 4 && magic == *b"\x7fELF"
}

/// Writes once to a file that is there; what fails is left undone.
pub(super) fn write_file(path: &CStr, bytes: &[u8]) {
    // SAFETY: the path ends in NUL.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    // SAFETY: the buffer is live and as long as said; a descriptor that is none fails harmlessly.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    // SAFETY: an integer only; nobody else knows the descriptor.
    unsafe { libc::close(fd) };
}

/// What the kernel takes for SIG_DFL, no flags, no mask (`struct sigaction` of rt_sigaction(2), the same size on both
/// machines).
const DEFAULT_ACTION: [u64; 4] = [0; 4];
/// Bytes of a signal mask in the kernel.
const MASK_LEN: usize = 8;

/// Every disposition to its default: ignored signals would survive exec (signal(7)). By hand, because the C library
/// refuses to touch the two signals that it keeps for itself, and a parent may have ignored those too. KILL and STOP
/// fail.
pub(super) fn reset_signals() {
    for signal in 1..=64_i64 {
        let none = std::ptr::null_mut::<u64>();
        // SAFETY: the action is live and as long as the kernel reads; a null pointer asks for no old one.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT_ACTION.as_ptr(),
                none,
                MASK_LEN,
            )
        };
    }
}

/// No signal is blocked; by hand for the same reason.
pub(super) fn unblock_signals() {
    let (empty, none) = (0_u64, std::ptr::null_mut::<u64>());
    // SAFETY: the mask is live and as long as said; a null pointer asks for no old one.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const empty,
            none,
            MASK_LEN,
        )
    };
}

/// A copy at `above` or higher; the descriptor itself if it is there already, since there may be no room for another.
pub(super) fn lift(fd: RawFd, above: RawFd) -> Result<RawFd, Errno> {
    if fd >= above {
        return Ok(fd);
    }
    // SAFETY: integers only.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, above) })
}

pub(super) fn place(fd: RawFd, target: RawFd) -> Result<(), Errno> {
    // SAFETY: integers only; the copy is not close-on-exec (dup(2)).
    Errno::result(unsafe { libc::dup2(fd, target) }).map(drop)
}

/// Descriptors that somebody left open in us without close-on-exec stay ours.
pub(super) fn close_on_exec_from(first: libc::c_uint) {
    // SAFETY: integers only.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if done == 0 {
        return;
    }
    // Before 5.11, or forbidden: one by one. Beyond this bound nobody keeps inherited descriptors.
    for fd in first..4096 {
        // SAFETY: integers only; a number that is not open fails harmlessly.
        unsafe { libc::fcntl(fd.cast_signed(), libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
