//! Socket options that a program sets before `bind`: which ones the filter reports, and how they are set on another
//! socket.
#![expect(unsafe_code, reason = "getsockopt(2) and setsockopt(2) by number")]

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use super::guarded;

/// Longest value that is kept, bytes. All reported options have numbers or short names as values.
pub const LONGEST: usize = 16;

/// Level and name of an option.
pub type OptionId = (i32, i32);

/// IPV6_V6ONLY.
pub const V6ONLY: OptionId = (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
/// SO_REUSEADDR.
pub const REUSE_ADDR: OptionId = (libc::SOL_SOCKET, libc::SO_REUSEADDR);
/// SO_REUSEPORT.
pub const REUSE_PORT: OptionId = (libc::SOL_SOCKET, libc::SO_REUSEPORT);
/// SO_BINDTODEVICE.
pub const DEVICE: OptionId = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
/// SO_BUF_LOCK: 0 lets the kernel size the buffers again.
pub const BUFFER_LOCK: OptionId = (libc::SOL_SOCKET, libc::SO_BUF_LOCK);
/// SO_SNDBUFFORCE, which needs CAP_NET_ADMIN.
pub const SEND_BUFFER_FORCED: OptionId = (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE);
/// SO_RCVBUFFORCE, which needs CAP_NET_ADMIN.
pub const RECEIVE_BUFFER_FORCED: OptionId = (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE);
/// TCP_CONGESTION. Some values need CAP_NET_ADMIN.
pub const CONGESTION: OptionId = (libc::IPPROTO_TCP, libc::TCP_CONGESTION);
/// SO_RCVBUF.
#[cfg(test)]
pub const RECEIVE_BUFFER: OptionId = (libc::SOL_SOCKET, libc::SO_RCVBUF);
/// TCP_DEFER_ACCEPT.
#[cfg(test)]
pub const DEFER_ACCEPT: OptionId = (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);

/// The options that the filter reports, by level. They are set once for a listening socket. Options that programs set
/// on every connection (TCP_NODELAY, SO_KEEPALIVE, SO_LINGER, timeouts) must not be among them: each report takes some
/// 20 us. Nor must IP_RECVERR, which resolvers set for every query.
pub const REPORTED: &[(i32, &[i32])] = &[
    (
        libc::SOL_SOCKET,
        &[
            libc::SO_REUSEADDR,
            libc::SO_REUSEPORT,
            libc::SO_BINDTODEVICE,
            libc::SO_SNDBUF,
            libc::SO_RCVBUF,
            libc::SO_SNDBUFFORCE,
            libc::SO_RCVBUFFORCE,
            guarded::ATTACH_FILTER.1,
            guarded::DETACH_FILTER.1,
            guarded::LOCK_FILTER.1,
            guarded::ATTACH_BPF.1,
            guarded::ATTACH_STEERING.1,
            guarded::ATTACH_STEERING_BPF.1,
            guarded::DETACH_STEERING.1,
        ],
    ),
    (
        libc::IPPROTO_TCP,
        &[
            libc::TCP_MAXSEG,
            libc::TCP_DEFER_ACCEPT,
            libc::TCP_CONGESTION,
            libc::TCP_FASTOPEN,
            guarded::SIGNATURE.1,
            guarded::SIGNATURES.1,
            guarded::KEY.1,
            guarded::KEYS_REQUIRED.1,
        ],
    ),
    (
        libc::IPPROTO_IP,
        &[
            libc::IP_PKTINFO,
            libc::IP_MTU_DISCOVER,
            libc::IP_RECVTOS,
            libc::IP_ADD_MEMBERSHIP,
            libc::IP_ADD_SOURCE_MEMBERSHIP,
            MCAST_JOIN_GROUP,
            MCAST_JOIN_SOURCE_GROUP,
        ],
    ),
    (
        libc::IPPROTO_IPV6,
        &[
            libc::IPV6_V6ONLY,
            libc::IPV6_RECVPKTINFO,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_MTU,
            libc::IPV6_RECVTCLASS,
            libc::IPV6_ADD_MEMBERSHIP,
            MCAST_JOIN_GROUP,
            MCAST_JOIN_SOURCE_GROUP,
        ],
    ),
];

// linux/in.h
const MCAST_JOIN_GROUP: i32 = 42;
const MCAST_JOIN_SOURCE_GROUP: i32 = 46;

/// The options by which a socket joins a multicast group.
pub const JOINS: [OptionId; 7] = [
    (libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP),
    (libc::IPPROTO_IP, libc::IP_ADD_SOURCE_MEMBERSHIP),
    (libc::IPPROTO_IP, MCAST_JOIN_GROUP),
    (libc::IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP),
    (libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP),
    (libc::IPPROTO_IPV6, MCAST_JOIN_GROUP),
    (libc::IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP),
];

/// An option with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOption {
    level: i32,
    name: i32,
    value: [u8; LONGEST],
    len: usize,
}

