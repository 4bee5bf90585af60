//! Connections that the runtime opens itself.
#![expect(unsafe_code, reason = "socket options that nix does not know")]

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};

/// Makes the kernel forget the connection soon after it is closed, so that its addresses do not stay in TIME_WAIT. The
/// peer still reads an orderly end of the stream, so no program logs a reset. As soon as the peer acknowledges it, the
/// kernel drops the rest (tcp(7), a negative TCP_LINGER2). SO_LINGER with zero seconds would send a reset at once.
pub fn forget_when_closed(fd: impl AsFd) -> nix::Result<()> {
    let never: libc::c_int = -1;
    let len = libc::socklen_t::try_from(size_of_val(&never)).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the value is live and the length is its own.
    let done = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_LINGER2,
            (&raw const never).cast(),
            len,
        )
    };
    Errno::result(done).map(drop)
}

/// Closes our sending side. The peer reads the end of the stream.
pub fn half_close(fd: impl AsFd) -> nix::Result<()> {
    shutdown(fd.as_fd().as_raw_fd(), Shutdown::Write)
}
