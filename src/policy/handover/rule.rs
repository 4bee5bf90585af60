//! RPM_PORTS: which ports are shared.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::ops::Deref;

use super::{PortKey, Transport};
use crate::policy::unix::UnixKey;

/// One entry of RPM_PORTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// The protocol.
    pub transport: Transport,
    /// `None` for a bare port: whatever family and address the program binds. It is opened on every address, IPv6 and
    /// IPv4 (`[::]`, dual stack).
    pub ip: Option<IpAddr>,
    /// The number.
    pub port: NonZeroU16,
}

impl PortSpec {
    /// The port without the address: see [`super::PortTable`].
    pub fn port_name(&self) -> String {
        format!("{}{}", self.transport.prefix(), self.port)
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.transport.prefix())?;
        match self.ip {
            None => self.port.fmt(f),
            Some(ip) => SocketAddr::new(ip, self.port.get()).fmt(f),
        }
    }
}

/// A list in RPM_PORTS: ports, and unix sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortList {
    /// The ports.
    pub ports: Vec<PortSpec>,
    /// The paths.
    pub paths: Vec<UnixKey>,
}

impl PortList {
    /// The names of all entries in a [`super::PortTable`].
    pub fn port_names(&self) -> Vec<String> {
        let ports = self.ports.iter().map(PortSpec::port_name);
        let paths = self.paths.iter().map(UnixKey::port_name);
        ports.chain(paths).collect()
    }
}

impl From<Vec<PortSpec>> for PortList {
    fn from(ports: Vec<PortSpec>) -> Self {
        let paths = Vec::new();
        Self { ports, paths }
    }
}

impl Deref for PortList {
    type Target = [PortSpec];

    fn deref(&self) -> &[PortSpec] {
        &self.ports
    }
}

/// RPM_PORTS: selects the ports that are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRule {
    /// `auto`: every fixed TCP or UDP port that a worker binds.
    Any,
    /// These and no others; they are opened before the first worker.
    Listed(PortList),
    /// `off`: none at all.
    Nothing,
}

impl fmt::Display for PortRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("auto"),
            Self::Nothing => f.write_str("off"),
            Self::Listed(list) => {
                let ports = list.ports.iter().map(ToString::to_string);
                let paths = list.paths.iter().map(ToString::to_string);
                let list: Vec<String> = ports.chain(paths).collect();
                f.write_str(&list.join(","))
            }
        }
    }
}

impl PortRule {
    /// Whether any unix path may be shared.
    pub fn shares_paths(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(list) => !list.paths.is_empty(),
            Self::Nothing => false,
        }
    }

    /// The rule on a host without IPv6, where `[::]` means all addresses that there are: `0.0.0.0`. `None` if that makes
    /// no difference.
    #[must_use]
    pub fn without_ipv6(&self) -> Option<Self> {
        let Self::Listed(list) = self else {
            return None;
        };
        let all_v6 = |spec: &PortSpec| spec.ip == Some(Ipv6Addr::UNSPECIFIED.into());
        if !list.ports.iter().any(all_v6) {
            return None;
        }
        let mut ports: Vec<PortSpec> = Vec::new();
        for spec in &list.ports {
            let mut spec = *spec;
            if all_v6(&spec) {
                spec.ip = Some(Ipv4Addr::UNSPECIFIED.into());
            }
            if !ports.contains(&spec) {
                ports.push(spec);
            }
        }
        let paths = list.paths.clone();
        Some(Self::Listed(PortList { ports, paths }))
    }

    /// Whether this port is listed without an address.
    pub fn lists_bare(&self, transport: Transport, port: u16) -> bool {
        self.lists(transport, port, |ip| ip.is_none())
    }

    /// Whether this port is listed, but with another address.
    pub(super) fn lists_elsewhere(&self, key: &PortKey) -> bool {
        self.lists(key.transport, key.addr.port(), |_| true)
    }

    /// Whether RPM_PORTS lists this port.
    pub fn is_listed(&self, key: &PortKey) -> bool {
        matches!(self, Self::Listed(_)) && self.covers(key)
    }

    pub(super) fn covers(&self, key: &PortKey) -> bool {
        let here = |ip: Option<IpAddr>| {
            ip.is_none_or(|ip| ip.to_canonical() == key.addr.ip().to_canonical())
        };
        match self {
            Self::Any => true,
            Self::Nothing => false,
            Self::Listed(_) => self.lists(key.transport, key.addr.port(), here),
        }
    }

    fn lists(
        &self,
        transport: Transport,
        port: u16,
        fits: impl Fn(Option<IpAddr>) -> bool,
    ) -> bool {
        let Self::Listed(list) = self else {
            return false;
        };
        list.iter()
            .any(|spec| spec.transport == transport && spec.port.get() == port && fits(spec.ip))
    }
}