impl SocketOption {
    /// `None` if the value is longer than [`LONGEST`].
    pub fn new(level: i32, name: i32, value: &[u8]) -> Option<Self> {
        let mut kept = [0; LONGEST];
        kept.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self {
            level,
            name,
            value: kept,
            len: value.len(),
        })
    }

    /// An option whose value is a number.
    pub fn number((level, name): OptionId, value: i32) -> Self {
        let mut kept = [0; LONGEST];
        kept[..4].copy_from_slice(&value.to_ne_bytes());
        Self {
            level,
            name,
            value: kept,
            len: 4,
        }
    }

    /// Which option it is.
    pub fn id(&self) -> OptionId {
        (self.level, self.name)
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        self.value.get(..self.len).unwrap_or_default()
    }

    /// The value as a number: what the kernel reads if the value has at least four bytes.
    pub fn as_number(&self) -> i32 {
        let [a, b, c, d, ..] = self.value;
        i32::from_ne_bytes([a, b, c, d])
    }

    /// Sets it.
    pub fn set(&self, fd: impl AsFd) -> nix::Result<()> {
        set(fd, self.id(), self.value())
    }

    /// What must be set to return a socket to its present state, once this option is set on it.
    pub fn before(&self, fd: impl AsFd) -> nix::Result<Self> {
        match (self.level, self.name) {
            // The kernel returns twice the number that was set (socket(7)), and only under the plain name.
            (libc::SOL_SOCKET, libc::SO_RCVBUF | libc::SO_RCVBUFFORCE) => {
                let now = read(fd, libc::SOL_SOCKET, libc::SO_RCVBUF)?.as_number();
                Ok(Self::number(self.id(), now / 2))
            }
            (libc::SOL_SOCKET, libc::SO_SNDBUF | libc::SO_SNDBUFFORCE) => {
                let now = read(fd, libc::SOL_SOCKET, libc::SO_SNDBUF)?.as_number();
                Ok(Self::number(self.id(), now / 2))
            }
            // The kernel returns a default where nothing was set; 0 means that nothing is set.
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => Ok(Self::number(self.id(), 0)),
            (level, name) => read(fd, level, name),
        }
    }
}

/// A multicast group that a socket has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    level: i32,
    name: i32,
    value: Vec<u8>,
}

impl Joined {
    /// Length of the longest value, that of `struct group_source_req`.
    pub const LONGEST: usize = 264;

    /// The group of a call of setsockopt(2) with this option, if it is one of [`JOINS`]. The value says which group, and
    /// on which interface.
    pub fn new(id: OptionId, value: Vec<u8>) -> Option<Self> {
        let (level, name) = id;
        (JOINS.contains(&id) && value.len() <= Self::LONGEST).then_some(Self { level, name, value })
    }

    /// Leaves it. The option that leaves takes the value of the one that joins (ip(7), ipv6(7)).
    pub fn leave(&self, fd: impl AsFd) -> nix::Result<()> {
        // linux/in.h
        const MCAST_LEAVE_GROUP: i32 = 45;
        const MCAST_LEAVE_SOURCE_GROUP: i32 = 47;
        let name = match (self.level, self.name) {
            (libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP) => libc::IP_DROP_MEMBERSHIP,
            (libc::IPPROTO_IP, libc::IP_ADD_SOURCE_MEMBERSHIP) => libc::IP_DROP_SOURCE_MEMBERSHIP,
            (libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP) => libc::IPV6_DROP_MEMBERSHIP,
            (_, MCAST_JOIN_SOURCE_GROUP) => MCAST_LEAVE_SOURCE_GROUP,
            _ => MCAST_LEAVE_GROUP,
        };
        set(fd, (self.level, name), &self.value)
    }
}

