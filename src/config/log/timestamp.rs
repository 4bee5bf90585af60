//! RPM_LOG_TIMESTAMP: the format of a line's timestamp.

use std::fmt::Write as _;

use chrono::DateTime;
use chrono::format::{Item, StrftimeItems};

use crate::config::faults::Wrong;
use crate::config::grammar::breaks_lines;
pub use crate::model::Timestamp;

/// Longest pattern, bytes.
const LONGEST: usize = 100;

/// A time to try a pattern with: seconds since 1970 and nanoseconds.
const SAMPLE: (i64, u32) = (1_795_322_412, 345_678_901);

const ACCEPTED: &str = "none, rfc3339, or a pattern of strftime such as %Y-%m-%d %H:%M:%S, in UTC";

const DAYJS_WORDS: &str = "is a pattern of dayjs, as pm2's log_date_format, and not of strftime";

/// Parts of dayjs patterns and the same for strftime. Longer parts come before their own beginnings.
const DAYJS: [(&str, &str); 24] = [
    ("YYYY", "%Y"),
    ("YY", "%y"),
    ("MMMM", "%B"),
    ("MMM", "%b"),
    ("MM", "%m"),
    ("M", "%-m"),
    ("DD", "%d"),
    ("D", "%-d"),
    ("dddd", "%A"),
    ("ddd", "%a"),
    ("HH", "%H"),
    ("H", "%-H"),
    ("hh", "%I"),
    ("h", "%-I"),
    ("mm", "%M"),
    ("m", "%-M"),
    ("SSS", "%3f"),
    ("ss", "%S"),
    ("s", "%-S"),
    ("ZZ", "%z"),
    ("Z", "%:z"),
    ("A", "%p"),
    ("a", "%P"),
    ("X", "%s"),
];

/// RPM_LOG_TIMESTAMP.
pub(super) fn timestamp(text: &str) -> Result<Timestamp, Wrong> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("none") {
        return Ok(Timestamp::None);
    }
    if text.eq_ignore_ascii_case("rfc3339") {
        return Ok(Timestamp::Rfc3339);
    }
    if let Some(pattern) = from_dayjs(text) {
        return Err(Wrong::new(
            DAYJS_WORDS,
            format!("none, rfc3339, or a pattern of strftime: {pattern} is the same"),
        ));
    }
    match check(text) {
        Ok(()) => Ok(Timestamp::Pattern(text.to_owned())),
        Err(what) => Err(Wrong::new(what, ACCEPTED)),
    }
}

fn check(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("is {} bytes long, more than {LONGEST}", text.len()));
    }
    if text.chars().any(breaks_lines) {
        return Err("holds a control character or a line break".to_owned());
    }
    if !text.contains('%') {
        return Err("is neither a known word nor a pattern, which has parts such as %H".to_owned());
    }
    let items: Vec<Item<'_>> = StrftimeItems::new(text).collect();
    if items.contains(&Item::Error) {
        return Err("holds a % that strftime does not know".to_owned());
    }
    let shows_time = |item: &Item<'_>| matches!(item, Item::Numeric(..) | Item::Fixed(_));
    if !items.iter().any(shows_time) {
        return Err("shows no part of the time".to_owned());
    }
    let (seconds, nanoseconds) = SAMPLE;
    let sample = DateTime::from_timestamp(seconds, nanoseconds).unwrap_or_default();
    let mut shown = String::new();
    if write!(shown, "{}", sample.format_with_items(items.iter())).is_err() {
        return Err("holds a part that is for reading times only".to_owned());
    }
    if shown.chars().any(breaks_lines) {
        return Err("makes a line break or a tab".to_owned());
    }
    Ok(())
}

