//! The grammar of values: text in, a typed value or what is wrong with it out. Blanks around a value are ignored,
//! fixed words may be in any case.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use super::faults::{Wrong, quote};
use super::health::http;
use super::types::Ready;
use crate::model::{Sig, Word};
use crate::policy::{Instances, MAX_INSTANCES};

/// What is said of a value that DESIGN has and this version has not.
pub(super) const NOT_YET: &str = "is not supported by this version";

/// The longest duration: a longer one is a slip of the unit, and deadlines far away need no other checks.
const LONGEST: Duration = Duration::from_hours(24);

const DURATIONS: &str = "a whole number with a unit, such as 500ms, 30s, 2m or 1h, at most 24h";
const POSITIVE: &str = "a whole number with a unit, such as 500ms, 30s, 2m or 1h, from 1ms to 24h";
const SIGNALS: &str = "a signal by name or number, such as TERM, SIGUSR2 or 15";
const VARIABLES: &str = "a name of letters, digits and _ that does not begin with a digit or RPM_";

/// Most characters of RPM_APP_NAME, in bytes: it stands in every prefixed line.
pub(super) const NAME_BYTES: usize = 64;

/// Variables that the runtime sets for workers by itself.
const TAKEN: [&str; 9] = [
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NODE_CHANNEL_FD",
    "NOTIFY_SOCKET",
    "PROMETHEUS_MULTIPROC_DIR",
    "WEB_CONCURRENCY",
    "name",
    "pm_id",
];

/// `500ms`, `30s`, `2m`, `1h`; `0` needs no unit.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
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

/// A whole number between two bounds, both included.
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

/// One of some fixed words; `later` are words that another version knows.
pub(super) fn keyword<T: Copy>(
    text: &str,
    known: &[(&str, T)],
    later: &[&str],
) -> Result<T, Wrong> {
    let text = text.trim();
    if let Some((_, value)) = known
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(text))
    {
        return Ok(*value);
    }
    let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
    let what = if later.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        NOT_YET
    } else {
        "is not one of the known words"
    };
    Err(Wrong::new(what, words.join(", ")))
}

/// The words of a type, separated by commas.
pub(super) fn words<T: Word>() -> String {
    let words: Vec<&str> = T::ALL.iter().map(|value| value.word()).collect();
    words.join(", ")
}

/// `true` or `false`.
pub(super) fn boolean(text: &str) -> Result<bool, Wrong> {
    let known = [("true", true), ("false", false), ("1", true), ("0", false)];
    keyword(text, &known, &[])
}

/// RPM_MAX_RESTARTS; 0 is no limit.
pub(super) fn max_restarts(text: &str) -> Result<u32, Wrong> {
    number(text, 0, 1_000_000)
        .map_err(|wrong| Wrong::new(wrong.what, format!("{}; 0 never gives up", wrong.accepted)))
}

/// The parts of a comma list, trimmed, empty ones left out.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// Exit codes, sorted, each once.
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

/// A signal that can be sent to a worker.
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

/// RPM_STOP_SIGNAL: one that can end a process.
pub(super) fn stop_signal(text: &str) -> Result<Sig, Wrong> {
    let sig = signal(text)?;
    if [Sig::STOP, Sig::CONT, Sig::CHLD].contains(&sig) {
        return Err(Wrong::new(format!("{sig} does not end a process"), SIGNALS));
    }
    Ok(sig)
}

/// RPM_PDEATHSIG: a signal, or `off`.
pub(super) fn optional_signal(text: &str) -> Result<Option<Sig>, Wrong> {
    if text.trim().eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    signal(text)
        .map(Some)
        .map_err(|wrong| Wrong::new(wrong.what, format!("{SIGNALS}, or off")))
}

