//! The servers that programs ask for, by Node's names of them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use crate::policy::handover::{PortKey, Transport};
use crate::policy::unix::Endpoint;
use crate::ports::Wanted;

use super::message::{Cluster, number, text};

/// Most names that are remembered.
const MOST: usize = 1024;

/// Longest name, bytes. Node's names are addresses, and paths of at most 107 bytes.
const LONGEST_NAME: usize = 512;

/// Longest data that all workers of a server have in common, bytes. The keys of TLS tickets have 115.
const LONGEST_DATA: usize = 4096;

/// A server of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Node's name of it.
    pub name: String,
    /// Where it listens; `None`: on a descriptor of the runtime, which is not shared port by port.
    pub at: Option<Endpoint>,
    /// The worker has said that it listens.
    pub listens: bool,
}

/// Where a worker wants to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Port(Wanted),
    /// A path, or an abstract name that begins with NUL.
    Path(Vec<u8>),
    /// A descriptor of the runtime.
    Descriptor(i64),
}

/// A question for a server.
#[derive(Debug)]
pub struct Query {
    /// Node's name of the server.
    pub name: String,
    pub place: nix::Result<Place>,
}

impl Query {
    /// Reads the question. The name is formed as Node 22 does it (lib/internal/cluster/primary.js): servers of one worker
    /// at the same address are told apart only if the kernel chooses their ports.
    pub fn read(query: &Cluster<'_>) -> Self {
        let raw = |value: Option<&serde_json::value::RawValue>| {
            value.map_or_else(String::new, |value| {
                text(value).map_or_else(|| value.get().to_owned(), std::borrow::Cow::into_owned)
            })
        };
        let port = query.port.and_then(number);
        let mut name = format!(
            "{}:{}:{}:{}",
            raw(query.address),
            raw(query.port),
            raw(query.address_type),
            raw(query.fd)
        );
        if port == Some(0) {
            name.push(':');
            name.push_str(&raw(query.index));
        }
        let place = if name.len() <= LONGEST_NAME {
            place(query, port)
        } else {
            Err(Errno::ENAMETOOLONG)
        };
        Self { name, place }
    }
}

fn place(query: &Cluster<'_>, port: Option<i64>) -> nix::Result<Place> {
    let kind = query.address_type.map(serde_json::value::RawValue::get);
    let (transport, is_v6) = match kind {
        Some("4") => (Transport::Tcp, false),
        Some("6") => (Transport::Tcp, true),
        Some("\"udp4\"") => (Transport::Udp, false),
        Some("\"udp6\"") => (Transport::Udp, true),
        Some("-1") => {
            let path = query.address.and_then(text).ok_or(Errno::EINVAL)?;
            return Ok(Place::Path(path.into_owned().into_bytes()));
        }
        _ => {
            let fd = query.fd.and_then(number);
            return fd.map(Place::Descriptor).ok_or(Errno::EINVAL);
        }
    };
    if let Some(fd) = query.fd.and_then(number).filter(|fd| *fd >= 0) {
        return Ok(Place::Descriptor(fd));
    }
    let port = port.and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(Errno::EINVAL)?;
    let flags = query.flags.and_then(number).unwrap_or(0);
    let any = || match (transport, is_v6) {
        (Transport::Udp, false) => Some(IpAddr::from([0; 4])),
        (Transport::Udp, true) => Some(IpAddr::from([0; 16])),
        (Transport::Tcp, _) => None,
    };
    let address = query.address.filter(|address| address.get() != "\"\"");
    let ip = match address {
        None => any(),
        Some(address) => Some(
            text(address)
                .and_then(|address| address.parse().ok())
                .ok_or(Errno::EINVAL)?,
        ),
    };
    Ok(Place::Port(Wanted {
        transport,
        addr: ip.map(|ip| SocketAddr::new(ip, port)),
        port,
        v6only: flags & 1 != 0,
    }))
}

/// What all workers of a server have in common. It outlives crashes and reloads.
#[derive(Debug, Default)]
pub struct Servers {
    /// The ports that the kernel chose.
    chosen: HashMap<String, PortKey>,
    /// What the first worker gave: the keys of its TLS tickets. JSON.
    data: HashMap<String, Box<str>>,
}

impl Servers {
    /// The port that was chosen for a server of port 0.
    pub fn chosen(&self, name: &str) -> Option<PortKey> {
        self.chosen.get(name).copied()
    }

