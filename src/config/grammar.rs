//! Parsers of values that several settings use: they return a value or an error. Blanks around a value are ignored, and
//! fixed words are case-insensitive.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use super::faults::{Wrong, quote};
use crate::model::{Page, Scheme, Sig, Word};

/// Error text for an unknown word.
pub(super) const UNKNOWN_WORD: &str = "is not one of the known words";

/// The longest duration. A longer one is a wrong unit, and later calculations with deadlines need no overflow checks.
const LONGEST: Duration = Duration::from_hours(24);

const DURATIONS: &str = "a whole number with a unit, such as 500ms, 30s, 2m or 1h, at most 24h";
const POSITIVE: &str = "a whole number with a unit, such as 500ms, 30s, 2m or 1h, from 1ms to 24h";
pub(super) const SIGNALS: &str = "a signal by name or number, such as TERM, SIGUSR2 or 15";

/// Maximal length of a path in requests to workers, bytes.
const PATH_BYTES: usize = 1024;

/// `500ms`, `30s`, `2m`, `1h`; `0` needs no unit.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    let text = text.trim();
    let wrong = |what: &str| Err(Wrong::new(what, DURATIONS));
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() {
        return wrong(match unit.as_bytes().first() {
            None => "is blank",
            Some(b'-') => "is negative",
            Some(b'.') => "has a fraction",
            Some(_) => "does not begin with a number",
        });
    }
    if unit.starts_with(['.', ',']) {
        return wrong("has a fraction");
    }
    let milliseconds: u64 = match unit {
        "" if number.bytes().all(|digit| digit == b'0') => 0,
        "" => return wrong("needs a unit"),
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        other if other.contains(|c: char| c.is_ascii_digit()) => {
            return wrong("is more than one number with one unit");
        }
        other => return wrong(&format!("has the unknown unit {}", quote(other))),
    };
    let value = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(milliseconds))
        .map(Duration::from_millis)
        .filter(|value| *value <= LONGEST);
    value.map_or_else(|| wrong("is above the limit of 24h"), Ok)
}

/// A duration that is not 0.
pub(super) fn positive_duration(text: &str) -> Result<Duration, Wrong> {
    match duration(text) {
        Ok(Duration::ZERO) => Err(Wrong::new("is zero", POSITIVE)),
        other => other.map_err(|wrong| Wrong::new(wrong.what, POSITIVE)),
    }
}

/// Parses a whole number from `low` to `high`, both included.
pub(super) fn number(text: &str, low: u32, high: u32) -> Result<u32, Wrong> {
    let accepted = format!("a whole number from {low} to {high}");
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Wrong::new("is not a whole number", accepted));
    }
    match text.parse::<u32>() {
        Ok(value) if value < low => Err(Wrong::new(format!("is below {low}"), accepted)),
        Ok(value) if value <= high => Ok(value),
        _ if digits.len() < text.len() => Err(Wrong::new("is negative", accepted)),
        _ => Err(Wrong::new(format!("is above {high}"), accepted)),
    }
}

/// true, false, 1 or 0.
pub(super) fn boolean(text: &str) -> Result<bool, Wrong> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Wrong::new(UNKNOWN_WORD, "true, false, 1, 0")),
    }
}

/// Parses a value of a type that is written as fixed words.
pub(super) fn word<T: Word>(text: &str) -> Result<T, Wrong> {
    T::from_word(text.trim()).ok_or_else(|| Wrong::new(UNKNOWN_WORD, words::<T>()))
}

/// Formats such a value.
pub(super) fn show_word<T: Word>(value: &T) -> String {
    value.word().to_owned()
}

/// The words of a type, separated by commas.
pub(super) fn words<T: Word>() -> String {
    let words: Vec<&str> = T::ALL.iter().map(|value| value.word()).collect();
    words.join(", ")
}

/// Whether the text is this fixed word.
pub(super) fn is(text: &str, word: &str) -> bool {
    text.trim().eq_ignore_ascii_case(word)
}

/// Parses `off`, or calls `parse`. `off` is added to what `parse` accepts.
pub(super) fn or_off<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Result<Option<T>, Wrong> {
    if is(text, "off") {
        return Ok(None);
    }
    parse(text)
        .map(Some)
        .map_err(|wrong| Wrong::new(wrong.what, format!("{}, or off", wrong.accepted)))
}

