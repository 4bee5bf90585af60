//! Health checks of workers.

use std::num::NonZeroU32;
use std::time::Duration;

use super::faults::Wrong;
use super::grammar::{UNKNOWN_WORD, http, is, number, positive_duration};
use super::reader::{Reader, Value};
use super::setting::{Group, Preset, Setting};
use super::show;
use crate::policy::health::HealthCheck;

pub(super) const GROUP: Group = Group {
    title: "Health",
    settings: &[&HEALTH, &HEALTH_INTERVAL, &HEALTH_TIMEOUT, &HEALTH_FAILURES],
};

pub(super) const HEALTH: Setting<Option<HealthCheck>> = Setting {
    name: "RPM_HEALTH",
    default: Preset::Text("off"),
    help: "asks each worker: http:PATH, tcp, accept (does its queue move); off",
    doc: "Asks each worker by itself whether it works; a worker that fails is replaced while the others serve. \
          `http:PATH`: it answers a request for that path with 2xx or 3xx. `tcp`: it accepts a connection. `accept`: \
          its queue of waiting connections is empty or shrinks.",
    parse: health,
    show: show::or_off,
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
        Ok(Self {
            check: reader.get(&HEALTH)?,
            interval: reader.get(&HEALTH_INTERVAL)?,
            timeout: reader.get(&HEALTH_TIMEOUT)?,
            failures: reader.get(&HEALTH_FAILURES)?,
        })
    }
}

fn health(text: &str) -> Result<Option<HealthCheck>, Wrong> {
    let accepted = "off, http:PATH such as http:/healthz, tcp, or accept";
    match http(text, accepted) {
        Some(path) => path.map(|path| Some(HealthCheck::Http(path))),
        None if is(text, "off") => Ok(None),
        None if is(text, "tcp") => Ok(Some(HealthCheck::Tcp)),
        None if is(text, "accept") => Ok(Some(HealthCheck::Accept)),
        None => Err(Wrong::new(UNKNOWN_WORD, accepted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::good;

    #[test]
    fn nothing_set_is_the_documented_default() {
        let expected = Health {
            check: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            failures: NonZeroU32::new(3).unwrap(),
        };
        assert_eq!(good(&[]).config.health, expected);
    }

    #[test]
    fn checks() {
        assert_eq!(health(" OFF "), Ok(None));
        assert_eq!(health("tcp"), Ok(Some(HealthCheck::Tcp)));
        assert_eq!(health("Accept"), Ok(Some(HealthCheck::Accept)));
        let path = format!("/{}", "x".repeat(1023));
        for path in ["/", "/healthz?full=1&x=%20", "/a:b//c", &path] {
            let parsed = health(&format!(" http:{path} "));
            assert_eq!(parsed, Ok(Some(HealthCheck::Http(path.to_owned()))));
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
            ("https:/x".to_owned(), "is not one of the known words"),
            ("exec:true".to_owned(), "is not one of the known words"),
            (String::new(), "is not one of the known words"),
        ];
        for (text, complaint) in bad {
            assert_eq!(health(&text).unwrap_err().what, complaint, "{text:?}");
        }
    }
}
