//! Health checks of workers.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use super::faults::Wrong;
use super::grammar::{AtPort, UNKNOWN_WORD, http, is, number, positive_duration, tcp};
use super::reader::{Reader, Value};
use super::setting::{Group, Preset, Setting};
use super::show;
use crate::policy::health::HealthCheck;

pub(super) const GROUP: Group = Group {
    title: "Health",
    settings: &[&HEALTH, &HEALTH_INTERVAL, &HEALTH_TIMEOUT, &HEALTH_FAILURES],
};

pub(super) const HEALTH: Setting<Option<AtPort<HealthCheck>>> = Setting {
    name: "RPM_HEALTH",
    default: Preset::Text("off"),
    help: "asks each worker: http:PATH, https:PATH, tcp, accept (does its queue move); off",
    doc: "Asks each worker by itself whether it works; a worker that fails is replaced while the others serve. \
          `http:PATH`: it answers a request for that path with 2xx or 3xx. `tcp`: it accepts a connection. `accept`: \
          its queue of waiting connections is empty or shrinks.\n\n\
          The worker is asked on the first port that it has bound. `http::8080/healthz` and `tcp:8080` name another of its \
          shared ports, and so does `https::8443/healthz`. A worker that does not have the named port is not checked, and a \
          warning says so.\n\n\
          `https:PATH` is the same over TLS 1.3, for the name `localhost`. **The certificate is not checked**: any will do. \
          An older version of TLS, or a server that demands a certificate of its clients, cannot be asked: name a port with \
          plain HTTP, or use `tcp`.",
    parse: health,
    show: |asked| match asked {
        None => "off".to_owned(),
        Some(asked) => match &asked.what {
            HealthCheck::Http(page) => asked.shown_page(page),
            other => format!("{other}{}", asked.shown_port()),
        },
    },
};

const HEALTH_INTERVAL: Setting<Duration> = Setting {
    name: "RPM_HEALTH_INTERVAL",
    default: Preset::Text("10s"),
    help: "how often",
    doc: "How often each worker is asked.",
    parse: positive_duration,
    show: show::duration,
};

const HEALTH_TIMEOUT: Setting<Duration> = Setting {
    name: "RPM_HEALTH_TIMEOUT",
    default: Preset::Text("2s"),
    help: "an answer that takes longer is a failure",
    doc: "How long an answer may take. A later one is a failure.",
    parse: positive_duration,
    show: show::duration,
};

const HEALTH_FAILURES: Setting<NonZeroU32> = Setting {
    name: "RPM_HEALTH_FAILURES",
    default: Preset::Text("3"),
    help: "failures in a row after which a worker is replaced",
    doc: "After so many failures in a row a worker is replaced.",
    parse: |text| {
        let count = number(text, 1, 1_000_000)?;
        NonZeroU32::new(count).ok_or_else(|| Wrong::new("is zero", "1 or more"))
    },
    show: ToString::to_string,
};

/// Health checks of workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// RPM_HEALTH; `None` is `off`.
    pub check: Option<HealthCheck>,
    /// The port that RPM_HEALTH names; `None` is the first that a worker has bound.
    pub port: Option<NonZeroU16>,
    /// RPM_HEALTH_INTERVAL; not 0.
    pub interval: Duration,
    /// RPM_HEALTH_TIMEOUT; not 0.
    pub timeout: Duration,
    /// RPM_HEALTH_FAILURES in a row.
    pub failures: NonZeroU32,
}

impl Health {
    pub(super) fn read(reader: &mut Reader<'_>) -> Value<Self> {
        if reader.get(&HEALTH) == Ok(None) {
            reader.warn_if_set(&HEALTH_INTERVAL, "without RPM_HEALTH");
            reader.warn_if_set(&HEALTH_TIMEOUT, "without RPM_HEALTH");
            reader.warn_if_set(&HEALTH_FAILURES, "without RPM_HEALTH");
        }
        let (check, port) = match reader.get(&HEALTH)? {
            Some(AtPort { what, port }) => (Some(what), port),
            None => (None, None),
        };
        Ok(Self {
            check,
            port,
            interval: reader.get(&HEALTH_INTERVAL)?,
            timeout: reader.get(&HEALTH_TIMEOUT)?,
            failures: reader.get(&HEALTH_FAILURES)?,
        })
    }
}

