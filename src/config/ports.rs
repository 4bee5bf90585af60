//! Shared ports: which ports, how workers get them, and how connections are balanced.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use super::faults::{Wrong, quote};
use super::grammar::{is, list, number, show_word, word};
use super::reader::{Reader, Value};
use super::setting::{Group, Preset, Setting};
use crate::model::Word;
use crate::policy::handover::{PortList, PortRule, PortSpec, Transport, reaches_everybody};
use crate::policy::steering::Balance;
use crate::policy::unix::UnixKey;

pub(super) const GROUP: Group = Group {
    title: "Shared ports",
    settings: &[&PORTS, &HANDOVER, &BALANCE, &BACKLOG],
};

pub(super) const PORTS: Setting<PortRule> = Setting {
    name: "RPM_PORTS",
    default: Preset::Text("auto"),
    help: "auto: what the first worker binds; off; or a list: 3000,[::1]:80,udp:53",
    doc: "Which TCP and UDP ports and unix paths the workers share. With `auto` every fixed port and every unix path that a worker \
          binds is shared. A list (`3000,127.0.0.1:8080,[::]:8443,udp:8125,unix:/run/app.sock`, `unix:@name` for an abstract name) names them; the runtime opens \
          them before the first worker, so clients wait instead of being refused, and others are left alone. `off` shares none.\n\n\
          Under `auto` a program that binds a *fixed* port for an outgoing connection would be given a listener: list the \
          ports that it serves.",
    parse: ports,
    show: ToString::to_string,
};

pub(super) const HANDOVER: Setting<Handover> = Setting {
    name: "RPM_HANDOVER",
    default: Preset::Text("auto"),
    help: "how workers get a port: auto, intercept, node, activation",
    doc: "How a worker gets its listener of a shared port. With `intercept` its call of `bind` is intercepted and its \
          socket is replaced by the listener: the program needs no change. With `node` a Node program asks for it over its \
          [channel](node.md), and nothing is intercepted. With `activation` it gets the listeners as \
          open descriptors (`LISTEN_FDS`, as from systemd); the program must support that, and `RPM_PORTS` must be a \
          list. `auto` takes the first that works here.",
    parse: word,
    show: show_word,
};

pub(super) const BALANCE: Setting<Balance> = Setting {
    name: "RPM_BALANCE",
    default: Preset::Text("adaptive"),
    help: "which worker gets a connection: adaptive, least, random, hash, source, cpu",
    doc: "Which worker gets a new connection. `adaptive`: one that has the fewest connections now, but none that does not \
          accept, or whose queue is longer, as long as others do better. Connections are counted only on kernels that are \
          known to have [the fix of CVE-2026-52910](shared-port.md#kernels-with-cve-2026-52910), because that replaces the \
          BPF program that steers often; on others it is a random worker of these. `least`: as `adaptive`, and connections \
          are counted on any kernel; see [fewest connections](shared-port.md#fewest-connections). `random`: a random \
          worker. `hash`: by client address and port. `source`: by client address alone, so that a client stays with its \
          worker, for programs that keep sessions in memory; see [nothing is \
          sticky](shared-port.md#nothing-is-sticky). `cpu`: by the CPU that the connection came in on.",
    parse: word,
    show: show_word,
};

pub(super) const BACKLOG: Setting<u32> = Setting {
    name: "RPM_BACKLOG",
    default: Preset::Text("4096"),
    help: "connections that may wait for each worker; somaxconn caps it",
    doc: "How many connections may wait in the queue of each worker. The kernel caps the number at \
          `net.core.somaxconn`.",
    parse: |text| number(text, 1, 65_535),
    show: ToString::to_string,
};

/// RPM_HANDOVER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// The first mechanism that works.
    Auto,
    /// Interception of `bind`.
    Intercept,
    /// Over the channel of Node workers.
    Node,
    /// `LISTEN_FDS`.
    Activation,
}

impl Word for Handover {
    const ALL: &'static [Self] = &[Self::Auto, Self::Intercept, Self::Node, Self::Activation];

    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Intercept => "intercept",
            Self::Node => "node",
            Self::Activation => "activation",
        }
    }
}

/// Shared ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// RPM_PORTS.
    pub shared: PortRule,
    /// RPM_HANDOVER.
    pub handover: Handover,
    /// RPM_BALANCE.
    pub balance: Balance,
    /// RPM_BACKLOG, connections; the kernel limits it to somaxconn.
    pub backlog: u32,
}

impl Ports {
    pub(super) fn read(reader: &Reader<'_>) -> Value<Self> {
        Ok(Self {
            shared: reader.get(&PORTS)?,
            handover: reader.get(&HANDOVER)?,
            balance: reader.get(&BALANCE)?,
            backlog: reader.get(&BACKLOG)?,
        })
    }
}

const LISTS: &str = "auto, off, or a list of PORT, ADDRESS:PORT, [IPV6]:PORT and unix:PATH such as 3000,127.0.0.1:8080,[::]:8443,unix:/run/app.sock, with udp: before UDP ports";

/// Maximal number of entries: each costs one listener per slot.
const MOST: usize = 64;

