//! The runtime's own lines: `[rpm-runtime] level: message key=value ...`, one event always exactly one line.
#![forbid(unsafe_code)]

use std::fmt::{self, Write};
use std::io;

use nix::errno::Errno;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use super::Log;
use crate::model::SlotId;

/// The subscriber that sends events up to `level` into `log`.
pub fn subscriber(log: &Log, level: LevelFilter) -> impl Subscriber + Send + Sync + use<> {
    // Its own errors it would print to stderr, which is not ours alone.
    let layer = tracing_subscriber::fmt::layer()
        .event_format(OneLine)
        .with_writer(Queue(log.clone()))
        .log_internal_errors(false);
    tracing_subscriber::registry().with(layer).with(level)
}

/// One line of the runtime's own, without fields.
pub fn line(level: Level, text: &str) -> String {
    format!("[rpm-runtime] {}: {}\n", word(level), Escaped(text))
}

/// Own lines found no room.
pub fn missing(lines: u64) -> String {
    let text = "lines of the runtime are missing here, the output was stuck";
    format!(
        "[rpm-runtime] {}: {text} lines={lines}\n",
        word(Level::WARN)
    )
}

/// The output was gone and is there again.
pub fn lost(lines: u64, errno: Errno) -> String {
    let text = "lines were lost before this one, the output did not take them";
    format!(
        "[rpm-runtime] {}: {text} lines={lines} error={errno:?}\n",
        word(Level::ERROR)
    )
}

/// A worker's pipe cannot be watched.
pub fn unwatched(slot: SlotId, errno: Errno) -> String {
    let text = "cannot watch a worker's output, closing it";
    format!(
        "[rpm-runtime] {}: {text} slot={slot} error={errno:?}\n",
        word(Level::ERROR)
    )
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// What could end a line, or hide in one.
fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Text on one line.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_unprintable(c) {
                write!(f, "{}", c.escape_debug())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// A value that can be told from what surrounds it: in quotes unless it is one plain word.
struct Value<'a>(&'a str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| !(c.is_whitespace() || is_unprintable(c) || matches!(c, '"' | '='));
        if !self.0.is_empty() && self.0.chars().all(plain) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for c in self.0.chars() {
            if is_unprintable(c) || matches!(c, '"' | '\\') {
                write!(f, "{}", c.escape_debug())?;
            } else {
                f.write_char(c)?;
            }
        }
        f.write_char('"')
    }
}

/// The message and, after it, the fields of one event.
#[derive(Default)]
struct Parts {
    message: String,
    fields: String,
}

impl Parts {
    fn put(&mut self, field: &Field, value: &str) {
        // Writing to a String does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{}", Escaped(value))
        } else {
            write!(self.fields, " {}={}", field.name(), Value(value))
        };
    }
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

struct OneLine;

impl<S, N> FormatEvent<S, N> for OneLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let level = word(*event.metadata().level());
        let Parts { message, fields } = parts;
        writeln!(writer, "[rpm-runtime] {level}: {message}{fields}")
    }
}

/// Hands each event, which comes in one write, to the log's queue.
struct Queue(Log);

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl io::Write for &Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.queue(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_if_it_could_be_misread() {
        let table = [
            ("17", "17"),
            ("[::]:3000", "[::]:3000"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a=b", "\"a=b\""),
            ("say \"x\"", "\"say \\\"x\\\"\""),
            ("c:\\x", "c:\\x"),
            ("a\nb", "\"a\\nb\""),
            ("\u{1b}[0m", "\"\\u{1b}[0m\""),
            ("a\u{2028}b", "\"a\\u{2028}b\""),
        ];
        for (value, want) in table {
            assert_eq!(Value(value).to_string(), want);
        }
    }

    #[test]
    fn a_plain_line_stays_one_line() {
        let got = line(Level::WARN, "a \"quoted\"\r\nword");
        assert_eq!(got, "[rpm-runtime] warn: a \"quoted\"\\r\\nword\n");
    }
}
