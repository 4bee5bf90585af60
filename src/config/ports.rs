//! The grammar of RPM_PORTS.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use super::faults::{Wrong, quote};
use super::parse::list;
use super::types::{PortRule, PortSpec};

const ACCEPTED: &str = "auto, off, or a list of PORT, ADDRESS:PORT and [IPV6]:PORT such as 3000,127.0.0.1:8080,[::]:8443";

/// Most entries: each costs a listener for every slot.
const MOST: usize = 64;

/// `auto`, `off`, or a list in which no port is named twice.
pub(super) fn ports(text: &str) -> Result<PortRule, Wrong> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("auto") {
        return Ok(PortRule::Any);
    }
    if text.eq_ignore_ascii_case("off") {
        return Ok(PortRule::Nothing);
    }
    let mut specs: Vec<PortSpec> = Vec::new();
    let mut complaints = Vec::new();
    for part in list(text) {
        match entry(part) {
            Err(what) => complaints.push(format!("{} {what}", quote(part))),
            Ok(spec) => {
                let other = specs.iter().find(|other| same_place(**other, spec));
                complaints.extend(other.map(|other| twice(*other, spec)));
                specs.push(spec);
            }
        }
    }
    if !complaints.is_empty() {
        return Err(wrong(complaints.join(", ")));
    }
    match specs.len() {
        0 => Err(wrong("names no port")),
        1..=MOST => Ok(PortRule::Listed(specs)),
        more => Err(wrong(format!("names {more} ports, more than {MOST}"))),
    }
}

fn twice(one: PortSpec, other: PortSpec) -> String {
    let (first, second) = (
        quote(super::show::port(one)),
        quote(super::show::port(other)),
    );
    if one == other {
        format!("{first} stands there twice")
    } else {
        format!("{first} and {second} are the same place")
    }
}

fn wrong(what: impl Into<String>) -> Wrong {
    Wrong::new(what, ACCEPTED)
}

fn entry(text: &str) -> Result<PortSpec, &'static str> {
    let (ip, port) = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        (None, text.parse::<u16>().map_err(|_| "is above 65535")?)
    } else if let Ok(addr) = text.parse::<SocketAddr>() {
        (Some(addr.ip()), addr.port())
    } else {
        return Err(complaint(text));
    };
    let port = NonZeroU16::new(port).ok_or("has port 0, which is nobody's")?;
    Ok(PortSpec { ip, port })
}

fn complaint(text: &str) -> &'static str {
    if text.eq_ignore_ascii_case("auto") || text.eq_ignore_ascii_case("off") {
        "stands alone or not at all"
    } else if text.starts_with(':') && text.parse::<IpAddr>().is_err() {
        "has no address before the port"
    } else if text.parse::<IpAddr>().is_ok() {
        "has no port"
    } else if text.contains('/') {
        "is not a TCP port"
    } else if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.contains(':') {
        "has a host name, and names are not looked up"
    } else {
        "is not a port or an address with a port"
    }
}

/// Equal, or a bare port (every address) beside a wildcard of the same port.
fn same_place(a: PortSpec, b: PortSpec) -> bool {
    let everywhere = |spec: PortSpec| spec.ip.is_none_or(|ip| ip.is_unspecified());
    a == b
        || (a.port == b.port
            && (a.ip.is_none() || b.ip.is_none())
            && everywhere(a)
            && everywhere(b))
}

/// Whether a listener at `addr` and a shared port would be in each other's way.
pub(super) fn collides(spec: PortSpec, addr: SocketAddr) -> bool {
    // The IPv6 wildcard takes IPv4 too (ipv6(7), IPV6_V6ONLY).
    let covers = |a: IpAddr, b: IpAddr| a.is_unspecified() && (a.is_ipv6() || b.is_ipv4());
    let both = |a: IpAddr, b: IpAddr| a == b || covers(a, b) || covers(b, a);
    spec.port.get() == addr.port() && spec.ip.is_none_or(|ip| both(ip, addr.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            let Ok(PortRule::Listed(specs)) = ports(text) else {
                panic!("{text}")
            };
            let shown: Vec<String> = specs.into_iter().map(crate::config::show::port).collect();
            assert_eq!(shown.join(","), text);
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
            ("53/udp", "\"53/udp\" is not a TCP port"),
            ("http", "\"http\" is not a port or an address with a port"),
            ("-80", "\"-80\" is not a port or an address with a port"),
            ("80,80", "\"80\" stands there twice"),
            (
                "80,0.0.0.0:80",
                "\"80\" and \"0.0.0.0:80\" are the same place",
            ),
            ("[::]:80,80", "\"[::]:80\" and \"80\" are the same place"),
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
