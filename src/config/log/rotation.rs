//! Rotation of log files.

use std::fmt;
use std::time::Duration;

use crate::config::faults::Wrong;
use crate::config::grammar::{UNKNOWN_WORD, boolean, duration, is, number, or_off};
use crate::config::reader::{Reader, Value};
use crate::config::schedule::{Schedule, schedule};
use crate::config::setting::{Preset, Setting};
use crate::config::{show, sizes};
use crate::policy::Bytes;

pub(super) const LOG_ROTATE_SIZE: Setting<Option<Bytes>> = Setting {
    name: "RPM_LOG_ROTATE_SIZE",
    default: Preset::Text("10Mi"),
    help: "a file of that size is rotated; off",
    doc: "A file that has grown to this size is rotated.",
    parse: |text| or_off(text, |text| sizes::between(text, SMALLEST_FILE, None)),
    show: show::or_off,
};

pub(super) const LOG_ROTATE_EVERY: Setting<Option<Every>> = Setting {
    name: "RPM_LOG_ROTATE_EVERY",
    default: Preset::Text("daily"),
    help: "hourly, daily, weekly, monthly, 12h, or as in RPM_CRON_RELOAD; off",
    doc: "Files are also rotated at these times, in UTC: `hourly`, `daily`, `weekly` (Sunday at midnight), `monthly`, every \
          so often (`12h`), or at the times of five fields as in `RPM_CRON_RELOAD`.",
    parse: every,
    show: show::or_off,
};

pub(super) const LOG_RETAIN: Setting<Option<usize>> = Setting {
    name: "RPM_LOG_RETAIN",
    default: Preset::Text("14"),
    help: "rotated files that are kept; all",
    doc: "How many rotated files are kept; older ones are removed. `all` removes none.",
    parse: retain,
    show: |retain| show::or(retain.as_ref(), "all"),
};

pub(super) const LOG_COMPRESS: Setting<bool> = Setting {
    name: "RPM_LOG_COMPRESS",
    default: Preset::Text("false"),
    help: "gzip for rotated files: true, false",
    doc: "Whether rotated files are compressed (gzip).",
    parse: boolean,
    show: ToString::to_string,
};

const SMALLEST_FILE: Bytes = Bytes(1 << 10);

/// RPM_LOG_ROTATE_SIZE, RPM_LOG_ROTATE_EVERY, RPM_LOG_RETAIN and RPM_LOG_COMPRESS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file of this size is rotated; `None` is `off`.
    pub size: Option<Bytes>,
    /// `None` is `off`.
    pub every: Option<Every>,
    /// Number of rotated files to keep; `None` is `all`.
    pub retain: Option<usize>,
    /// Whether rotated files are compressed with gzip.
    pub compress: bool,
}

impl Rotation {
    pub(super) fn read(reader: &Reader<'_>) -> Value<Self> {
        Ok(Self {
            size: reader.get(&LOG_ROTATE_SIZE)?,
            every: reader.get(&LOG_ROTATE_EVERY)?,
            retain: reader.get(&LOG_RETAIN)?,
            compress: reader.get(&LOG_COMPRESS)?,
        })
    }
}

/// RPM_LOG_ROTATE_EVERY, unless it is `off`; in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Every {
    /// At each full hour.
    Hourly,
    /// At midnight.
    Daily,
    /// At midnight at the start of Sunday, as `@weekly` of cron.
    Weekly,
    /// At midnight at the start of the first day of a month.
    Monthly,
    /// After this time; at least a second.
    Period(Duration),
    /// At these times.
    Cron(Box<Schedule>),
}

impl Every {
    /// The calendar of this value; a period has none.
    pub fn schedule(&self) -> Option<Schedule> {
        let name = match self {
            Self::Hourly => "@hourly",
            Self::Daily => "@daily",
            Self::Weekly => "@weekly",
            Self::Monthly => "@monthly",
            Self::Cron(schedule) => return Some(schedule.as_ref().clone()),
            Self::Period(_) => return None,
        };
        schedule(name).ok()
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hourly => f.write_str("hourly"),
            Self::Daily => f.write_str("daily"),
            Self::Weekly => f.write_str("weekly"),
            Self::Monthly => f.write_str("monthly"),
            Self::Period(period) => f.write_str(&show::duration(period)),
            Self::Cron(schedule) => schedule.fmt(f),
        }
    }
}

