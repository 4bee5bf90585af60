//! Listening sockets of the shared ports.
#![expect(
    unsafe_code,
    reason = "connect with AF_UNSPEC, listen and TCP_INFO have no safe wrapper"
)]

use std::mem::{MaybeUninit, size_of};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, SockFlag, SockType, SockaddrStorage, sockopt};
use nix::sys::stat::fstat;

use super::inet::{self, Group};

/// State of one listener, from TCP_INFO (tcp(7)). For a listening socket, `tcpi_unacked` is the length of the accept
/// queue and `tcpi_sacked` its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// The socket is in state LISTEN. A worker's `shutdown` ends that state.
    pub listening: bool,
    /// Connections in the accept queue.
    pub length: u32,
    /// Most connections that the accept queue holds.
    pub limit: u32,
}

/// Opens one listener on `addr`. With `reuse`, it joins the SO_REUSEPORT group of that address, family and uid; its
/// index in the group follows the order of the `listen` calls. Fails with EADDRINUSE, EACCES (ports below 1024),
/// EADDRNOTAVAIL, EAFNOSUPPORT or EMFILE.
pub fn open(addr: SocketAddr, v6only: bool, backlog: u32, reuse: bool) -> nix::Result<OwnedFd> {
    let fd = bound(addr, v6only, reuse)?;
    listen(&fd, backlog)?;
    Ok(fd)
}

/// Whether this host has IPv6: a socket of that family can be opened (not with the kernel's option ipv6.disable=1).
pub fn has_ipv6() -> bool {
    let any = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
    !matches!(
        inet::opened(SockType::Stream, SockFlag::SOCK_CLOEXEC, any),
        Err(Errno::EAFNOSUPPORT)
    )
}

/// Opens and binds a socket as [`open`] does, but does not listen yet.
pub fn bound(addr: SocketAddr, v6only: bool, reuse: bool) -> nix::Result<OwnedFd> {
    let group = Group::from(reuse);
    inet::bound(SockType::Stream, sockopt::ReuseAddr, addr, v6only, group)
}

/// As [`bound`], for the first listener of a group: nobody else can have the address, whatever options he sets, until the
/// listener listens and [`share`] lets others join. If two processes try, one of the `listen` calls fails with
/// EADDRINUSE. Also fails as [`super::steering::attach`].
pub fn first(addr: SocketAddr, v6only: bool) -> nix::Result<OwnedFd> {
    let (kind, option) = (SockType::Stream, sockopt::ReuseAddr);
    inet::bound(kind, option, addr, v6only, Group::First)
}

/// From now on other listeners may join the group of this one.
pub fn share(fd: impl AsFd) -> nix::Result<()> {
    inet::share(fd)
}

/// Takes a listener out of the state LISTEN, and so out of its group. The connections in its queue are reset.
/// `shutdown` is no alternative: on a socket that no longer listens, it sets a mark that `listen` does not clear and
/// that every accepted connection inherits. Dissolving the association (connect(2), AF_UNSPEC) clears such a mark as
/// well.
pub fn stop_listening(fd: impl AsFd) -> nix::Result<()> {
    let nobody = libc::sockaddr {
        sa_family: libc::sa_family_t::try_from(libc::AF_UNSPEC).unwrap_or(0),
        sa_data: [0; 14],
    };
    let len = libc::socklen_t::try_from(size_of::<libc::sockaddr>()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the address is live and the length is its own.
    Errno::result(unsafe { libc::connect(fd.as_fd().as_raw_fd(), &raw const nobody, len) })
        .map(drop)
}

/// Starts to listen. On a socket that already listens, it only sets the backlog. The kernel caps the backlog at
/// somaxconn (listen(2)).
pub fn listen(fd: impl AsFd, backlog: u32) -> nix::Result<()> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    // SAFETY: integers only.
    Errno::result(unsafe { libc::listen(fd.as_fd().as_raw_fd(), backlog) }).map(drop)
}

/// Accepts one connection, nonblocking and close-on-exec (accept4(2)). Fails with EAGAIN if none waits and the listener is
/// in nonblocking mode.
pub fn accept(fd: impl AsFd) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let raw = socket::accept4(fd.as_fd().as_raw_fd(), flags)?;
    // SAFETY: the kernel just made this descriptor and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Accepts what waits at a non-blocking listener, at most `most` connections.
pub fn accept_waiting(fd: impl AsFd, most: usize) -> Vec<OwnedFd> {
    let next = || accept(fd.as_fd()).ok();
    std::iter::from_fn(next).take(most).collect()
}

/// Reads the state of the accept queue.
pub fn queue(fd: impl AsFd) -> nix::Result<QueueState> {
    /// TCP_LISTEN in net/tcp_states.h.
    const LISTEN: u8 = 10;
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len =
        libc::socklen_t::try_from(size_of::<libc::tcp_info>()).map_err(|_| Errno::EINVAL)?;
    let raw = fd.as_fd().as_raw_fd();
    // SAFETY: the buffer is as long as `len` says and the kernel writes no more than that.
    let result = unsafe {
        libc::getsockopt(
            raw,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    Errno::result(result)?;
    // SAFETY: plain integers, zeroed above, so they are valid whatever part of them the kernel wrote.
    let info = unsafe { info.assume_init() };
    Ok(QueueState {
        listening: info.tcpi_state == LISTEN,
        length: info.tcpi_unacked,
        limit: info.tcpi_sacked,
    })
}

/// The inode of the socket: the number in `socket:[...]` that every descriptor of it shows, in every process.
pub fn inode(fd: impl AsFd) -> nix::Result<u64> {
    fstat(fd.as_fd()).map(|stat| stat.st_ino)
}

/// The user that owns the socket.
pub fn owner(fd: impl AsFd) -> nix::Result<u32> {
    fstat(fd.as_fd()).map(|stat| stat.st_uid)
}

/// The address it is bound to.
pub fn local_addr(fd: impl AsFd) -> nix::Result<SocketAddr> {
    let storage: SockaddrStorage = socket::getsockname(fd.as_fd().as_raw_fd())?;
    if let Some(v4) = storage.as_sockaddr_in() {
        Ok(SocketAddr::V4((*v4).into()))
    } else if let Some(v6) = storage.as_sockaddr_in6() {
        Ok(SocketAddr::V6((*v6).into()))
    } else {
        Err(Errno::EAFNOSUPPORT)
    }
}

/// Starts a connection to `addr` without waiting for the answer. On loopback, the handshake is complete when this
/// returns.
pub fn connect_nonblocking(addr: SocketAddr) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = inet::opened(SockType::Stream, flags, addr)?;
    match socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(addr)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd),
        Err(errno) => Err(errno),
    }
}

/// A copy of the descriptor, close-on-exec (fcntl(2), F_DUPFD_CLOEXEC).
pub fn duplicate(fd: impl AsFd) -> nix::Result<OwnedFd> {
    let raw = nix::fcntl::fcntl(fd.as_fd(), nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: the kernel just made this descriptor and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
