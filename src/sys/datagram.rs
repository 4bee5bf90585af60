//! UDP sockets of the shared ports.
#![expect(unsafe_code, reason = "SO_MEMINFO has no safe wrapper")]

use std::mem::size_of_val;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, MsgFlags, SockType, SockaddrStorage, sockopt};

use super::inet::{self, Group};

/// State of the receive queue of a socket (SO_MEMINFO, linux/sock_diag.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveQueue {
    /// Memory that the waiting datagrams take, bytes. It is more than their length.
    pub bytes: u32,
    /// Limit of that.
    pub limit: u32,
    /// Datagrams that were dropped, mostly because the queue was full. Wraps at 2^32.
    pub dropped: u32,
}

/// Opens and binds a socket. With `reuse`, it joins the SO_REUSEPORT group of that address, family and uid; its index in
/// the group follows the order of the `bind` calls. It never has SO_REUSEADDR: a later socket that has it too would take
/// all datagrams. SO_BROADCAST is set, because a program may have set it before `bind`, and it only permits to send.
/// Fails with EADDRINUSE, EACCES (ports below 1024), EADDRNOTAVAIL, EAFNOSUPPORT or EMFILE.
pub fn bound(addr: SocketAddr, v6only: bool, reuse: bool) -> nix::Result<OwnedFd> {
    let group = Group::from(reuse);
    inet::bound(SockType::Datagram, sockopt::Broadcast, addr, v6only, group)
}

/// As [`bound`], for the first socket of a group: fails with EADDRINUSE if anybody has the address, whatever options he
/// set. Also fails as [`super::steering::attach`].
pub fn first(addr: SocketAddr, v6only: bool) -> nix::Result<OwnedFd> {
    let (kind, option) = (SockType::Datagram, sockopt::Broadcast);
    let fd = inet::bound(kind, option, addr, v6only, Group::First)?;
    inet::share(&fd)?;
    Ok(fd)
}

/// Reads the state of the receive queue.
pub fn queue(fd: impl AsFd) -> nix::Result<ReceiveQueue> {
    // SK_MEMINFO_VARS: RMEM_ALLOC, RCVBUF, WMEM_ALLOC, SNDBUF, FWD_ALLOC, WMEM_QUEUED, OPTMEM, BACKLOG, DROPS.
    let mut values = [0_u32; 9];
    let mut len = libc::socklen_t::try_from(size_of_val(&values)).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the buffer is as long as `len` says, and the kernel writes no more than that.
    let result = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    Errno::result(result)?;
    let [bytes, limit, .., dropped] = values;
    Ok(ReceiveQueue {
        bytes,
        limit,
        dropped,
    })
}

/// Throws away what waits in the receive queue: at most what a full queue holds.
pub fn discard(fd: impl AsFd) {
    /// More than the largest queue of usual settings holds; what comes meanwhile must not keep us.
    const MOST: u32 = 65_536;
    for _ in 0..MOST {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        // An error of the socket itself (ECONNREFUSED) is taken from it by this, too.
        if socket::recv(fd.as_fd().as_raw_fd(), &mut [0; 1], flags) == Err(Errno::EAGAIN) {
            return;
        }
    }
}

/// Whether a program connected the socket to one client. It then gets the datagrams of that client alone.
pub fn is_connected(fd: impl AsFd) -> bool {
    socket::getpeername::<SockaddrStorage>(fd.as_fd().as_raw_fd()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::listener;
    use std::net::UdpSocket;

    #[test]
    fn the_queue_shows_what_waits() {
        let socket = bound("127.0.0.1:0".parse().unwrap(), false, true).unwrap();
        let to = listener::local_addr(&socket).unwrap();
        assert_eq!(queue(&socket).unwrap().bytes, 0);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"word", to).unwrap();
        let full = queue(&socket).unwrap();
        assert!(full.bytes > 0 && full.limit >= full.bytes && full.dropped == 0);
        let socket = UdpSocket::from(socket);
        socket.recv(&mut [0; 8]).unwrap();
        assert_eq!(queue(&socket).unwrap().bytes, 0);
    }

    #[test]
    fn what_waits_is_thrown_away_without_waiting_for_more() {
        let socket = bound("127.0.0.1:0".parse().unwrap(), false, true).unwrap();
        let to = listener::local_addr(&socket).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for word in ["one", "", "three"] {
            client.send_to(word.as_bytes(), to).unwrap();
        }
        assert!(queue(&socket).unwrap().bytes > 0);
        discard(&socket);
        assert_eq!(queue(&socket).unwrap().bytes, 0);
    }

    #[test]
    fn a_connected_socket_is_told() {
        let socket = UdpSocket::from(bound("127.0.0.1:0".parse().unwrap(), false, true).unwrap());
        assert!(!is_connected(&socket));
        socket.connect("127.0.0.1:9").unwrap();
        assert!(is_connected(&socket));
    }
}
