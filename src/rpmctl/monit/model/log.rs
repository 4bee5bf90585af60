//! The log of the selected worker.

use crate::plain::plain;

/// Lines that are kept.
pub const LINES: usize = 500;

/// Letters of a line that are kept.
pub const LONGEST: usize = 2000;

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// Seconds since 1970.
    pub time: f64,
    /// Of the runtime itself, or standard error.
    pub loud: bool,
    /// Made plain.
    pub text: String,
}

impl LogLine {
    /// Its text must not steer the terminal.
    pub fn new(time: f64, loud: bool, text: &str) -> Self {
        // A tab would be one letter.
        let text = text.replace('\t', "    ");
        let text: String = text.chars().take(LONGEST).collect();
        Self {
            time,
            loud,
            text: plain(&text),
        }
    }
}

/// The log of the selected worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Log {
    /// Nothing has come yet.
    Waits,
    /// There is none, and this is why.
    None(String),
    /// The last lines, and how many were lost.
    Lines { lines: Vec<LogLine>, lost: u64 },
}

impl Log {
    /// Adds lines, and how many were lost before them.
    pub fn add(&mut self, new: Vec<LogLine>, more_lost: u64) {
        if !matches!(self, Self::Lines { .. }) {
            *self = Self::Lines {
                lines: Vec::new(),
                lost: 0,
            };
        }
        if let Self::Lines { lines, lost } = self {
            *lost = lost.saturating_add(more_lost);
            lines.extend(new);
            lines.drain(..lines.len().saturating_sub(LINES));
        }
    }

    /// It has ended, and will be asked for again. What came of it stays.
    pub fn end(&mut self, why: &str) {
        if !matches!(self, Self::Lines { .. }) {
            *self = Self::None(plain(why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_the_lost_ones_counted() {
        let mut log = Log::Waits;
        let line = |number: usize| LogLine::new(0.0, false, &format!("{number}\t\x1b"));
        log.add((0..LINES).map(line).collect(), 2);
        log.add(vec![line(LINES)], 3);
        log.end("closed");
        let Log::Lines { lines, lost } = &log else {
            panic!("{log:?}");
        };
        assert_eq!((lines.len(), *lost), (LINES, 5));
        assert_eq!(lines[0].text, "1    ?");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let long = LogLine::new(0.0, true, &"x".repeat(1 << 20));
        assert_eq!(long.text.len(), LONGEST);
    }

    #[test]
    fn a_log_that_does_not_begin_says_why() {
        let mut log = Log::Waits;
        log.end("it is\x1b off");
        assert_eq!(log, Log::None("it is? off".to_owned()));
        log.add(vec![], 0);
        assert!(matches!(log, Log::Lines { .. }));
    }
}
