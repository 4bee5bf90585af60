//! Sends a descriptor to another process (unix(7), SCM_RIGHTS).
#![expect(unsafe_code, reason = "sendmsg(2) without an allocation")]

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;

/// Sends a descriptor over a SOCK_SEQPACKET socket together with the byte `tag`. Async-signal-safe: for the child
/// between fork and exec.
pub(super) fn send_fd(socket: BorrowedFd<'_>, tag: u8, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    #[repr(C, align(8))]
    struct Control([u8; 64]);
    let mut byte = [tag];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let mut control = Control([0; 64]);
    let width = libc::c_uint::try_from(size_of::<RawFd>()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: plain arithmetic on the length.
    let (space, len) = (unsafe { libc::CMSG_SPACE(width) }, unsafe {
        libc::CMSG_LEN(width)
    });
    // SAFETY: all fields are integers or pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = space as _;
    // SAFETY: msg_control is aligned and longer than one header.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: as above; the header lies in `control`.
    let header = unsafe { &mut *header };
    header.cmsg_level = libc::SOL_SOCKET;
    header.cmsg_type = libc::SCM_RIGHTS;
    header.cmsg_len = len as _;
    // SAFETY: the header lies in `control`.
    let data = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: CMSG_LEN(4) reserved four bytes, which need no alignment here.
    unsafe { std::ptr::write_unaligned(data.cast::<RawFd>(), fd.as_raw_fd()) };
    // SAFETY: every pointer in the message points to a live local.
    Errno::result(unsafe {
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    })
    .map(drop)
}