/// The parts of a comma-separated list, trimmed, without empty ones.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// Parses exit codes; returns them sorted, each once.
pub(super) fn exit_codes(text: &str) -> Result<Vec<u8>, Wrong> {
    let mut codes = Vec::new();
    let mut complaints = Vec::new();
    for part in list(text) {
        match part.parse::<u8>() {
            Ok(code) => codes.push(code),
            Err(_) => complaints.push(format!("{} is not an exit code", quote(part))),
        }
    }
    if !complaints.is_empty() {
        let accepted = "whole numbers from 0 to 255, separated by commas";
        return Err(Wrong::new(complaints.join(", "), accepted));
    }
    codes.sort_unstable();
    codes.dedup();
    Ok(codes)
}

/// Parses a signal that can be sent to a worker.
pub(super) fn signal(text: &str) -> Result<Sig, Wrong> {
    match Sig::parse(text) {
        Some(sig) if matches!(sig.get(), 32 | 33) => Err(Wrong::new(
            "is a signal that the C library keeps for itself",
            SIGNALS,
        )),
        Some(sig) => Ok(sig),
        None => Err(Wrong::new("is not a signal", SIGNALS)),
    }
}

/// Whether `c` is a control character or a Unicode line break.
pub(super) fn breaks_lines(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// RPM_TERMINATION_LOG.
pub(super) fn absolute_path(text: &str) -> Result<PathBuf, Wrong> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Wrong::new(
            "is not an absolute path",
            "a path that begins with /",
        ))
    }
}

/// What is asked of a worker, and on which port; `None` is the first that it has bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AtPort<T> {
    pub(super) what: T,
    pub(super) port: Option<NonZeroU16>,
}

impl<T> AtPort<T> {
    /// On the first port.
    pub(super) fn first(what: T) -> Self {
        Self { what, port: None }
    }

    /// `https::8443/healthz`.
    pub(super) fn shown_page(&self, page: &Page) -> String {
        format!("{}:{}{}", page.scheme.word(), self.shown_port(), page.path)
    }

    /// `:8080` in `http::8080/healthz`, and in `tcp:8080`.
    pub(super) fn shown_port(&self) -> String {
        self.port
            .map_or_else(String::new, |port| format!(":{port}"))
    }
}

/// Returns the page and the port of `http:PATH` or `http::PORT/PATH`, or of the same with `https`; `None` if the text does
/// not have this form.
pub(super) fn http(text: &str, accepted: &str) -> Option<Result<AtPort<Page>, Wrong>> {
    let text = text.trim();
    let (word, rest) = text.split_once(':').unwrap_or((text, ""));
    let word = word.trim_end();
    let known = [Scheme::Http, Scheme::Https];
    let scheme = known
        .into_iter()
        .find(|scheme| word.eq_ignore_ascii_case(scheme.word()))?;
    Some(asked(scheme, rest.trim_start()).map_err(|what| Wrong::new(what, accepted)))
}

fn asked(scheme: Scheme, rest: &str) -> Result<AtPort<Page>, String> {
    let word = scheme.word();
    let (port, path) = match rest.strip_prefix(':') {
        Some(rest) => {
            let (port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(port_number(port)?), path)
        }
        None => (None, rest),
    };
    if path.is_empty() {
        return Err(match port {
            Some(port) => {
                format!("names port {port} without a path; with one it is {word}::{port}/healthz")
            }
            None => format!("names no path behind {word}:"),
        });
    }
    match path_complaint(path) {
        Some(what) => Err(what),
        None => Ok(AtPort {
            what: Page::new(scheme, path),
            port,
        }),
    }
}

/// Returns the port of `tcp` or `tcp:PORT`; `None` if the text does not have this form.
pub(super) fn tcp(text: &str, accepted: &str) -> Option<Result<Option<NonZeroU16>, Wrong>> {
    let (word, port) = match text.trim().split_once(':') {
        Some((word, port)) => (word.trim_end(), Some(port.trim_start())),
        None => (text.trim(), None),
    };
    if !word.eq_ignore_ascii_case("tcp") {
        return None;
    }
    let port = port.map(port_number).transpose();
    Some(port.map_err(|what| Wrong::new(what, accepted)))
}

/// A port as a number.
pub(super) fn port_number(text: &str) -> Result<NonZeroU16, String> {
    if text.is_empty() {
        return Err("has no port behind the colon".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{} is not a port", quote(text)));
    }
    let number = text
        .parse::<u16>()
        .map_err(|_| format!("the port {} is above 65535", quote(text)))?;
    NonZeroU16::new(number).ok_or_else(|| "names port 0, which is nobody's".to_owned())
}

/// The error for a path that cannot be used in requests to workers; `None` if it can.
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
mod tests;
