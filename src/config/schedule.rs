//! Schedules of five fields as in crontab(5), for RPM_CRON_RELOAD and RPM_LOG_ROTATE_EVERY. In UTC, as containers are.

use std::fmt;
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::faults::{Wrong, quote};

const ACCEPTED: &str = "five fields, minute hour day month weekday, in UTC, such as 0 4 * * * or */15 8-18 * * MON-FRI, \
     or @hourly, @daily, @weekly, @monthly or @yearly";

/// The name of each field, and the values that it accepts.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day", "1-31 or L"),
    ("month", "1-12 or JAN-DEC"),
    ("weekday", "0-7 or SUN-SAT"),
];

/// Recurring points of wall time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    cron: Cron,
}

impl Schedule {
    /// Returns the first point after `after`, to the second; `None` if the calendar ends before.
    pub fn next(&self, after: SystemTime) -> Option<SystemTime> {
        let since = after.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let seconds = i64::try_from(since.as_secs()).ok()?;
        let after = DateTime::from_timestamp(seconds, 0)?.naive_utc();
        let next = self.cron.find_next_occurrence(&after, false).ok()?;
        let seconds = u64::try_from(next.and_utc().timestamp()).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Parses RPM_CRON_RELOAD, or RPM_LOG_ROTATE_EVERY if it is a schedule.
pub(super) fn schedule(text: &str) -> Result<Schedule, Wrong> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let text = fields.join(" ");
    let wrong = |what: String| Err(Wrong::new(what, ACCEPTED));
    let parsed = match fields.as_slice() {
        [] => return wrong("is blank".to_owned()),
        ["@reboot"] => return wrong("names a moment that no schedule has".to_owned()),
        [name] if name.starts_with('@') => parse(&text),
        [_, _, _, _, _] => parse(&text),
        more => {
            let plural = if more.len() == 1 { "" } else { "s" };
            return wrong(format!("has {} field{plural}, not five", more.len()));
        }
    };
    let Some(cron) = parsed else {
        return wrong(complaint(&fields));
    };
    let schedule = Schedule { text, cron };
    if schedule.next(SystemTime::UNIX_EPOCH).is_none() {
        return wrong("never comes, such as 30 February".to_owned());
    }
    Ok(schedule)
}

fn parse(text: &str) -> Option<Cron> {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    parser.parse(text).ok()
}

/// Names the wrong fields: each is tried with `*` in all others.
fn complaint(fields: &[&str]) -> String {
    let complaints = fields.iter().zip(FIELDS).enumerate();
    let complaints = complaints.filter_map(|(at, (field, (name, accepted)))| {
        let mut alone = ["*"; 5];
        *alone.get_mut(at)? = field;
        let bad = fields.len() == FIELDS.len() && parse(&alone.join(" ")).is_none();
        bad.then(|| format!("the {name} {} is not of {accepted}", quote(field)))
    });
    let complaints: Vec<String> = complaints.collect();
    if complaints.is_empty() {
        "is not a schedule".to_owned()
    } else {
        complaints.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        let time = DateTime::parse_from_rfc3339(text).unwrap();
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap())
    }

    #[test]
    fn the_next_time_is_later_than_the_given_one() {
        let table = [
            ("0 4 * * *", "2026-03-01T03:59:59Z", "2026-03-01T04:00:00Z"),
            ("0 4 * * *", "2026-03-01T04:00:00Z", "2026-03-02T04:00:00Z"),
            (
                "*/15 8-18 * * MON-FRI",
                "2026-03-06T18:45:00Z",
                "2026-03-09T08:00:00Z",
            ),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            // crontab(5): if day and weekday are both restricted, either may match.
            ("0 0 13 * 5", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00Z"),
            ("0 0 * * 7", "2026-03-02T00:00:00Z", "2026-03-08T00:00:00Z"),
            ("0 0 L * *", "2026-02-01T00:00:00Z", "2026-02-28T00:00:00Z"),
            ("@daily", "2026-12-31T10:00:00Z", "2027-01-01T00:00:00Z"),
            (
                "59 23 31 12 *",
                "2026-12-31T23:59:00Z",
                "2027-12-31T23:59:00Z",
            ),
        ];
        for (text, after, next) in table {
            let schedule = schedule(text).unwrap();
            assert_eq!(schedule.next(at(after)), Some(at(next)), "{text} {after}");
            let later = at(after) + Duration::from_millis(999);
            assert_eq!(schedule.next(later), Some(at(next)), "{text} {after}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_field() {
        let table = [
            (" ", "is blank"),
            ("0 4 * *", "has 4 fields, not five"),
            ("0 0 4 * * *", "has 6 fields, not five"),
            ("hourly", "has 1 field, not five"),
            ("@sometimes", "is not a schedule"),
            ("@reboot", "names a moment that no schedule has"),
            ("60 4 * * *", "the minute \"60\" is not of 0-59"),
            (
                "x 24 0 13 8",
                "the minute \"x\" is not of 0-59, the hour \"24\" is not of 0-23, the day \"0\" is not of 1-31 or L, \
                 the month \"13\" is not of 1-12 or JAN-DEC, the weekday \"8\" is not of 0-7 or SUN-SAT",
            ),
            ("*/0 * * * *", "the minute \"*/0\" is not of 0-59"),
            ("0 0 30 2 *", "never comes, such as 30 February"),
        ];
        for (text, complaint) in table {
            assert_eq!(schedule(text).unwrap_err().what, complaint, "{text}");
        }
    }

    #[test]
    fn before_1970_and_after_the_calendar_there_is_none() {
        let daily = schedule("@daily").unwrap();
        assert_eq!(
            daily.next(SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
            None
        );
        assert_eq!(
            daily.next(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)),
            None
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_upsets_the_grammar(text in "\\PC{0,20}|[0-9*/,@#LW?A-Z -]{0,20}", seconds in 0_u64..1 << 40) {
            if let Ok(schedule) = schedule(&text) {
                let after = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
                proptest::prop_assert!(schedule.next(after).is_none_or(|next| next > after));
            }
        }
    }
}
