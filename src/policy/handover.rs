//! How to answer a worker's `bind` or `listen`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

mod rule;

pub use rule::{PortList, PortRule, PortSpec};

/// The kind of a worker's descriptor, by its protocol name (`system.sockprotoname`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// TCP, or MPTCP, over IPv4.
    Tcp4,
    /// TCP, or MPTCP, over IPv6.
    Tcp6,
    /// UDP over IPv4.
    Udp4,
    /// UDP over IPv6.
    Udp6,
    /// Anything else.
    Other,
}

impl SocketKind {
    /// From the text of the extended attribute. MPTCP counts because Go listens with MPTCP since 1.24, and its accepted
    /// connections fall back to TCP anyway.
    pub fn from_protocol(name: &str) -> Self {
        match name {
            "TCP" | "MPTCP" => Self::Tcp4,
            "TCPv6" | "MPTCPv6" => Self::Tcp6,
            "UDP" => Self::Udp4,
            "UDPv6" => Self::Udp6,
            _ => Self::Other,
        }
    }
}

/// The protocol of a shared port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP, or MPTCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// What stands before an address in RPM_PORTS and in the log.
    fn prefix(self) -> &'static str {
        match self {
            Self::Tcp => "",
            Self::Udp => "udp:",
        }
    }
}

/// One shared port. Each family and address has its own, because a program sizes the client addresses by the family
/// that it requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortKey {
    /// The protocol; each has ports of its own.
    pub transport: Transport,
    /// Never port 0. It has the family of the program's socket, so it may be an IPv4-mapped address.
    pub addr: SocketAddr,
    /// IPV6_V6ONLY; false for IPv4.
    pub v6only: bool,
}

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}{}",
            self.transport.prefix(),
            self.addr,
            if self.v6only { " (IPv6 only)" } else { "" }
        )
    }
}

impl PortKey {
    /// A TCP port. `v6only` matters only for the IPv6 wildcard, because no other address serves both families. `bind` ignores the
    /// flow, and the scope except for link-local addresses (ipv6(7)). An IPv4-mapped address stays an IPv6 address,
    /// because the program asked for a socket of that family.
    pub fn new(addr: SocketAddr, v6only: bool) -> Self {
        let addr = match addr {
            SocketAddr::V6(v6) => {
                let scope = if v6.ip().is_unicast_link_local() {
                    v6.scope_id()
                } else {
                    0
                };
                SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope))
            }
            v4 @ SocketAddr::V4(_) => v4,
        };
        let mapped = is_mapped(addr);
        Self {
            transport: Transport::Tcp,
            addr,
            v6only: addr.is_ipv6() && !mapped && (v6only || !addr.ip().is_unspecified()),
        }
    }

    /// The address at which clients reach it: of an IPv4-mapped address, the IPv4 address.
    pub fn reached_at(&self) -> SocketAddr {
        unmapped(self.addr)
    }

    /// The port without the address: see [`super::PortTable`].
    pub fn port_name(&self) -> String {
        format!("{}{}", self.transport.prefix(), self.addr.port())
    }

    /// The same port of another protocol.
    #[must_use]
    pub fn over(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// All addresses of both families, which is the meaning of a bare port number. A TCP port.
    pub fn dual_stack(port: u16) -> Self {
        Self::new(
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
            false,
        )
    }

    /// Whether the kernel lets only one socket have them, unless both share by SO_REUSEPORT: the same port, and one of the
    /// addresses includes the other.
    pub fn conflicts(&self, other: &Self) -> bool {
        let (one, two) = (self.reached_at(), other.reached_at());
        let wild = |addr: SocketAddr| addr.ip().is_unspecified();
        let both = |key: &Self| key.reached_at().is_ipv6() && !key.v6only;
        let addresses = if one.is_ipv4() == two.is_ipv4() {
            wild(one) || wild(two) || one == two
        } else {
            both(self) || both(other)
        };
        self.transport == other.transport && one.port() == two.port() && addresses
    }

    /// Whether a client could reach both: the same port on a common address.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, two) = (self.reached_at(), other.reached_at());
        let both = |key: &Self| key.reached_at().is_ipv6() && !key.v6only;
        let family = one.is_ipv4() == two.is_ipv4() || both(self) || both(other);
        let wild = one.ip().is_unspecified() && two.ip().is_unspecified();
        self.transport == other.transport
            && one.port() == two.port()
            && (wild && family || one.ip() == two.ip())
    }
}

