//! How to reach one particular worker.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::policy::handover::PortKey;

/// How to reach one worker and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address to connect to.
    pub addr: SocketAddr,
    /// The source port, used with a loopback address.
    pub source_port: u16,
}

impl Target {
    /// The worker whose listener of the shared port `key` has this source port. A dual-stack wildcard port is reached
    /// over IPv4, because there are millions of IPv4 loopback addresses to connect from and only one of IPv6.
    pub fn new(key: PortKey, source_port: u16) -> Self {
        let at = key.reached_at();
        let ip = match at.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() && !key.v6only => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            // Keep the scope of a link-local address.
            _ => {
                return Self {
                    addr: at,
                    source_port,
                };
            }
        };
        Self {
            addr: SocketAddr::new(ip, at.port()),
            source_port,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_asked_on_loopback() {
        let target = |addr: &str, v6only| {
            Target::new(PortKey::new(addr.parse().unwrap(), v6only), 61_000)
                .addr
                .to_string()
        };
        assert_eq!(target("0.0.0.0:80", false), "127.0.0.1:80");
        assert_eq!(target("[::]:80", false), "127.0.0.1:80");
        assert_eq!(target("[::]:80", true), "[::1]:80");
        assert_eq!(target("[::ffff:127.0.0.1]:80", false), "127.0.0.1:80");
        assert_eq!(target("[::ffff:0.0.0.0]:80", false), "127.0.0.1:80");
        for specific in ["127.0.0.9:80", "10.1.2.3:80", "[::1]:80", "[fe80::1%3]:80"] {
            assert_eq!(target(specific, false), specific);
        }
    }
}
