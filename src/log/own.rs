//! The runtime's own lines. Each event is exactly one line: `[rpm-runtime] level: message key=value ...`, after the
//! time if there is one, or one JSON object.

use std::fmt::{self, Write};
use std::path::Path;

use nix::errno::Errno;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::json::{self, OwnValue};
use super::stamp::Stamper;
use super::{Format, Log, paint};
use crate::model::SlotId;
use crate::model::Timestamp;
use crate::sys::clock;

/// The subscriber that sends the events that pass `filter` to `log`.
pub fn subscriber(log: &Log, filter: Targets) -> impl Subscriber + Send + Sync + use<> {
    tracing_subscriber::registry()
        .with(LogLayer(log.clone()))
        .with(filter)
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnEvent {
    level: Level,
    message: String,
    fields: Vec<(&'static str, OwnValue)>,
}

impl OwnEvent {
    pub fn new(level: Level, message: &str) -> Self {
        Self {
            level,
            message: message.to_owned(),
            fields: Vec::new(),
        }
    }

    fn with(mut self, key: &'static str, value: OwnValue) -> Self {
        self.fields.push((key, value));
        self
    }

    /// Adds the path of a log file, and the error if there is one.
    pub fn of(self, path: &Path, why: Option<&dyn fmt::Display>) -> Self {
        let said = self.text("path", path.display());
        match why {
            Some(why) => said.text("error", why),
            None => said,
        }
    }

    pub fn count(self, key: &'static str, count: u64) -> Self {
        self.with(key, OwnValue::Integer(count.into()))
    }

    fn text(self, key: &'static str, text: impl fmt::Display) -> Self {
        self.with(key, OwnValue::Text(text.to_string()))
    }
}

/// The thread of RPM_LOG_OWN_FILE hangs or is too slow.
pub fn own_file_stuck() -> OwnEvent {
    let text = "RPM_LOG_OWN_FILE cannot be written fast enough, its lines are dropped until there is room; the service goes on";
    OwnEvent::new(Level::WARN, text)
}

/// Own lines of the runtime were dropped because the queue of `place` was full.
pub fn missing(lines: u64, place: &str) -> OwnEvent {
    let text = format!("lines of the runtime are missing here, {place} was stuck");
    OwnEvent::new(Level::WARN, &text).count("lines", lines)
}

/// The output failed and works again.
pub fn lost(lines: u64, errno: Errno) -> OwnEvent {
    let text = "lines were lost before this one, the output did not take them";
    OwnEvent::new(Level::ERROR, text)
        .count("lines", lines)
        .text("error", format_args!("{errno:?}"))
}

/// The output was too slow (RPM_LOG_OVERFLOW=drop) and has room again.
pub fn dropped(output: &str, lines: u64, bytes: u64) -> OwnEvent {
    let text = "lines were dropped, the output did not keep up";
    OwnEvent::new(Level::WARN, text)
        .text("output", output)
        .count("lines", lines)
        .count("bytes", bytes)
}

/// RPM_LOG_RATE dropped lines.
pub fn limited(slot: SlotId, lines: u64) -> OwnEvent {
    let text = "a worker wrote more lines than RPM_LOG_RATE allows; the rest was dropped";
    OwnEvent::new(Level::WARN, text)
        .count("slot", slot.0.into())
        .count("lines", lines)
}

/// A worker's pipe cannot be watched.
pub fn unwatched(slot: SlotId, errno: Errno) -> OwnEvent {
    let text = "cannot watch a worker's output, closing it";
    OwnEvent::new(Level::ERROR, text)
        .count("slot", slot.0.into())
        .text("error", format_args!("{errno:?}"))
}

/// Format of the runtime's own lines.
#[derive(Clone, Debug)]
pub struct OwnFormat {
    pub format: Format,
    pub timestamp: Timestamp,
    pub app: String,
    /// Whether levels are coloured.
    pub colour: bool,
}

impl OwnFormat {
    /// The event as one line with its newline and the present time.
    pub fn line(&self, said: &OwnEvent) -> Vec<u8> {
        let mut stamper = Stamper::new(&self.timestamp);
        let time = stamper.stamp(clock::wall());
        let mut out = Vec::new();
        let OwnEvent {
            level,
            message,
            fields,
        } = said;
        if self.format == Format::Json {
            json::own(&mut out, &self.app, time, word(*level), message, fields);
            return out;
        }
        let mut line = String::from_utf8_lossy(time).into_owned();
        if !line.is_empty() {
            line.push(' ');
        }
        let label = format!("[rpm-runtime] {}:", word(*level));
        if self.colour {
            line.push_str(&paint::level(*level, &label));
        } else {
            line.push_str(&label);
        }
        line.push(' ');
        words(&mut line, said);
        line.push('\n');
        line.into_bytes()
    }
}

/// The event as one line without the time.
pub fn text(said: &OwnEvent) -> String {
    let mut line = format!("{}: ", word(said.level));
    words(&mut line, said);
    line
}

/// Appends what is said, and the fields.
fn words(line: &mut String, said: &OwnEvent) {
    // Writing to a String does not fail.
    let _ = write!(line, "{}", Escaped(&said.message));
    for (key, value) in &said.fields {
        let _ = match value {
            OwnValue::Text(text) => write!(line, " {key}={}", Value(text)),
            OwnValue::Integer(number) => write!(line, " {key}={number}"),
            OwnValue::Float(number) => write!(line, " {key}={number}"),
            OwnValue::Bool(yes) => write!(line, " {key}={yes}"),
        };
    }
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

/// Characters that could end a line or hide in it.
fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Text on one line, with such characters escaped.
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

/// A value that is clearly delimited: quoted unless it is one plain word.
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

impl Visit for OwnEvent {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            let text = OwnValue::Text(value.to_owned());
            self.fields.push((field.name(), text));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record_i128(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_i128(field, value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.fields.push((field.name(), OwnValue::Integer(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.push((field.name(), OwnValue::Float(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), OwnValue::Bool(value)));
    }
}

/// Sends each event to the log.
struct LogLayer(Log);

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = OwnEvent::new(*event.metadata().level(), "");
        event.record(&mut said);
        self.0.log_own(&said);
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
        let said = OwnEvent::new(Level::WARN, "a \"quoted\"\r\nword").count("n", 3);
        let mut form = OwnFormat {
            format: Format::Raw,
            timestamp: Timestamp::None,
            app: "web".to_owned(),
            colour: false,
        };
        let got = |form: &OwnFormat| String::from_utf8(form.line(&said)).unwrap();
        let plain = "[rpm-runtime] warn: a \"quoted\"\\r\\nword n=3\n";
        assert_eq!(got(&form), plain);
        form.colour = true;
        let colours = got(&form)
            .replace("\u{1b}[33m", "")
            .replace("\u{1b}[0m", "");
        assert_eq!(colours, plain);
        form.format = Format::Prefix;
        form.colour = false;
        form.timestamp = Timestamp::Rfc3339;
        let timed = got(&form);
        assert_eq!(timed.split_once(' ').unwrap().1, plain);
        assert_eq!(timed.find("Z [rpm"), Some(23));
        form.format = Format::Json;
        form.timestamp = Timestamp::None;
        let want = r#"{"level":"warn","app":"web","stream":"runtime","message":"a \"quoted\"\r\nword","n":3}"#;
        assert_eq!(got(&form).trim_end(), want);
    }
}
