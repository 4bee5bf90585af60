//! Opens and binds sockets over IPv4 and IPv6.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    self, AddressFamily, SetSockOpt, SockFlag, SockType, SockaddrStorage, sockopt,
};

/// Opens and binds a socket, with `option` set before. With `reuse`, it joins the SO_REUSEPORT group of that address,
/// family and uid. Fails with EADDRINUSE, EACCES (ports below 1024), EADDRNOTAVAIL, EAFNOSUPPORT or EMFILE.
pub(super) fn bound(
    kind: SockType,
    option: impl SetSockOpt<Val = bool>,
    addr: SocketAddr,
    v6only: bool,
    reuse: bool,
) -> nix::Result<OwnedFd> {
    let fd = opened(kind, SockFlag::SOCK_CLOEXEC, addr)?;
    socket::setsockopt(&fd, option, &true)?;
    if reuse {
        socket::setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    if addr.is_ipv6() {
        socket::setsockopt(&fd, sockopt::Ipv6V6Only, &v6only)?;
    }
    socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(addr))?;
    Ok(fd)
}

/// Opens a socket of the family of `addr`.
pub(super) fn opened(kind: SockType, flags: SockFlag, addr: SocketAddr) -> nix::Result<OwnedFd> {
    let family = if addr.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    socket::socket(family, kind, flags, None)
}