const EVERY: &str = "off, hourly, daily, weekly, monthly, a duration such as 12h, from 1s to 24h, or five fields as in \
     RPM_CRON_RELOAD, such as 0 4 * * *; in UTC";

fn every(text: &str) -> Result<Option<Every>, Wrong> {
    let text = text.trim();
    let wrong = |what: &str| Err(Wrong::new(what, EVERY));
    match text.to_ascii_lowercase().as_str() {
        "off" => return Ok(None),
        "hourly" => return Ok(Some(Every::Hourly)),
        "daily" => return Ok(Some(Every::Daily)),
        "weekly" => return Ok(Some(Every::Weekly)),
        "monthly" => return Ok(Some(Every::Monthly)),
        _ => {}
    }
    if text.starts_with('@') || text.split_whitespace().nth(1).is_some() {
        return match schedule(text) {
            Ok(schedule) => Ok(Some(Every::Cron(Box::new(schedule)))),
            Err(other) => wrong(&other.what),
        };
    }
    if text.starts_with(|c: char| c.is_alphabetic()) {
        return wrong(UNKNOWN_WORD);
    }
    match duration(text) {
        Ok(period) if period < Duration::from_secs(1) => wrong("is below 1s"),
        Ok(period) => Ok(Some(Every::Period(period))),
        Err(other) => wrong(&other.what),
    }
}

/// Maximum of RPM_LOG_RETAIN.
const MOST_FILES: u32 = 1_000_000;

fn retain(text: &str) -> Result<Option<usize>, Wrong> {
    if is(text, "all") {
        return Ok(None);
    }
    let count = number(text, 0, MOST_FILES)
        .map_err(|wrong| Wrong::new(wrong.what, format!("{}, or all", wrong.accepted)))?;
    Ok(usize::try_from(count).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_rotated_by_the_calendar_by_a_period_or_by_a_schedule() {
        let good = [
            ("Off", "off"),
            ("HOURLY", "hourly"),
            ("daily", "daily"),
            ("weekly", "weekly"),
            ("monthly", "monthly"),
            (" 12h ", "12h"),
            ("1000ms", "1s"),
            ("0  4 * * MON", "0 4 * * MON"),
            ("@Hourly", "@Hourly"),
        ];
        for (text, shown) in good {
            let parsed = every(text).unwrap();
            let got = parsed.as_ref().map_or("off".to_owned(), Every::to_string);
            assert_eq!(got, shown);
            assert_eq!(every(shown), Ok(parsed), "{shown}");
        }
        let bad = [
            ("yearly", "is not one of the known words"),
            ("999ms", "is below 1s"),
            ("0", "is below 1s"),
            ("12", "needs a unit"),
            ("25h", "is above the limit of 24h"),
            ("0 0 4 * * *", "has 6 fields, not five"),
            ("60 4 * * *", "the minute \"60\" is not of 0-59"),
            ("@reboot", "names a moment that no schedule has"),
            ("", "is blank"),
        ];
        for (text, complaint) in bad {
            let wrong = every(text).unwrap_err();
            assert_eq!(wrong.what, complaint, "{text}");
            assert_eq!(wrong.accepted, EVERY);
        }
    }

    #[test]
    fn sizes_and_numbers_of_files() {
        assert_eq!((LOG_ROTATE_SIZE.parse)("1Ki"), Ok(Some(Bytes(1 << 10))));
        assert_eq!((LOG_ROTATE_SIZE.parse)("off"), Ok(None));
        assert_eq!(
            (LOG_ROTATE_SIZE.parse)("10").unwrap_err().what,
            "is below 1Ki; the unit is missing"
        );
        assert_eq!(retain("0"), Ok(Some(0)));
        assert_eq!(retain(" All "), Ok(None));
        assert_eq!(retain("-1").unwrap_err().what, "is negative");
        for (text, expected) in [("TRUE", true), ("1", true), ("false", false), ("0", false)] {
            assert_eq!(boolean(text), Ok(expected), "{text}");
        }
    }
}
