//! Which connection makes room for another. Pure: it is given what each connection does.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// What a connection is there for. Each class has places of its own, so none can take those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Nothing is known of it: its first request line has not arrived.
    Unknown,
    /// It asks /livez, /readyz or /startupz.
    Probe,
    /// It asks anything else.
    Page,
}

/// A client as far as it can be told from others: an IPv4 address, or the /64 of an IPv6 address, because a host has all
/// addresses of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client(Ipv6Addr);

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64),
        })
    }
}

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// The runtime waits for its client: for a request, or for the rest of one.
    Waiting,
    /// It has an answer that its client does not read.
    Writing,
    /// The runtime gathers metrics for it.
    Working,
}

/// One connection, as this module sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) class: Class,
    pub(super) client: Client,
    pub(super) doing: Doing,
    /// It was told to close before.
    pub(super) closing: bool,
}

/// The index of the connection that leaves if `class` is full; `None` if the runtime works for all of them. `seen` has
/// the oldest first.
///
/// The client with the most connections in the class gives one up, so that a client with one does not lose it to one
/// with many. Of its connections the oldest goes that waits for a client, and only then one whose answer is not read, as
/// this may be a large page on its way. An answer to a probe is so small that every client takes it at once, so there
/// those that do not are the first to go.
pub(super) fn leaver(seen: &[Seen], class: Class) -> Option<usize> {
    let members = || {
        seen.iter()
            .enumerate()
            .filter(|(_, one)| one.class == class)
    };
    let mut held: HashMap<Client, usize> = HashMap::new();
    for (_, one) in members() {
        *held.entry(one.client).or_default() += 1;
    }
    let order = match class {
        Class::Probe => [Doing::Writing, Doing::Waiting],
        Class::Unknown | Class::Page => [Doing::Waiting, Doing::Writing],
    };
    let rank = |one: &Seen| {
        let place = order.iter().position(|doing| *doing == one.doing)?;
        // One that was told already may have begun an answer since. It is told again if it is not read.
        (!one.closing || one.doing == Doing::Writing).then_some(place)
    };
    members()
        .filter_map(|(index, one)| {
            let others = usize::MAX - held.get(&one.client).copied().unwrap_or_default();
            Some(((others, rank(one)?, index), index))
        })
        .min()
        .map(|(_, index)| index)
}

/// What the first bytes of a connection ask for; `None` if they do not tell yet.
pub(super) fn class_of(bytes: &[u8]) -> Option<Class> {
    let mut open = false;
    for method in ["GET ", "HEAD "] {
        for path in PROBES {
            let line = [method.as_bytes(), path.as_bytes()].concat();
            match bytes.strip_prefix(line.as_slice()) {
                Some([b' ' | b'?', ..]) => return Some(Class::Probe),
                Some([]) => open = true,
                Some(_) => {}
                None => open |= line.starts_with(bytes),
            }
        }
    }
    (!open).then_some(Class::Page)
}

/// The class of a request for this path.
pub(super) fn class_of_path(path: &str) -> Class {
    if PROBES.contains(&path) {
        Class::Probe
    } else {
        Class::Page
    }
}

const PROBES: [&str; 3] = ["/livez", "/readyz", "/startupz"];

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Client {
        Client::from(address.parse::<IpAddr>().unwrap())
    }

    fn seen(client: Client, doing: Doing) -> Seen {
        Seen {
            class: Class::Page,
            client,
            doing,
            closing: false,
        }
    }

    #[test]
    fn a_probe_is_known_by_the_first_bytes_of_its_request() {
        let table: [(&str, Option<Class>); 18] = [
            ("", None),
            ("G", None),
            ("HEAD", None),
            ("GET /li", None),
            ("GET /livez", None),
            ("GET /livez ", Some(Class::Probe)),
            ("HEAD /readyz HTTP/1.1\r\nHo", Some(Class::Probe)),
            ("GET /startupz?verbose HTTP/1.1\r\n", Some(Class::Probe)),
            ("GET /livezz ", Some(Class::Page)),
            ("GET /livez/", Some(Class::Page)),
            ("GET /status ", Some(Class::Page)),
            ("GET /m", Some(Class::Page)),
            ("GET / ", Some(Class::Page)),
            ("POST /livez ", Some(Class::Page)),
            ("get /livez ", Some(Class::Page)),
            ("\r\nGET /livez ", Some(Class::Page)),
            ("GET http://x/livez ", Some(Class::Page)),
            ("\u{16}\u{3}\u{1}", Some(Class::Page)),
        ];
        for (text, class) in table {
            assert_eq!(class_of(text.as_bytes()), class, "{text:?}");
        }
        for path in PROBES {
            assert_eq!(class_of_path(path), Class::Probe);
        }
        assert_eq!(class_of_path("/status"), Class::Page);
    }

    #[test]
    fn the_oldest_that_waits_for_its_client_goes_and_then_the_oldest_that_does_not_read() {
        let one = client("10.0.0.1");
        let all = [
            seen(one, Doing::Working),
            seen(one, Doing::Writing),
            seen(one, Doing::Waiting),
            seen(one, Doing::Waiting),
            seen(one, Doing::Writing),
        ];
        assert_eq!(leaver(&all, Class::Page), Some(2));
        assert_eq!(leaver(&all[..2], Class::Page), Some(1));
        assert_eq!(leaver(&all[..1], Class::Page), None);
        assert_eq!(leaver(&all, Class::Probe), None);
        let probes = all.map(|one| Seen {
            class: Class::Probe,
            ..one
        });
        assert_eq!(leaver(&probes, Class::Probe), Some(1));
        assert_eq!(leaver(&probes[2..4], Class::Probe), Some(0));
    }

    #[test]
    fn one_that_was_told_is_told_again_only_if_it_does_not_read() {
        let one = client("10.0.0.1");
        let told = |doing| Seen {
            closing: true,
            ..seen(one, doing)
        };
        let all = [told(Doing::Waiting), told(Doing::Writing)];
        assert_eq!(leaver(&all, Class::Page), Some(1));
        assert_eq!(leaver(&all[..1], Class::Page), None);
    }

    #[test]
    fn the_client_with_the_most_connections_gives_one_up() {
        let (few, many) = (client("10.0.0.1"), client("10.0.0.2"));
        let all = [
            seen(few, Doing::Waiting),
            seen(many, Doing::Writing),
            seen(many, Doing::Writing),
        ];
        assert_eq!(leaver(&all, Class::Page), Some(1));
        // With as many as the other, the oldest.
        assert_eq!(leaver(&all[..2], Class::Page), Some(0));
        // The other one, if the runtime works for all of the first.
        let busy = [
            seen(few, Doing::Waiting),
            seen(many, Doing::Working),
            seen(many, Doing::Working),
        ];
        assert_eq!(leaver(&busy, Class::Page), Some(0));
    }

    #[test]
    fn a_client_is_an_address_of_ipv4_or_a_network_of_ipv6() {
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"));
        assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::2:0:0:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
    }
}
