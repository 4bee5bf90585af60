//! Opens and binds sockets over IPv4 and IPv6.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{
    self, AddressFamily, SetSockOpt, SockFlag, SockType, SockaddrStorage, sockopt,
};

use crate::model::Bpf;

use super::steering;

/// Who else may have the address of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// Nobody, as long as the socket is open.
    None,
    /// The other members of the SO_REUSEPORT group of that address, family and uid.
    Member,
    /// Nobody, until [`share`] makes it the first member of such a group. The kernel refuses the address if anybody has
    /// it, also with SO_REUSEPORT.
    First,
}

impl From<bool> for Group {
    fn from(reuse: bool) -> Self {
        if reuse { Self::Member } else { Self::None }
    }
}

/// Opens and binds a socket, with `option` set before. Fails with EADDRINUSE, EACCES (ports below 1024), EADDRNOTAVAIL,
/// EAFNOSUPPORT or EMFILE; the first of a group also as [`steering::attach`].
pub(super) fn bound(
    kind: SockType,
    option: impl SetSockOpt<Val = bool>,
    addr: SocketAddr,
    v6only: bool,
    group: Group,
) -> nix::Result<OwnedFd> {
    let fd = opened(kind, SockFlag::SOCK_CLOEXEC, addr)?;
    socket::setsockopt(&fd, option, &true)?;
    if group != Group::None {
        share(&fd)?;
    }
    if group == Group::First {
        // A program makes it a group of one. The kernel makes none for a socket that is bound without SO_REUSEPORT, and
        // refuses programs on such a socket.
        steering::attach(&fd, &[FIRST])?;
        socket::setsockopt(&fd, sockopt::ReusePort, &false)?;
    }
    if addr.is_ipv6() {
        socket::setsockopt(&fd, sockopt::Ipv6V6Only, &v6only)?;
    }
    socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(addr))?;
    Ok(fd)
}

/// `ret 0`: the first member.
const FIRST: Bpf = Bpf {
    code: 0x06,
    jt: 0,
    jf: 0,
    k: 0,
};

/// Sets SO_REUSEPORT. From now on others may join the group of this socket.
pub(super) fn share(fd: impl AsFd) -> nix::Result<()> {
    socket::setsockopt(&fd, sockopt::ReusePort, &true)
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

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use crate::sys::{datagram, listener};

    const TAKEN: nix::Result<()> = Err(Errno::EADDRINUSE);

    #[test]
    fn nobody_joins_the_first_listener_before_it_is_shared_and_no_first_one_comes_beside_it() {
        let first = listener::first("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let addr = listener::local_addr(&first).unwrap();
        // This one tries at the same time.
        let rival = listener::first(addr, false).unwrap();
        listener::listen(&first, 4).unwrap();
        assert_eq!(listener::listen(&rival, 4), TAKEN);
        drop(rival);
        assert_eq!(listener::bound(addr, false, true).map(drop), TAKEN);
        listener::share(&first).unwrap();
        assert_eq!(listener::first(addr, false).map(drop), TAKEN);
        let second = listener::bound(addr, false, true).unwrap();
        assert_eq!(listener::listen(&second, 4), Ok(()));
    }

    #[test]
    fn a_first_socket_of_udp_comes_only_where_nobody_is() {
        let first = datagram::first("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let addr = listener::local_addr(&first).unwrap();
        assert_eq!(datagram::first(addr, false).map(drop), TAKEN);
        assert!(datagram::bound(addr, false, true).is_ok());
    }
}