    pub fn choose(&mut self, name: &str, key: PortKey) {
        if self.chosen.len() < MOST {
            self.chosen.insert(name.to_owned(), key);
        }
    }

    /// What the first worker of this server gave, for all. What is too long is not kept.
    pub fn common_data<'a>(&'a mut self, name: &str, given: &'a str) -> &'a str {
        if !self.data.contains_key(name) {
            if given == "null" || name.len() > LONGEST_NAME || given.len() > LONGEST_DATA {
                return given;
            }
            if self.data.len() >= MOST {
                self.data.clear();
            }
            self.data.insert(name.to_owned(), given.into());
        }
        self.data.get(name).map_or("null", |data| data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::message::{Message, read};

    fn query(members: &str) -> Query {
        let line = format!(r#"{{"cmd":"NODE_CLUSTER","act":"queryServer",{members}}}"#);
        let Ok(Message::Cluster(cluster)) = read(line.as_bytes()) else {
            panic!("{line}")
        };
        Query::read(&cluster)
    }

    fn wanted(transport: Transport, addr: Option<&str>, port: u16, v6only: bool) -> Place {
        Place::Port(Wanted {
            transport,
            addr: addr.map(|addr| addr.parse().unwrap()),
            port,
            v6only,
        })
    }

    #[test]
    fn a_question_says_where_to_listen() {
        use Transport::{Tcp, Udp};
        for (members, expected) in [
            (
                r#""address":"127.0.0.1","port":80,"addressType":4,"flags":0"#,
                Ok(wanted(Tcp, Some("127.0.0.1:80"), 80, false)),
            ),
            (
                r#""address":null,"port":80,"addressType":4,"flags":0"#,
                Ok(wanted(Tcp, None, 80, false)),
            ),
            (
                r#""address":"::","port":0,"addressType":6,"flags":1"#,
                Ok(wanted(Tcp, Some("[::]:0"), 0, true)),
            ),
            (
                r#""address":null,"port":53,"addressType":"udp4","fd":-1"#,
                Ok(wanted(Udp, Some("0.0.0.0:53"), 53, false)),
            ),
            (
                r#""address":"::1","port":53,"addressType":"udp6","fd":-1,"flags":0"#,
                Ok(wanted(Udp, Some("[::1]:53"), 53, false)),
            ),
            (
                r#""address":"\u0000name","port":-1,"addressType":-1"#,
                Ok(Place::Path(b"\0name".to_vec())),
            ),
            (
                r#""address":null,"port":null,"addressType":null,"fd":3"#,
                Ok(Place::Descriptor(3)),
            ),
            (
                r#""address":"somewhere","port":80,"addressType":4"#,
                Err(Errno::EINVAL),
            ),
            (
                r#""address":null,"port":-2,"addressType":4"#,
                Err(Errno::EINVAL),
            ),
            (
                r#""address":7,"port":"x","addressType":{}"#,
                Err(Errno::EINVAL),
            ),
        ] {
            assert_eq!(query(members).place, expected, "{members}");
        }
    }

    #[test]
    fn only_servers_whose_port_the_kernel_chooses_are_told_apart_by_their_index() {
        let of = |port: u16, index: u8| {
            query(&format!(
                r#""address":"::","port":{port},"addressType":6,"index":{index}"#
            ))
            .name
        };
        assert_eq!(of(80, 0), of(80, 1));
        assert_ne!(of(0, 0), of(0, 1));
        assert_eq!(of(0, 1), ":::0:6::1");
    }

    #[test]
    fn a_name_without_end_is_refused() {
        let path = "x".repeat(600);
        let members = format!(r#""address":"{path}","port":-1,"addressType":-1"#);
        assert_eq!(query(&members).place, Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn all_workers_get_what_the_first_gave() {
        let mut servers = Servers::default();
        assert_eq!(servers.common_data("a", "1"), "1");
        assert_eq!(servers.common_data("a", "2"), "1");
        assert_eq!(servers.common_data("b", "2"), "2");
        let long = "3".repeat(LONGEST_DATA + 1);
        assert_eq!(servers.common_data("c", &long), long);
        assert_eq!(servers.common_data("c", "4"), "4");
        // The first that has any: a plain server may have looked whether the port is free.
        assert_eq!(servers.common_data("d", "null"), "null");
        assert_eq!(servers.common_data("d", "5"), "5");
    }
}
