//! RPM_HEALTH and what belongs to it; the grammar of paths that workers are asked for.

use std::num::NonZeroU32;
use std::time::Duration;

use super::env::Raw;
use super::faults::{Wrong, quote};
use super::parse;
use super::resolve::Reader;
use super::types::{Health, HealthCheck};

/// Longest path that is asked for, in bytes.
const PATH_BYTES: usize = 1024;

const CHECKS: &str = "off, http:PATH such as http:/healthz, tcp, or accept";

/// `Health` with every field in doubt.
#[derive(Default)]
#[expect(clippy::option_option, reason = "faulty, off and on are three")]
pub(super) struct Draft {
    pub(super) check: Option<Option<HealthCheck>>,
    interval: Option<Duration>,
    timeout: Option<Duration>,
    failures: Option<NonZeroU32>,
}

impl Draft {
    pub(super) fn read(raw: &Raw, reader: &mut Reader) -> Self {
        let mut time = |name, given: &Option<String>| {
            reader.get(name, given.as_ref(), parse::positive_duration)
        };
        Self {
            interval: time("RPM_HEALTH_INTERVAL", &raw.health_interval),
            timeout: time("RPM_HEALTH_TIMEOUT", &raw.health_timeout),
            check: reader.get("RPM_HEALTH", raw.health.as_ref(), check),
            failures: reader.get(
                "RPM_HEALTH_FAILURES",
                raw.health_failures.as_ref(),
                |text| {
                    let count = parse::number(text, 1, 1_000_000)?;
                    NonZeroU32::new(count).ok_or_else(|| Wrong::new("is zero", "1 or more"))
                },
            ),
        }
    }

    pub(super) fn finish(self) -> Option<Health> {
        Some(Health {
            check: self.check?,
            interval: self.interval?,
            timeout: self.timeout?,
            failures: self.failures?,
        })
    }
}

fn check(text: &str) -> Result<Option<HealthCheck>, Wrong> {
    let known = [
        ("off", None),
        ("tcp", Some(&HealthCheck::Tcp)),
        ("accept", Some(&HealthCheck::Accept)),
    ];
    match http(text, CHECKS) {
        Some(path) => path.map(|path| Some(HealthCheck::Http(path))),
        None => parse::keyword(text, &known, &[])
            .map(Option::<&HealthCheck>::cloned)
            .map_err(|wrong| Wrong::new(wrong.what, CHECKS)),
    }
}

/// The path of `http:PATH`; `None` if it is no such thing.
pub(super) fn http(text: &str, accepted: &str) -> Option<Result<String, Wrong>> {
    let text = text.trim();
    let path = if text.eq_ignore_ascii_case("http") {
        ""
    } else {
        let (word, path) = text.split_once(':')?;
        if !word.trim_end().eq_ignore_ascii_case("http") {
            return None;
        }
        path.trim_start()
    };
    let complaint = if path.is_empty() {
        Some("names no path behind http:".to_owned())
    } else {
        path_complaint(path)
    };
    Some(match complaint {
        Some(what) => Err(Wrong::new(what, accepted)),
        None => Ok(path.to_owned()),
    })
}

/// Why workers cannot be asked for that path; `None` if they can.
pub(super) fn path_complaint(path: &str) -> Option<String> {
    let odd = path.chars().find(|c| !c.is_ascii_graphic());
    if path.starts_with("//") {
        Some("names a host; it is the worker that is asked, for a path".to_owned())
    } else if !path.starts_with('/') {
        Some(format!("the path {} does not begin with /", quote(path)))
    } else if path.len() > PATH_BYTES {
        let bytes = path.len();
        Some(format!(
            "the path is {bytes} bytes long, more than {PATH_BYTES}"
        ))
    } else {
        let c = quote(odd?.to_string());
        Some(format!(
            "the path holds {c}, which must be percent-encoded, as %20 is for a blank"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks() {
        assert_eq!(check(" OFF "), Ok(None));
        assert_eq!(check("tcp"), Ok(Some(HealthCheck::Tcp)));
        assert_eq!(check("Accept"), Ok(Some(HealthCheck::Accept)));
        let path = format!("/{}", "x".repeat(1023));
        for path in ["/", "/healthz?full=1&x=%20", "/a:b//c", &path] {
            let parsed = check(&format!(" http:{path} "));
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
            assert_eq!(check(&text).unwrap_err().what, complaint, "{text:?}");
        }
    }
}
