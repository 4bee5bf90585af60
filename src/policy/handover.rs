//! How to answer a worker's `bind` or `listen`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU16;

/// The kind of a worker's descriptor, by its protocol name (`system.sockprotoname`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// TCP, or MPTCP, over IPv4.
    Tcp4,
    /// TCP, or MPTCP, over IPv6.
    Tcp6,
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
            _ => Self::Other,
        }
    }
}

/// One shared port. Each family and address has its own, because a program sizes the client addresses by the family
/// that it requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortKey {
    /// Never port 0.
    pub addr: SocketAddr,
    /// IPV6_V6ONLY; false for IPv4.
    pub v6only: bool,
}

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}",
            self.addr,
            if self.v6only { " (IPv6 only)" } else { "" }
        )
    }
}

impl PortKey {
    /// `v6only` matters only for the IPv6 wildcard, because no other address serves both families. `bind` ignores the
    /// flow, and the scope except for link-local addresses (ipv6(7)).
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
        Self {
            addr,
            v6only: addr.is_ipv6() && (v6only || !addr.ip().is_unspecified()),
        }
    }

    /// All addresses of both families, which is the meaning of a bare port number.
    pub fn dual_stack(port: u16) -> Self {
        Self {
            addr: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
            v6only: false,
        }
    }

    /// Whether a client could reach both: the same port on a common address.
    pub fn overlaps(&self, other: &Self) -> bool {
        let wild = |key: &Self| key.addr.ip().is_unspecified();
        let both = |key: &Self| key.addr.is_ipv6() && !key.v6only;
        let family = self.addr.is_ipv4() == other.addr.is_ipv4() || both(self) || both(other);
        self.addr.port() == other.addr.port() && wild(self) && wild(other) && family
    }
}

/// One entry of RPM_PORTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// `None` for a bare port: whatever family and address the program binds. It is opened on every address, IPv6 and
    /// IPv4 (`[::]`, dual stack).
    pub ip: Option<IpAddr>,
    /// The number.
    pub port: NonZeroU16,
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            None => self.port.fmt(f),
            Some(ip) => SocketAddr::new(ip, self.port.get()).fmt(f),
        }
    }
}

/// RPM_PORTS: selects the ports that are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRule {
    /// `auto`: every fixed TCP port that a worker binds.
    Any,
    /// These and no others; they are opened before the first worker.
    Listed(Vec<PortSpec>),
    /// `off`: none at all.
    Nothing,
}

impl fmt::Display for PortRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("auto"),
            Self::Nothing => f.write_str("off"),
            Self::Listed(list) => {
                let list: Vec<String> = list.iter().map(ToString::to_string).collect();
                f.write_str(&list.join(","))
            }
        }
    }
}

impl PortRule {
    /// Whether this port is listed without an address.
    pub fn lists_bare(&self, port: u16) -> bool {
        matches!(self, Self::Listed(list) if list.iter().any(|spec| spec.ip.is_none() && spec.port.get() == port))
    }

    /// Whether this port is listed, but with another address.
    fn lists_elsewhere(&self, addr: SocketAddr) -> bool {
        matches!(self, Self::Listed(list) if list.iter().any(|spec| spec.port.get() == addr.port()))
    }

    fn covers(&self, addr: SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Nothing => false,
            Self::Listed(list) => list.iter().any(|spec| {
                spec.port.get() == addr.port() && spec.ip.is_none_or(|ip| ip == addr.ip())
            }),
        }
    }
}