/// A pattern of dayjs (pm2's `log_date_format`) as a pattern of strftime that RPM_LOG_TIMESTAMP takes; `None` if it is no
/// such pattern.
pub fn from_dayjs(text: &str) -> Option<String> {
    if text.contains('%') || text.len() > LONGEST {
        return None;
    }
    let mut pattern = String::new();
    let mut parts = 0;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((literal, behind)) =
            rest.strip_prefix('[').and_then(|open| open.split_once(']'))
        {
            pattern.push_str(literal);
            rest = behind;
        } else if let Some((word, same)) = DAYJS.iter().find(|(word, _)| rest.starts_with(word)) {
            // Only parts such as `HH` count: a single letter may belong to an ordinary word.
            parts += usize::from(word.len() > 1);
            pattern.push_str(same);
            rest = rest.strip_prefix(word)?;
        } else if first.is_alphabetic() && first != 'T' {
            return None;
        } else {
            pattern.push(first);
            rest = rest.strip_prefix(first)?;
        }
    }
    (parts > 0 && check(&pattern).is_ok()).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_patterns() {
        assert_eq!(timestamp(" NONE "), Ok(Timestamp::None));
        assert_eq!(timestamp("Rfc3339"), Ok(Timestamp::Rfc3339));
        for text in ["%Y-%m-%d %H:%M:%S", "%s", "%FT%T%.3fZ", "at %c 100%%", "%+"] {
            let pattern = timestamp(text).unwrap();
            assert_eq!(pattern, Timestamp::Pattern(text.to_owned()));
            assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_pattern() {
        let long = "%H".repeat(51);
        let table = [
            (
                "iso",
                "is neither a known word nor a pattern, which has parts such as %H",
            ),
            (
                "",
                "is neither a known word nor a pattern, which has parts such as %H",
            ),
            (long.as_str(), "is 102 bytes long, more than 100"),
            ("%H\u{1b}[0m", "holds a control character or a line break"),
            ("%H%n", "makes a line break or a tab"),
            ("%H%t", "makes a line break or a tab"),
            ("%H %", "holds a % that strftime does not know"),
            ("%Q", "holds a % that strftime does not know"),
            ("100%%", "shows no part of the time"),
            ("%#z", "holds a part that is for reading times only"),
        ];
        for (text, complaint) in table {
            assert_eq!(timestamp(text).unwrap_err().what, complaint, "{text:?}");
        }
    }

    #[test]
    fn a_pattern_of_dayjs_is_told_in_strftime() {
        let table = [
            ("YYYY-MM-DD HH:mm:ss", "%Y-%m-%d %H:%M:%S"),
            ("YYYY-MM-DDTHH:mm:ss.SSSZ", "%Y-%m-%dT%H:%M:%S.%3f%:z"),
            ("DD/MM/YY h:mm a", "%d/%m/%y %-I:%M %P"),
            ("[at] HH:mm Z", "at %H:%M %:z"),
            ("dddd, MMMM D", "%A, %B %-d"),
        ];
        for (text, same) in table {
            let wrong = timestamp(text).unwrap_err();
            assert_eq!(wrong.what, DAYJS_WORDS);
            assert!(
                wrong.accepted.contains(&format!(": {same} is")),
                "{}",
                wrong.accepted
            );
        }
        for text in ["true", "local", "iso8601", "M", "Zeit", "[HH]"] {
            let what = timestamp(text).unwrap_err().what;
            assert!(what.starts_with("is neither"), "{text}: {what}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_passes_never_fails(
            text in "\\PC{0,20}|[%A-Za-z0-9:.#_ -]{0,20}",
            seconds in 0_i64..253_402_300_800,
            nanoseconds in 0_u32..1_000_000_000,
        ) {
            if let Ok(Timestamp::Pattern(pattern)) = timestamp(&text) {
                let time = DateTime::from_timestamp(seconds, nanoseconds).unwrap();
                let mut shown = String::new();
                let written = write!(shown, "{}", time.format(&pattern));
                proptest::prop_assert!(written.is_ok());
                proptest::prop_assert!(!shown.chars().any(breaks_lines));
            }
        }
    }
}
