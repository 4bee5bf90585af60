//! Connections that the runtime makes itself.
#![expect(unsafe_code, reason = "socket options that nix does not know")]

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};

/// Lets the connection be forgotten when it is closed: the peer reads the end of the stream, so that no program
/// complains of a reset, and as soon as that is acknowledged the rest is reset (tcp(7), a negative TCP_LINGER2), so that
/// its addresses do not rest in TIME_WAIT. SO_LINGER with zero seconds would be the reset alone.
pub fn forget_when_closed(fd: impl AsFd) -> nix::Result<()> {
    let never: libc::c_int = -1;
    let len = libc::socklen_t::try_from(size_of_val(&never)).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the value is live and as long as said.
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

/// Says that nothing more will be sent: the peer reads the end of the stream.
pub fn half_close(fd: impl AsFd) -> nix::Result<()> {
    shutdown(fd.as_fd().as_raw_fd(), Shutdown::Write)
}