fn health(text: &str) -> Result<Option<AtPort<HealthCheck>>, Wrong> {
    let accepted = "off, http:PATH such as http:/healthz, http::PORT/PATH, the same with https, tcp, tcp:PORT, or accept";
    if let Some(asked) = http(text, accepted) {
        let AtPort { what: page, port } = asked?;
        let what = HealthCheck::Http(page);
        return Ok(Some(AtPort { what, port }));
    }
    if let Some(port) = tcp(text, accepted) {
        let what = HealthCheck::Tcp;
        return port.map(|port| Some(AtPort { what, port }));
    }
    if is(text, "off") {
        Ok(None)
    } else if is(text, "accept") {
        Ok(Some(AtPort::first(HealthCheck::Accept)))
    } else {
        Err(Wrong::new(UNKNOWN_WORD, accepted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::good;
    use crate::model::{Page, Scheme};

    fn page(scheme: Scheme, path: &str) -> HealthCheck {
        HealthCheck::Http(Page::new(scheme, path))
    }

    #[test]
    fn nothing_set_is_the_documented_default() {
        let expected = Health {
            check: None,
            port: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            failures: NonZeroU32::new(3).unwrap(),
        };
        assert_eq!(good(&[]).config.health, expected);
    }

    #[test]
    fn checks() {
        assert_eq!(health(" OFF "), Ok(None));
        let first = |what| Ok(Some(AtPort::first(what)));
        assert_eq!(health("tcp"), first(HealthCheck::Tcp));
        assert_eq!(health("Accept"), first(HealthCheck::Accept));
        let port = NonZeroU16::new(8080);
        for (text, what) in [
            ("http::8080/healthz", page(Scheme::Http, "/healthz")),
            ("HTTPS::8080/healthz", page(Scheme::Https, "/healthz")),
            (" Tcp:8080 ", HealthCheck::Tcp),
        ] {
            assert_eq!(health(text), Ok(Some(AtPort { what, port })), "{text}");
        }
        let path = format!("/{}", "x".repeat(1023));
        for path in ["/", "/healthz?full=1&x=%20", "/a:b//c", &path] {
            let parsed = health(&format!(" http:{path} "));
            assert_eq!(parsed, first(page(Scheme::Http, path)));
        }
        let bad = [
            ("http".to_owned(), "names no path behind http:"),
            ("http:".to_owned(), "names no path behind http:"),
            (
                "http://localhost/x".to_owned(),
                "names a host; it is the worker that is asked, for a path",
            ),
            (
                "http:healthz".to_owned(),
                "the path \"healthz\" does not begin with /",
            ),
            (
                "http:/a b".to_owned(),
                "the path holds \" \", which must be percent-encoded, as %20 is for a blank",
            ),
            (
                "http:/a\r\nX: y".to_owned(),
                "the path holds \"\\r\", which must be percent-encoded, as %20 is for a blank",
            ),
            (
                "http:/gr\u{fc}n".to_owned(),
                "the path holds \"\u{fc}\", which must be percent-encoded, as %20 is for a blank",
            ),
            (
                format!("http:{path}x"),
                "the path is 1025 bytes long, more than 1024",
            ),
            ("https:".to_owned(), "names no path behind https:"),
            (
                "https://x".to_owned(),
                "names a host; it is the worker that is asked, for a path",
            ),
            (
                "https::8443".to_owned(),
                "names port 8443 without a path; with one it is https::8443/healthz",
            ),
            (
                "http::8080".to_owned(),
                "names port 8080 without a path; with one it is http::8080/healthz",
            ),
            ("http::/x".to_owned(), "has no port behind the colon"),
            ("http::x/y".to_owned(), "\"x\" is not a port"),
            ("tcp:0".to_owned(), "names port 0, which is nobody's"),
            ("tcp:65536".to_owned(), "the port \"65536\" is above 65535"),
            ("accept:80".to_owned(), "is not one of the known words"),
            ("exec:true".to_owned(), "is not one of the known words"),
            (String::new(), "is not one of the known words"),
        ];
        for (text, complaint) in bad {
            assert_eq!(health(&text).unwrap_err().what, complaint, "{text:?}");
        }
    }
}