/// Parses `auto`, `off`, or a list without duplicate ports.
pub(super) fn ports(text: &str) -> Result<PortRule, Wrong> {
    let text = text.trim();
    if is(text, "auto") {
        return Ok(PortRule::Any);
    }
    if is(text, "off") {
        return Ok(PortRule::Nothing);
    }
    let mut specs = PortList::default();
    let mut complaints = Vec::new();
    for part in list(text) {
        if let Some(path) = part.strip_prefix("unix:") {
            match unix_path(path) {
                Err(what) => complaints.push(format!("{} {what}", quote(part))),
                Ok(key) if specs.paths.contains(&key) => {
                    complaints.push(format!("{} stands there twice", quote(part)));
                }
                Ok(key) => specs.paths.push(key),
            }
            continue;
        }
        match entry(part) {
            Err(what) => complaints.push(format!("{} {what}", quote(part))),
            Ok(spec) => {
                let other = specs.iter().find(|other| same_place(**other, spec));
                complaints.extend(other.map(|other| twice(*other, spec)));
                specs.ports.push(spec);
            }
        }
    }
    if !complaints.is_empty() {
        return Err(wrong(complaints.join(", ")));
    }
    match specs.ports.len() + specs.paths.len() {
        0 => Err(wrong("names no port")),
        1..=MOST => Ok(PortRule::Listed(specs)),
        more => Err(wrong(format!("names {more} ports, more than {MOST}"))),
    }
}

fn twice(one: PortSpec, other: PortSpec) -> String {
    let (first, second) = (quote(one.to_string()), quote(other.to_string()));
    if one == other {
        format!("{first} stands there twice")
    } else {
        format!("{first} and {second} are the same place")
    }
}

fn wrong(what: impl Into<String>) -> Wrong {
    Wrong::new(what, LISTS)
}

fn entry(text: &str) -> Result<PortSpec, &'static str> {
    let (transport, text) = match text.split_at_checked(4) {
        Some((head, rest)) if head.eq_ignore_ascii_case("udp:") => (Transport::Udp, rest),
        _ => (Transport::Tcp, text),
    };
    let (ip, port) = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        (None, text.parse::<u16>().map_err(|_| "is above 65535")?)
    } else if let Ok(addr) = text.parse::<SocketAddr>() {
        (Some(addr.ip()), addr.port())
    } else {
        return Err(complaint(text));
    };
    let port = NonZeroU16::new(port).ok_or("has port 0, which is nobody's")?;
    if transport == Transport::Udp && ip.is_some_and(reaches_everybody) {
        return Err(
            "is a multicast or broadcast address: each datagram reaches every socket there, so it cannot be shared",
        );
    }
    Ok(PortSpec {
        transport,
        ip,
        port,
    })
}

/// The path of `unix:PATH`, or the abstract name of `unix:@NAME`.
fn unix_path(text: &str) -> Result<UnixKey, &'static str> {
    /// Length of `sun_path`, less the closing NUL (unix(7)).
    const LONGEST: usize = 107;
    // As socat, ss and /proc/net/unix write abstract names.
    if let Some(name) = text.strip_prefix('@') {
        return match name.len() {
            0 => Err("has no name"),
            1..=LONGEST => Ok(UnixKey::Abstract(name.into())),
            _ => Err("is longer than 107 bytes, the most for a unix socket"),
        };
    }
    if !text.starts_with('/') {
        Err("has no absolute path")
    } else if text.ends_with('/') {
        Err("is a directory")
    } else if text.len() > LONGEST {
        Err("is longer than 107 bytes, the most for a unix socket")
    } else {
        Ok(UnixKey::Path(text.into()))
    }
}

fn complaint(text: &str) -> &'static str {
    if text.eq_ignore_ascii_case("auto") || text.eq_ignore_ascii_case("off") {
        "stands alone or not at all"
    } else if text.starts_with(':') && text.parse::<IpAddr>().is_err() {
        "has no address before the port"
    } else if text.parse::<IpAddr>().is_ok() {
        "has no port"
    } else if text.contains('/') {
        "has a slash; a UDP port is udp:53"
    } else if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.contains(':') {
        "has a host name, and names are not looked up"
    } else {
        "is not a port or an address with a port"
    }
}

/// Whether two entries have the same address (perhaps once IPv4-mapped), or one is a bare port (all addresses) and the other a wildcard of the same port.
fn same_place(a: PortSpec, b: PortSpec) -> bool {
    let everywhere = |spec: PortSpec| spec.ip.is_none_or(|ip| ip.to_canonical().is_unspecified());
    let place = |spec: PortSpec| spec.ip.map(|ip| ip.to_canonical());
    a.transport == b.transport
        && a.port == b.port
        && (place(a) == place(b)
            || (a.ip.is_none() || b.ip.is_none()) && everywhere(a) && everywhere(b))
}

