//! Which redirects are followed: to another path of the same port, once. A framework redirects `/metrics` to `/metrics/`
//! where an application is mounted there.

use std::net::SocketAddr;

/// Longest target that is followed, bytes.
const LONGEST: usize = 2048;

/// Whether this status tells to ask elsewhere with the same method.
pub(super) fn is_moved(status: u16) -> bool {
    matches!(status, 301 | 302 | 307 | 308)
}

/// The path to ask for instead of `asked`, if `location` (RFC 9110, 10.2.2) leads to the port that was asked.
pub(super) fn path_here(location: &[u8], asked: &str, addr: SocketAddr) -> Option<String> {
    let location = str::from_utf8(location).ok()?.trim();
    if location.is_empty() || location.len() > LONGEST {
        return None;
    }
    let (location, _) = location.split_once('#').unwrap_or((location, ""));
    let (path, _) = asked.split_once('?').unwrap_or((asked, ""));
    let path = if let Some(rest) = without_scheme(location) {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        if !is_here(authority, addr) {
            return None;
        }
        match path {
            path if path.starts_with('/') => path.to_owned(),
            query => format!("/{query}"),
        }
    } else if location.starts_with('/') {
        location.to_owned()
    } else if location.starts_with('?') {
        format!("{path}{location}")
    } else if location.split(['/', '?']).next()?.contains(':') {
        // Another scheme, such as https.
        return None;
    } else {
        let (folder, _) = path.rsplit_once('/')?;
        format!("{folder}/{location}")
    };
    (path != asked).then_some(path)
}

/// What follows `http://` or `//`.
fn without_scheme(location: &str) -> Option<&str> {
    if let Some(rest) = location.strip_prefix("//") {
        return Some(rest);
    }
    let (scheme, rest) = location.split_once("://")?;
    scheme.eq_ignore_ascii_case("http").then_some(rest)
}

/// Whether `authority` is the host and the port that the request named, or the address that was connected to.
fn is_here(authority: &str, addr: SocketAddr) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, "80"),
    };
    let address = match addr {
        SocketAddr::V4(addr) => addr.ip().to_string(),
        SocketAddr::V6(addr) => format!("[{}]", addr.ip()),
    };
    let same_host = host.eq_ignore_ascii_case("localhost") || host == address;
    same_host && port.parse() == Ok(addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_path_of_the_same_port_is_followed() {
        let v4 = "127.0.0.1:3000";
        let table = [
            ("/metrics/", Some("/metrics/")),
            ("metrics/", Some("/metrics/")),
            ("/m?a=b", Some("/m?a=b")),
            ("?a=b", Some("/metrics?a=b")),
            ("/metrics/#top", Some("/metrics/")),
            ("http://localhost:3000/metrics/", Some("/metrics/")),
            ("HTTP://LOCALHOST:3000/metrics/", Some("/metrics/")),
            ("http://127.0.0.1:3000/metrics/?x", Some("/metrics/?x")),
            ("//localhost:3000/metrics/", Some("/metrics/")),
            ("http://localhost:3000", Some("/")),
            ("http://localhost:3000?x", Some("/?x")),
            // Nowhere, or where it was.
            ("", None),
            ("/metrics", None),
            ("http://localhost:3000/metrics", None),
            // Elsewhere.
            ("https://localhost:3000/metrics/", None),
            ("http://localhost/metrics/", None),
            ("http://localhost:3001/metrics/", None),
            ("http://localhost:03000x/metrics/", None),
            ("http://example.org:3000/metrics/", None),
            ("http://localhost:3000@example.org/metrics/", None),
            ("http://localhost.example.org:3000/", None),
            ("//example.org/metrics/", None),
            ("ftp://localhost:3000/", None),
            ("mailto:a@b", None),
        ];
        for (location, want) in table {
            let got = path_here(location.as_bytes(), "/metrics", v4.parse().unwrap());
            assert_eq!(got.as_deref(), want, "{location}");
        }
        let nested = path_here(b"b", "/a/metrics?x=/y", v4.parse().unwrap());
        assert_eq!(nested.as_deref(), Some("/a/b"));
        let v6 = "[::1]:80".parse().unwrap();
        for location in ["http://[::1]/m", "http://[::1]:80/m", "http://localhost/m"] {
            assert_eq!(
                path_here(location.as_bytes(), "/metrics", v6).as_deref(),
                Some("/m")
            );
        }
        assert_eq!(path_here(&[b'/'; 3000], "/metrics", v6), None);
        assert_eq!(path_here(b"/\xff", "/metrics", v6), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_worker_names_a_path_is_asked_for(location in "(http:|//|/|localhost|:80|[?#@]|.){0,12}") {
            let path = path_here(location.as_bytes(), "/metrics", "127.0.0.1:80".parse().unwrap());
            proptest::prop_assert!(path.is_none_or(|path| path.starts_with('/')));
        }
    }
}