/// Sets an option.
fn set(fd: impl AsFd, (level, name): OptionId, value: &[u8]) -> nix::Result<()> {
    let len = libc::socklen_t::try_from(value.len()).map_err(|_| Errno::EINVAL)?;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the value is live and as long as `len` says (setsockopt(2)).
    Errno::result(unsafe { libc::setsockopt(fd, level, name, value.as_ptr().cast(), len) })
        .map(drop)
}

/// The length that the kernel returns for an option if it is asked for nothing.
pub(super) fn count(fd: impl AsFd, (level, name): OptionId) -> nix::Result<libc::socklen_t> {
    let mut len = 0;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the length is 0, so the kernel writes nothing to the buffer (getsockopt(2)).
    Errno::result(unsafe {
        libc::getsockopt(fd, level, name, std::ptr::null_mut(), &raw mut len)
    })?;
    Ok(len)
}

/// The present value.
pub(super) fn read(fd: impl AsFd, level: i32, name: i32) -> nix::Result<SocketOption> {
    let mut value = [0_u8; LONGEST];
    let mut len = libc::socklen_t::try_from(LONGEST).map_err(|_| Errno::EINVAL)?;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the buffer is as long as `len` says, and the kernel writes no more than that (getsockopt(2)).
    Errno::result(unsafe {
        libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), &raw mut len)
    })?;
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    Ok(SocketOption {
        level,
        name,
        value,
        len: len.min(LONGEST),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_option_is_set_and_taken_back() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let numbers = [
            (libc::SOL_SOCKET, libc::SO_RCVBUF, 30_000, 60_000),
            (libc::SOL_SOCKET, libc::SO_SNDBUF, 30_000, 60_000),
            (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 7, 7),
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 9, 9),
        ];
        for (level, name, number, shown) in numbers {
            let option = SocketOption::number((level, name), number);
            let fresh = read(&socket, level, name).unwrap();
            let back = option.before(&socket).unwrap();
            option.set(&socket).unwrap();
            assert_eq!(read(&socket, level, name).unwrap().as_number(), shown);
            back.set(&socket).unwrap();
            assert_eq!(read(&socket, level, name), Ok(fresh), "{name}");
        }
    }

    /// Otherwise the next worker's program, which joins again, fails with EADDRINUSE.
    #[test]
    fn a_group_that_was_left_can_be_joined_again() {
        let ours = [127, 0, 0, 1];
        let four = [[239, 7, 7, 7], ours].concat();
        let with_source = [[239, 7, 7, 8], ours, [127, 0, 0, 9]].concat();
        let six = [
            &std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 7, 7).octets()[..],
            &1_u32.to_ne_bytes(),
        ]
        .concat();
        // group_req(3): the interface, and the address as a sockaddr_storage.
        let mut any = vec![0; 136];
        any[..4].copy_from_slice(&1_u32.to_ne_bytes());
        any[8..10].copy_from_slice(&libc::AF_INET.to_ne_bytes()[..2]);
        any[12..16].copy_from_slice(&[239, 7, 7, 9]);
        let table = [
            (
                "127.0.0.1:0",
                (libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP),
                four,
            ),
            (
                "127.0.0.1:0",
                (libc::IPPROTO_IP, libc::IP_ADD_SOURCE_MEMBERSHIP),
                with_source,
            ),
            (
                "[::1]:0",
                (libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP),
                six,
            ),
            ("127.0.0.1:0", (libc::IPPROTO_IP, MCAST_JOIN_GROUP), any),
        ];
        for (address, id, value) in table {
            let socket = std::net::UdpSocket::bind(address).unwrap();
            let joined = Joined::new(id, value.clone()).unwrap();
            set(&socket, id, &value).unwrap();
            assert!(
                set(&socket, id, &value).is_err(),
                "EADDRINUSE or EADDRNOTAVAIL"
            );
            joined.leave(&socket).unwrap();
            set(&socket, id, &value).unwrap();
        }
        assert_eq!(Joined::new(V6ONLY, vec![0; 4]), None);
    }

    #[test]
    fn a_name_is_a_value_too() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let option = SocketOption::new(libc::IPPROTO_TCP, libc::TCP_CONGESTION, b"reno\0").unwrap();
        option.set(&socket).unwrap();
        let now = read(&socket, libc::IPPROTO_TCP, libc::TCP_CONGESTION).unwrap();
        assert!(now.value.starts_with(b"reno\0"));
        assert_eq!(SocketOption::new(1, 1, &[0; 17]), None);
    }
}