/// SO_REUSEADDR and SO_REUSEPORT of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reuse {
    /// SO_REUSEADDR.
    pub addr: bool,
    /// SO_REUSEPORT.
    pub port: bool,
}

impl Reuse {
    /// Whether no other process that sets the same options can bind the address meanwhile. A TCP socket with SO_REUSEADDR
    /// can be bound, but cannot listen (socket(7)).
    pub fn excludes(self, transport: Transport) -> bool {
        match transport {
            Transport::Tcp => !self.port,
            Transport::Udp => !self.port && !self.addr,
        }
    }

    /// Whether the kernel refuses to bind a TCP socket where another one of the same uid is bound already
    /// (inet_bind_conflict in net/ipv4/inet_connection_sock.c).
    pub fn refused_by(self, other: Self, other_listens: bool) -> bool {
        let one_at_a_time = self.addr && other.addr && !other_listens;
        !(one_at_a_time || self.port && other.port)
    }
}

/// Whether it is an IPv4-mapped address (`::ffff:127.0.0.1`).
fn is_mapped(addr: SocketAddr) -> bool {
    matches!(addr.ip(), IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

/// Whether it is a multicast or broadcast address: each socket there gets every datagram.
pub fn reaches_everybody(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    }
}

/// Of an IPv4-mapped address the IPv4 address, to the kernel the same place (ipv6(7)). Any other address as it is.
fn unmapped(addr: SocketAddr) -> SocketAddr {
    if is_mapped(addr) {
        SocketAddr::new(addr.ip().to_canonical(), addr.port())
    } else {
        addr
    }
}

/// The answer to a `bind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindAnswer {
    /// Not handled by the runtime: the kernel performs the call.
    Leave,
    /// As `Leave`, for a multicast or broadcast address.
    LeaveEverybody(PortKey),
    /// As `Leave`, but users may expect something else: RPM_PORTS lists this port with another address.
    LeaveElsewhere(PortKey),
    /// As `Leave`: RPM_PORTS does not list this port.
    LeaveUnlisted(PortKey),
    /// The descriptor is already the listener of this port, because a signal restarted the call (seccomp_unotify(2)).
    Done,
    /// Replace the descriptor by the slot's listener of this port.
    Share(PortKey),
}

/// Decides how to answer a `bind` of a socket of that `kind` to `addr`. `v6only` is the socket's setting.
pub fn on_bind(
    rule: &PortRule,
    kind: SocketKind,
    addr: SocketAddr,
    v6only: bool,
    ours: Option<PortKey>,
) -> BindAnswer {
    let (transport, family_fits) = match kind {
        SocketKind::Tcp4 => (Transport::Tcp, addr.is_ipv4()),
        SocketKind::Tcp6 => (Transport::Tcp, addr.is_ipv6()),
        SocketKind::Udp4 => (Transport::Udp, addr.is_ipv4()),
        SocketKind::Udp6 => (Transport::Udp, addr.is_ipv6()),
        SocketKind::Other => return BindAnswer::Leave,
    };
    // The kernel refuses an IPv4-mapped address on a socket for IPv6 alone.
    let impossible = v6only && is_mapped(addr);
    let key = PortKey::new(addr, v6only).over(transport);
    if !family_fits || impossible || addr.port() == 0 {
        BindAnswer::Leave
    } else if reaches_everybody(addr.ip()) {
        BindAnswer::LeaveEverybody(key)
    } else if !rule.covers(&key) {
        if rule.lists_elsewhere(&key) {
            BindAnswer::LeaveElsewhere(key)
        } else {
            BindAnswer::LeaveUnlisted(key)
        }
    } else {
        match ours {
            None => BindAnswer::Share(key),
            // The IPV6_V6ONLY setting was lost with the socket that was replaced.
            Some(ours) if ours.addr == key.addr => BindAnswer::Done,
            // A bound socket cannot be bound again; the kernel returns the error.
            Some(_) => BindAnswer::Leave,
        }
    }
}

#[cfg(test)]
mod tests;