/// The answer to a `bind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindAnswer {
    /// Not handled by the runtime: the kernel performs the call.
    Leave,
    /// As `Leave`, but users may expect something else: RPM_PORTS lists this port with another address.
    LeaveElsewhere(PortKey),
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
    let family_fits = match kind {
        SocketKind::Tcp4 => addr.is_ipv4(),
        SocketKind::Tcp6 => addr.is_ipv6(),
        SocketKind::Other => false,
    };
    // An IPv4-mapped address on an IPv6 socket is unusual, so it is left to the kernel.
    let mapped = matches!(addr.ip(), IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
    let key = PortKey::new(addr, v6only);
    if !family_fits || mapped || addr.port() == 0 {
        BindAnswer::Leave
    } else if !rule.covers(addr) {
        if rule.lists_elsewhere(addr) {
            BindAnswer::LeaveElsewhere(key)
        } else {
            BindAnswer::Leave
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
mod tests {
    use super::*;

    fn decide(rule: &PortRule, kind: SocketKind, addr: &str) -> BindAnswer {
        on_bind(rule, kind, addr.parse().unwrap(), true, None)
    }

    #[test]
    fn nothing_of_a_programs_own_business_is_touched() {
        use SocketKind::{Other, Tcp4, Tcp6};
        let any = PortRule::Any;
        assert_eq!(decide(&any, Tcp4, "0.0.0.0:0"), BindAnswer::Leave);
        assert_eq!(decide(&any, Other, "0.0.0.0:53"), BindAnswer::Leave);
        assert_eq!(decide(&any, Tcp4, "[::]:80"), BindAnswer::Leave);
        assert_eq!(decide(&any, Tcp6, "1.2.3.4:80"), BindAnswer::Leave);
        assert_eq!(decide(&any, Tcp6, "[::ffff:1.2.3.4]:80"), BindAnswer::Leave);
        assert_eq!(
            decide(&PortRule::Nothing, Tcp4, "0.0.0.0:80"),
            BindAnswer::Leave
        );
        let spec = |ip: Option<&str>, port| PortSpec {
            ip: ip.map(|ip| ip.parse().unwrap()),
            port: NonZeroU16::new(port).unwrap(),
        };
        let listed = PortRule::Listed(vec![spec(None, 80), spec(Some("127.0.0.1"), 81)]);
        assert_eq!(decide(&listed, Tcp4, "0.0.0.0:82"), BindAnswer::Leave);
        assert!(matches!(
            decide(&listed, Tcp4, "0.0.0.0:81"),
            BindAnswer::LeaveElsewhere(_)
        ));
        assert!(matches!(
            decide(&listed, Tcp4, "127.0.0.1:81"),
            BindAnswer::Share(_)
        ));
        assert!(matches!(
            decide(&listed, Tcp6, "[::1]:80"),
            BindAnswer::Share(_)
        ));
    }

    #[test]
    fn a_port_is_told_apart_by_family_address_and_v6only() {
        let addr: SocketAddr = "[::]:80".parse().unwrap();
        let share = |v6only| on_bind(&PortRule::Any, SocketKind::Tcp6, addr, v6only, None);
        assert_eq!(
            share(false),
            BindAnswer::Share(PortKey {
                addr,
                v6only: false
            })
        );
        assert_eq!(
            share(true),
            BindAnswer::Share(PortKey { addr, v6only: true })
        );
        let v4 = decide(&PortRule::Any, SocketKind::Tcp4, "0.0.0.0:80");
        assert_eq!(
            v4,
            BindAnswer::Share(PortKey {
                addr: "0.0.0.0:80".parse().unwrap(),
                v6only: false
            })
        );
    }

    #[test]
    fn wildcards_overlap_by_family() {
        let key = |addr: &str, v6only| PortKey::new(addr.parse().unwrap(), v6only);
        let (v4, v6, dual) = (
            key("0.0.0.0:80", false),
            key("[::]:80", true),
            key("[::]:80", false),
        );
        assert!(v4.overlaps(&dual) && dual.overlaps(&v4) && v6.overlaps(&dual));
        assert!(!v4.overlaps(&v6) && !key("0.0.0.0:81", false).overlaps(&dual));
        assert!(!key("127.0.0.1:80", false).overlaps(&dual));
        assert_eq!(key("[::1]:80", false), key("[::1]:80", true));
    }

    #[test]
    fn a_restarted_bind_is_done_already_and_a_second_one_is_an_error() {
        let addr: SocketAddr = "0.0.0.0:80".parse().unwrap();
        let again = |ours: &str| {
            let ours = PortKey::new(ours.parse().unwrap(), false);
            on_bind(&PortRule::Any, SocketKind::Tcp4, addr, false, Some(ours))
        };
        assert_eq!(again("0.0.0.0:80"), BindAnswer::Done);
        assert_eq!(again("0.0.0.0:81"), BindAnswer::Leave);
    }

    #[test]
    fn what_bind_does_not_look_at_makes_no_other_port() {
        let key = |flow, scope, ip: &str| {
            let ip: Ipv6Addr = ip.parse().unwrap();
            PortKey::new(
                SocketAddr::V6(SocketAddrV6::new(ip, 80, flow, scope)),
                false,
            )
        };
        assert_eq!(key(7, 3, "::"), key(0, 0, "::"));
        assert_eq!(key(7, 3, "2001:db8::1"), key(0, 0, "2001:db8::1"));
        assert_ne!(key(0, 3, "fe80::1"), key(0, 4, "fe80::1"));
    }
}