/// Whether a listener at `addr` and a shared port would conflict.
pub(super) fn collides(spec: PortSpec, addr: SocketAddr) -> bool {
    // The IPv6 wildcard includes IPv4 (ipv6(7), IPV6_V6ONLY).
    let covers = |a: IpAddr, b: IpAddr| a.is_unspecified() && (a.is_ipv6() || b.is_ipv4());
    let both = |a: IpAddr, b: IpAddr| a == b || covers(a, b) || covers(b, a);
    let ip = spec.ip.map(|ip| ip.to_canonical());
    spec.transport == Transport::Tcp
        && spec.port.get() == addr.port()
        && ip.is_none_or(|ip| both(ip, addr.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::good;

    #[test]
    fn nothing_set_is_the_documented_default() {
        let expected = Ports {
            shared: PortRule::Any,
            handover: Handover::Auto,
            balance: Balance::Adaptive,
            backlog: 4096,
        };
        assert_eq!(good(&[]).config.ports, expected);
    }

    #[test]
    fn the_handovers_are_words() {
        assert_eq!((HANDOVER.parse)(" Node"), Ok(Handover::Node));
        let told = (HANDOVER.parse)("").unwrap_err();
        assert_eq!(told.what, "is not one of the known words");
    }

    #[test]
    fn lists_of_ports() {
        assert_eq!(ports("AUTO"), Ok(PortRule::Any));
        assert_eq!(ports("off"), Ok(PortRule::Nothing));
        for text in [
            "3000",
            "127.0.0.1:8080",
            "[::]:8443",
            "0.0.0.0:80,[::]:80",
            "80,127.0.0.1:80",
            "53,udp:53,udp:127.0.0.1:53,udp:[::1]:53",
            "80,unix:/run/app.sock",
            "unix:/run/app.sock",
            "unix:@app",
        ] {
            assert_eq!(
                ports(text).map(|rule| rule.to_string()).as_deref(),
                Ok(text)
            );
        }
        assert_eq!(
            ports(" 1 , ,2,").map(|p| matches!(p, PortRule::Listed(l) if l.len() == 2)),
            Ok(true)
        );
    }

    #[test]
    fn lists_that_cannot_be_meant() {
        let table = [
            (",", "names no port"),
            (
                "0,x",
                "\"0\" has port 0, which is nobody's, \"x\" is not a port or an address with a port",
            ),
            ("0", "\"0\" has port 0, which is nobody's"),
            (
                "127.0.0.1:0",
                "\"127.0.0.1:0\" has port 0, which is nobody's",
            ),
            ("65536", "\"65536\" is above 65535"),
            ("3000,auto", "\"auto\" stands alone or not at all"),
            (":3000", "\":3000\" has no address before the port"),
            ("127.0.0.1", "\"127.0.0.1\" has no port"),
            ("::1", "\"::1\" has no port"),
            (
                "localhost:80",
                "\"localhost:80\" has a host name, and names are not looked up",
            ),
            ("53/udp", "\"53/udp\" has a slash; a UDP port is udp:53"),
            ("unix:app.sock", "\"unix:app.sock\" has no absolute path"),
            ("unix:/run/", "\"unix:/run/\" is a directory"),
            ("unix:@", "\"unix:@\" has no name"),
            ("unix:/a,unix:/a", "\"unix:/a\" stands there twice"),
            ("http", "\"http\" is not a port or an address with a port"),
            ("-80", "\"-80\" is not a port or an address with a port"),
            ("udp:", "\"udp:\" is not a port or an address with a port"),
            (
                "udp:53,udp:0.0.0.0:53",
                "\"udp:53\" and \"udp:0.0.0.0:53\" are the same place",
            ),
            (
                "udp:224.0.0.251:5353",
                "\"udp:224.0.0.251:5353\" is a multicast or broadcast address: each datagram reaches every socket there, so it cannot be shared",
            ),
            ("80,80", "\"80\" stands there twice"),
            (
                "80,0.0.0.0:80",
                "\"80\" and \"0.0.0.0:80\" are the same place",
            ),
            ("[::]:80,80", "\"[::]:80\" and \"80\" are the same place"),
            (
                "127.0.0.1:80,[::ffff:127.0.0.1]:80",
                "\"127.0.0.1:80\" and \"[::ffff:127.0.0.1]:80\" are the same place",
            ),
        ];
        for (text, complaint) in table {
            assert_eq!(ports(text).unwrap_err().what, complaint, "{text}");
        }
        let many: Vec<String> = (1..=65).map(|port| port.to_string()).collect();
        assert_eq!(
            ports(&many.join(",")).unwrap_err().what,
            "names 65 ports, more than 64"
        );
    }

    #[test]
    fn collisions_with_the_admin_address() {
        let table = [
            ("9464", "0.0.0.0:9464", true),
            ("udp:9464", "0.0.0.0:9464", false),
            ("127.0.0.1:9464", "0.0.0.0:9464", true),
            ("127.0.0.1:9464", "127.0.0.2:9464", false),
            ("[::]:9464", "127.0.0.1:9464", true),
            ("[::1]:9464", "0.0.0.0:9464", false),
            ("3000", "0.0.0.0:9464", false),
        ];
        for (spec, addr, expected) in table {
            assert_eq!(
                collides(entry(spec).unwrap(), addr.parse().unwrap()),
                expected,
                "{spec} {addr}"
            );
        }
    }
}
