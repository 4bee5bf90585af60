//! Functions for a child between fork and exec. None of them allocates, locks or logs (signal-safety(7)).
#![expect(
    unsafe_code,
    reason = "plain calls between fork and exec: std may allocate"
)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;

/// Whether the file is an ELF binary. If exec refused it, it is for another machine. A shell would read it as a script
/// and print a misleading error.
pub(super) fn is_elf(path: &CStr) -> bool {
    // A FIFO may have taken the place of the program since exec refused it.
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    // SAFETY: the path ends in NUL.
    let fd = unsafe { libc::open(path.as_ptr(), flags) };
    let mut magic = [0_u8; 4];
    // SAFETY: the buffer is live and the length is its own. An invalid descriptor fails harmlessly.
    let got = unsafe { libc::read(fd, magic.as_mut_ptr().cast(), magic.len()) };
    got == 4 && magic == *b"\x7fELF"
}

/// Writes once to an existing file. Errors are ignored.
pub(super) fn write_file(path: &CStr, bytes: &[u8]) {
    // SAFETY: the path ends in NUL.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    // SAFETY: the buffer is live and the length is its own. An invalid descriptor fails harmlessly.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    // SAFETY: an integer only; no other code knows this descriptor.
    unsafe { libc::close(fd) };
}

/// SIG_DFL without flags and with an empty mask, as the kernel reads it (`struct sigaction` of rt_sigaction(2), which
/// has the same size on both architectures).
const DEFAULT_ACTION: [u64; 4] = [0; 4];
/// Size of a signal mask in the kernel, bytes.
const MASK_LEN: usize = 8;

/// Signals whose dispositions the runtime needs: the standard library ignores SIGPIPE, so that writes fail with EPIPE
/// instead, and tells of a stack overflow in handlers for the other two. All others have their default disposition in the
/// runtime ([`super::signals::Signals::take`]).
pub(super) const KEPT: [i32; 3] = [libc::SIGPIPE, libc::SIGSEGV, libc::SIGBUS];

/// Sets the disposition of the signals that the runtime [keeps](KEPT) to their default, because ignored signals would stay
/// ignored after exec (signal(7)).
pub(super) fn reset_signals() {
    for signal in KEPT {
        reset_signal(signal);
    }
}

/// Sets the disposition of a signal to its default. Calls the kernel directly: the C library refuses to touch the two
/// signals that it reserves for itself, and a parent may have ignored those too. SIGKILL and SIGSTOP fail; that is
/// harmless.
pub(super) fn reset_signal(signal: i32) {
    let none = std::ptr::null_mut::<u64>();
    // SAFETY: the action is live and as long as the kernel reads. A null pointer means that the old action is not wanted.
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

/// Unblocks every signal. Calls the kernel directly for the same reason as [`reset_signal`].
pub(super) fn unblock_signals() {
    let (empty, none) = (0_u64, std::ptr::null_mut::<u64>());
    // SAFETY: the mask is live and the length is its own. A null pointer means that the old mask is not wanted.
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

/// Copies the descriptor to a number of at least `above`. Returns the descriptor itself if its number is high enough,
/// because the limit may leave no room for a copy.
pub(super) fn lift(fd: BorrowedFd<'_>, above: RawFd) -> Result<BorrowedFd<'_>, Errno> {
    if fd.as_raw_fd() >= above {
        return Ok(fd);
    }
    // SAFETY: integers only.
    let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, above) };
    let copy = Errno::result(copy)?;
    // SAFETY: the copy is open, and nobody in this process closes it.
    Ok(unsafe { BorrowedFd::borrow_raw(copy) })
}

/// Makes the number `target` a copy of `fd` that is not close-on-exec (dup(2)).
///
/// # Safety
///
/// No code in this process may use the descriptor that is at `target` now: this call closes it.
pub(super) unsafe fn place(fd: BorrowedFd<'_>, target: RawFd) -> Result<(), Errno> {
    // SAFETY: integers only; what is closed is the caller's promise.
    Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), target) }).map(drop)
}

/// Keeps descriptors from `first` on out of the program, also those that other code opened without close-on-exec.
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
    // Before Linux 5.11, or where a profile forbids the call: one by one. Higher numbers are not used for inherited
    // descriptors.
    for fd in first..4096 {
        // SAFETY: integers only; a number that is not open fails harmlessly.
        unsafe { libc::fcntl(fd.cast_signed(), libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