/// RPM_INSTANCES.
pub(super) fn instances(text: &str) -> Result<Instances, Wrong> {
    let accepted = format!(
        "a whole number from 1 to {MAX_INSTANCES}, max (one for each CPU that is granted), or max-K (K fewer)"
    );
    let wrong = |what: String| Wrong::new(what, accepted.clone());
    let text = text.trim();
    if text
        .get(..3)
        .is_some_and(|word| word.eq_ignore_ascii_case("max"))
    {
        let rest = text.get(3..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Instances::Max { less: 0 });
        }
        let less = rest
            .strip_prefix('-')
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u16>().ok())
            .filter(|less| *less < MAX_INSTANCES);
        return less.map_or_else(
            || {
                Err(wrong(format!(
                    "max is not followed by - and a number below {MAX_INSTANCES}"
                )))
            },
            |less| Ok(Instances::Max { less }),
        );
    }
    let count = number(text, 1, u32::from(MAX_INSTANCES)).map_err(|e| wrong(e.what))?;
    u16::try_from(count)
        .ok()
        .and_then(NonZeroU16::new)
        .map(Instances::Count)
        .ok_or_else(|| wrong("is not a whole number".to_owned()))
}

/// RPM_READY.
pub(super) fn ready(text: &str) -> Result<Ready, Wrong> {
    let accepted = "auto, listen, notify, http:PATH such as http:/healthz, tcp, or delay:DURATION such as delay:2s";
    let text = text.trim();
    if let Some(path) = http(text, accepted) {
        return path.map(Ready::Http);
    }
    if let Some((word, rest)) = text.split_once(':') {
        return match word.trim().to_ascii_lowercase().as_str() {
            "delay" => duration(rest).map(Ready::Delay).map_err(|wrong| {
                Wrong::new(
                    format!("{} {}", quote(rest.trim()), wrong.what),
                    wrong.accepted,
                )
            }),
            _ => Err(Wrong::new("is not one of the known words", accepted)),
        };
    }
    let known = [
        ("auto", &Ready::Auto),
        ("listen", &Ready::Listen),
        ("notify", &Ready::Notify),
        ("tcp", &Ready::Tcp),
    ];
    keyword(text, &known, &["message"])
        .cloned()
        .map_err(|wrong| Wrong::new(wrong.what, accepted))
}

/// RPM_ADMIN_ADDR: an address with a port, or `off`. Port 0 lets the kernel choose.
pub(super) fn admin_addr(text: &str) -> Result<Option<SocketAddr>, Wrong> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let what = if text.bytes().all(|byte| byte.is_ascii_digit()) {
            "is a port without an address"
        } else if text.starts_with(':') {
            "has no address before the port"
        } else if text.parse::<std::net::IpAddr>().is_ok() {
            "is an address without a port"
        } else {
            "is not an IP address with a port"
        };
        Wrong::new(
            what,
            "ADDRESS:PORT such as 0.0.0.0:9464, 127.0.0.1:9464 or [::]:9464, or off",
        )
    })
}

/// RPM_APP_NAME.
pub(super) fn app_name(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    let accepted = "1 to 64 bytes of text on one line, without control characters";
    if text.is_empty() {
        Err(Wrong::new("is blank", accepted))
    } else if text.len() > NAME_BYTES {
        Err(Wrong::new(
            format!("is {} bytes long", text.len()),
            accepted,
        ))
    } else if text.chars().any(breaks_lines) {
        Err(Wrong::new(
            "holds a control character or a line break",
            accepted,
        ))
    } else {
        Ok(text.to_owned())
    }
}

/// Control characters and Unicode's own line breaks.
pub(super) fn breaks_lines(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// RPM_INSTANCE_VAR, RPM_INCREMENT_VAR: a variable that workers get.
pub(super) fn variable(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    let named = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty();
    if !named {
        Err(Wrong::new("is not the name of a variable", VARIABLES))
    } else if text.starts_with("RPM_") {
        Err(Wrong::new(
            "begins with RPM_, which is the runtime's own",
            VARIABLES,
        ))
    } else if TAKEN.contains(&text) {
        Err(Wrong::new(
            "is a variable that the runtime sets by itself",
            VARIABLES,
        ))
    } else {
        Ok(text.to_owned())
    }
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

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
