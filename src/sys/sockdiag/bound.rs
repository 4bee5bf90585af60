//! The sockets that have a port: listeners, and UDP sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    ATTRIBUTE, Dump, MESSAGE, Query, SockDiag, State, States, TYPE_MASK, array, request_over,
    u16_at, u32_at,
};

const INET_DIAG_SKV6ONLY: u16 = 11;

/// How often a dump is repeated that the kernel's changes have interrupted.
const ATTEMPTS: u32 = 8;

/// A socket that is bound to a port and has no peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its address; an IPv4-mapped one stays one.
    pub addr: SocketAddr,
    /// IPV6_V6ONLY; false for IPv4.
    pub v6only: bool,
    /// The network device to which it belongs (SO_BINDTODEVICE); 0 for none.
    pub device: u32,
    /// The user that owns it.
    pub uid: u32,
    /// The number in `socket:[...]` of the descriptors that refer to it.
    pub inode: u64,
}

impl SockDiag {
    /// The TCP listeners, or the UDP sockets without a peer, that have this port, of both families. Fails as
    /// [`SockDiag::dump`], with ENOENT if the kernel cannot tell of UDP, and with EAGAIN if its tables change all the time.
    pub fn bound(&mut self, udp: bool, port: u16) -> nix::Result<Vec<Bound>> {
        let (protocol, state) = if udp {
            (libc::IPPROTO_UDP, State::Close)
        } else {
            (libc::IPPROTO_TCP, State::Listen)
        };
        let mut found = Vec::new();
        for ipv6 in [false, true] {
            let query = Query {
                ipv6,
                ports: &[port],
                states: States::of(&[state]),
                past: false,
            };
            let before = found.len();
            let mut attempt = 1;
            loop {
                self.sequence = self.sequence.wrapping_add(1);
                let request = request_over(protocol, query, self.sequence)?;
                let end = self.ask(&request, &mut |payload| {
                    found.extend(parse(payload)?);
                    Ok(())
                })?;
                if end == Dump::Complete {
                    break;
                }
                if attempt == ATTEMPTS {
                    return Err(nix::errno::Errno::EAGAIN);
                }
                attempt += 1;
                found.truncate(before);
            }
        }
        Ok(found)
    }
}

/// Parses one `struct inet_diag_msg` and its attributes; `None` for an unknown address family.
fn parse(bytes: &[u8]) -> nix::Result<Option<Bound>> {
    let port = u16::from_be(u16_at(bytes, 4)?);
    let ip: IpAddr = match bytes.first().copied().map(i32::from) {
        Some(libc::AF_INET) => Ipv4Addr::from(array::<4>(bytes, 8)?).into(),
        Some(libc::AF_INET6) => Ipv6Addr::from(array::<16>(bytes, 8)?).into(),
        _ => return Ok(None),
    };
    let mut v6only = false;
    let mut rest = bytes.get(MESSAGE..).unwrap_or_default();
    while rest.len() >= ATTRIBUTE {
        let len = usize::from(u16_at(rest, 0)?).max(ATTRIBUTE);
        if u16_at(rest, 2)? & TYPE_MASK == INET_DIAG_SKV6ONLY {
            v6only = rest.get(ATTRIBUTE).is_some_and(|flag| *flag != 0);
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Some(Bound {
        addr: SocketAddr::new(ip, port),
        v6only,
        device: u32_at(bytes, 40)?,
        uid: u32_at(bytes, 64)?,
        inode: u32_at(bytes, 68)?.into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{datagram, listener};

    #[test]
    fn listeners_and_udp_sockets_of_a_port_are_told_with_inode_and_owner() {
        let mut diag = SockDiag::open().unwrap();
        let own = crate::sys::caller::maker(None).unwrap().uid;
        for addr in ["127.0.0.1:0", "[::1]:0"] {
            let addr: SocketAddr = addr.parse().unwrap();
            let tcp = listener::open(addr, true, 4, false).unwrap();
            let udp = datagram::bound(addr, true, false).unwrap();
            for (fd, is_udp) in [(tcp, false), (udp, true)] {
                let at = listener::local_addr(&fd).unwrap();
                let expected = Bound {
                    addr: at,
                    v6only: at.is_ipv6(),
                    device: 0,
                    uid: own,
                    inode: listener::inode(&fd).unwrap(),
                };
                let found = diag.bound(is_udp, at.port()).unwrap();
                assert!(found.contains(&expected), "{found:?} {expected:?}");
                drop(fd);
                let found = diag.bound(is_udp, at.port()).unwrap();
                assert!(!found.contains(&expected));
            }
        }
    }
}
