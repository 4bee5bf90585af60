//! Formats the time of a line, in UTC.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, SecondsFormat, Utc};

use crate::model::Timestamp;
use crate::sys::local_time;

/// Formats times and caches the last one: many lines come in one read, and many reads in one second.
#[derive(Clone, Debug)]
pub struct Stamper {
    form: Form,
    /// Second and millisecond of the cached text.
    last: Option<(i64, u32)>,
    text: String,
}

#[derive(Clone, Debug)]
enum Form {
    None,
    Rfc3339,
    Pattern(Vec<Item<'static>>),
}

impl Stamper {
    /// Creates a stamper without a cached time.
    pub fn new(timestamp: &Timestamp) -> Self {
        let form = match timestamp {
            Timestamp::None => Form::None,
            Timestamp::Rfc3339 => Form::Rfc3339,
            Timestamp::Pattern(pattern) => StrftimeItems::new(pattern)
                .parse_to_owned()
                .map_or(Form::Rfc3339, Form::Pattern),
        };
        Self {
            form,
            last: None,
            text: String::new(),
        }
    }

    /// `now` as text on one line; empty for [`Timestamp::None`]. If a pattern shows parts of a millisecond, they may
    /// come from an earlier call in the same millisecond.
    pub fn stamp(&mut self, now: SystemTime) -> &[u8] {
        if matches!(self.form, Form::None) {
            return b"";
        }
        let (second, nanos) = since_epoch(now);
        let this = (second, nanos / 1_000_000);
        let last = self.last.replace(this);
        if last != Some(this) {
            match &self.form {
                Form::Rfc3339 if last.is_some_and(|(last, _)| last == second) => {
                    self.text.truncate(self.text.len().saturating_sub(4));
                    // Writing to a String does not fail.
                    let _ = write!(self.text, "{:03}Z", this.1);
                }
                Form::Pattern(items) => {
                    self.text.clear();
                    let time = calendar(second, nanos).format_with_items(items.iter());
                    if write!(self.text, "{time}").is_ok() {
                        one_line(&mut self.text);
                    } else {
                        // The pattern would fail again, so stop using it.
                        self.form = Form::Rfc3339;
                        self.text = rfc3339(second, nanos);
                    }
                }
                Form::None | Form::Rfc3339 => self.text = rfc3339(second, nanos),
            }
        }
        self.text.as_bytes()
    }
}

/// `now` in local time, without its zone: `2026-11-30T08:00:00.123`. In UTC if the zone is not known.
pub fn local(now: SystemTime) -> String {
    let (second, nanos) = since_epoch(now);
    let ahead = local_time::ahead_of_utc(second).unwrap_or(0);
    let time = calendar(second.saturating_add(ahead), nanos);
    time.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
}

fn rfc3339(second: i64, nanos: u32) -> String {
    calendar(second, nanos).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Whole seconds since 1970 and the nanoseconds after them; also correct before 1970.
fn since_epoch(now: SystemTime) -> (i64, u32) {
    match now.duration_since(UNIX_EPOCH) {
        Ok(after) => (
            i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            after.subsec_nanos(),
        ),
        Err(error) => {
            let before = error.duration();
            let second = i64::try_from(before.as_secs()).map_or(i64::MIN, |second| -second);
            match before.subsec_nanos() {
                0 => (second, 0),
                nanos => (second.saturating_sub(1), 1_000_000_000 - nanos),
            }
        }
    }
}

/// The nearest time in the range of the calendar, which ends in some hundred thousand years.
fn calendar(second: i64, nanos: u32) -> DateTime<Utc> {
    let edge = if second < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    };
    DateTime::from_timestamp(second, nanos).unwrap_or(edge)
}

/// Replaces control characters: `%n` in a pattern is a newline, which would end the log line.
fn one_line(text: &mut String) {
    let ends = |letter: char| letter.is_control() && letter != '\t';
    if text.contains(ends) {
        *text = text.replace(ends, " ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    /// 2026-11-22T04:40:12.345Z.
    const THEN: Duration = Duration::from_millis(1_795_322_412_345);

    fn text(stamper: &mut Stamper, since: Duration) -> String {
        String::from_utf8(stamper.stamp(UNIX_EPOCH + since).to_vec()).unwrap()
    }

    fn pattern(text: &str) -> Stamper {
        Stamper::new(&Timestamp::Pattern(text.to_owned()))
    }

    #[test]
    fn rfc3339_has_milliseconds() {
        let mut stamper = Stamper::new(&Timestamp::Rfc3339);
        let mut at = |millis| text(&mut stamper, THEN + Duration::from_millis(millis));
        assert_eq!(at(0), "2026-11-22T04:40:12.345Z");
        assert_eq!(at(0), "2026-11-22T04:40:12.345Z");
        assert_eq!(at(1), "2026-11-22T04:40:12.346Z");
        assert_eq!(at(654), "2026-11-22T04:40:12.999Z");
        assert_eq!(at(655), "2026-11-22T04:40:13.000Z");
        assert_eq!(at(664), "2026-11-22T04:40:13.009Z");
        // The clock is set back.
        assert_eq!(at(0), "2026-11-22T04:40:12.345Z");
    }

    #[test]
    fn local_time_has_no_zone() {
        let ahead = local_time::ahead_of_utc(1_795_322_412).unwrap();
        let there =
            UNIX_EPOCH + THEN + Duration::from_secs(ahead.rem_euclid(86_400).unsigned_abs());
        let utc = pattern("T%H:%M:%S%.3f").stamp(there).to_vec();
        let got = local(UNIX_EPOCH + THEN);
        assert_eq!(got.len(), "2026-11-22T04:40:12.345".len());
        assert!(got.ends_with(str::from_utf8(&utc).unwrap()), "{got}");
    }

    #[test]
    fn none_is_empty() {
        let mut stamper = Stamper::new(&Timestamp::None);
        assert_eq!(text(&mut stamper, THEN), "");
    }

    #[test]
    fn patterns_are_written_in_utc_and_on_one_line() {
        let table = [
            ("%Y-%m-%d %H:%M:%S%.3f", "2026-11-22 04:40:12.345"),
            ("%s", "1795322412"),
            ("[%b %e %T] %Z", "[Nov 22 04:40:12] UTC"),
            ("%H%n%M%t%S", "04 40\t12"),
            ("%H \u{1b}é", "04  é"),
            ("%d%", "2026-11-22T04:40:12.345Z"),
            ("%Q", "2026-11-22T04:40:12.345Z"),
        ];
        for (given, want) in table {
            let mut stamper = pattern(given);
            assert_eq!(text(&mut stamper, THEN), want, "{given}");
            let _ = text(&mut stamper, THEN + Duration::from_secs(1));
            assert_eq!(text(&mut stamper, THEN), want, "{given}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_formatted_is_not_tried_again() {
        let mut stamper = Stamper {
            form: Form::Pattern(vec![Item::Literal("x"), Item::Error]),
            ..pattern("%H")
        };
        assert_eq!(text(&mut stamper, THEN), "2026-11-22T04:40:12.345Z");
        let next = THEN + Duration::from_millis(5);
        assert_eq!(text(&mut stamper, next), "2026-11-22T04:40:12.350Z");
        assert!(matches!(stamper.form, Form::Rfc3339));
    }

    #[test]
    fn a_pattern_is_written_again_with_each_millisecond() {
        let mut stamper = pattern("%S %f");
        let after = |nanos| THEN + Duration::from_nanos(nanos);
        assert_eq!(text(&mut stamper, after(1)), "12 345000001");
        assert_eq!(text(&mut stamper, after(999_999)), "12 345000001");
        assert_eq!(text(&mut stamper, after(1_000_000)), "12 346000000");
    }

    #[test]
    fn clocks_that_are_far_off_are_no_trouble() {
        let mut stamper = Stamper::new(&Timestamp::Rfc3339);
        let table = [
            (UNIX_EPOCH, "1970-01-01T00:00:00.000Z"),
            (
                UNIX_EPOCH - Duration::from_millis(1),
                "1969-12-31T23:59:59.999Z",
            ),
            (
                UNIX_EPOCH - Duration::from_secs(1),
                "1969-12-31T23:59:59.000Z",
            ),
            (
                UNIX_EPOCH + Duration::from_secs(i64::MAX as u64),
                "+262142-12-31T23:59:59.999Z",
            ),
        ];
        for (now, want) in table {
            assert_eq!(str::from_utf8(stamper.stamp(now)).unwrap(), want);
        }
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_would_be_written_anew(steps in proptest::collection::vec(0..2_000_000_u64, 1..40)) {
            let mut kept = Stamper::new(&Timestamp::Rfc3339);
            let mut now = THEN;
            for step in steps {
                now += Duration::from_micros(step);
                let mut fresh = Stamper::new(&Timestamp::Rfc3339);
                prop_assert_eq!(text(&mut kept, now), text(&mut fresh, now));
            }
        }
    }
}
