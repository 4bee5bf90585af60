//! Events of log4js. In a Node cluster worker, log4js (npm) writes nothing itself: it sends each event to the primary,
//! as the message `{"topic":"log4js:message","data":"…"}`. If nobody there has appenders, the runtime writes the events
//! into the merged log.
//!
//! `data` is text in the format of npm's `flatted` (`flatted.rs`). Raw and prefix format get the basic layout of
//! log4js: `[2026-11-30T08:00:00.123] [INFO] category - message`, in local time, with the arguments of the call joined
//! as Node's `util.format` joins them (`message.rs`, `inspect.rs`). The time zone is that of the runtime's environment;
//! Node has its own table of zones, the runtime reads those of the system, and without them shows UTC. JSON gets the
//! parts as members.

mod flatted;
mod inspect;
mod json;
mod message;
mod number;
mod quote;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use memchr::{memchr, memmem};
use serde::Deserialize;

use self::flatted::{Item, Table, Value};
use self::json::Errors;
use super::json::escape;
use super::level::LineLevel;
use super::stamp::{self, Stamper};

/// Text that an event may show for each byte that it has. Values that are shared are shown each time.
const GROWTH: usize = 4;
/// And this much in any case, bytes.
const ROOM: usize = 64 * 1024;

/// Members of an event that say where it was logged (`enableCallStack` of log4js), apart from the stack itself.
const PLACE: [&str; 7] = [
    "fileName",
    "lineNumber",
    "columnNumber",
    "className",
    "functionName",
    "functionAlias",
    "callerName",
];

/// How the message of an event begins. log4js builds it as `{topic, data}`, and `JSON.stringify` adds no blanks.
const BEGIN: &[u8] = br#"{"topic":"log4js:message","data":"[{"#;

/// For whom the message of an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// Node's primary: the program has set neither `pm2: true` nor `disableClustering`.
    Primary,
    /// Instance 0, which has the appenders (`pm2: true`).
    FirstInstance,
}

/// For whom a message is, as it came over the channel; `None` if it is no event. log4js adds the member `cluster` to events
/// for the primary (lib/clustering.js of log4js 6). The event comes first in the table, and all text in it is an index, so
/// its first closing brace ends it.
pub fn addressee(message: &[u8]) -> Option<Addressee> {
    let table = message.strip_prefix(BEGIN)?;
    let event = table.get(..memchr(b'}', table)?)?;
    Some(match memmem::find(event, br#"\"cluster\":"#) {
        Some(_) => Addressee::Primary,
        None => Addressee::FirstInstance,
    })
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    table: Table,
    time: SystemTime,
    level: String,
    category: String,
    /// Bytes that may be shown.
    room: usize,
}

/// A message that is no event of log4js.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoEvent(String);

impl fmt::Display for NoEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoEvent {}

impl Event {
    /// Reads the member `data` of the message. The memory that it takes is bounded by a multiple of the length of
    /// `data` and by a number of values.
    pub fn read(data: &str) -> Result<Self, NoEvent> {
        let table = Table::read(data).map_err(|error| NoEvent(error.to_string()))?;
        let root = table.root();
        let missing = |what: &str| NoEvent(format!("the event has no {what}"));
        let text = |value: Value<'_>| match value {
            Value::Text(text) => Some(text.to_owned()),
            _ => None,
        };
        let time = text(table.get(root, "startTime")).and_then(|text| moment(&text));
        let level = text(table.get(table.get(root, "level"), "levelStr"));
        let category = text(table.get(root, "categoryName"));
        if !matches!(table.get(root, "data"), Value::List(_)) {
            return Err(missing("data"));
        }
        Ok(Self {
            time: time.ok_or_else(|| missing("time"))?,
            level: level.ok_or_else(|| missing("level"))?,
            category: category.ok_or_else(|| missing("category"))?,
            room: ROOM + GROWTH * data.len(),
            table,
        })
    }

    /// Reads a message as it came over the channel, see [`Self::read`].
    pub fn of_message(message: &[u8]) -> Result<Self, NoEvent> {
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(borrow)]
            data: Cow<'a, str>,
        }
        let message: Message<'_> =
            serde_json::from_slice(message).map_err(|error| NoEvent(error.to_string()))?;
        Self::read(&message.data)
    }

    /// When the program logged it.
    pub fn time(&self) -> SystemTime {
        self.time
    }

    /// The level, as the program names it: `INFO`.
    pub fn level(&self) -> &str {
        &self.level
    }

    /// The category of the logger.
    pub fn category(&self) -> &str {
        &self.category
    }

    /// The arguments of the log call, joined.
    pub fn message(&self) -> String {
        message::message(&self.table, self.data(), &mut self.room.clone())
    }

    fn data(&self) -> &[Item] {
        match self.table.get(self.table.root(), "data") {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Appends the event in log4js's basic layout, and a newline.
    pub fn line(&self, out: &mut Vec<u8>) {
        let (time, level, category) = (stamp::local(self.time), &self.level, &self.category);
        let message = self.message();
        let line = format!("[{time}] [{level}] {category} - {message}\n");
        out.extend_from_slice(line.as_bytes());
    }

    /// Appends the event as one JSON object and a newline: `time`, `level`, `category` and `message`; then, as far as
    /// the event has them, `context`, the members that say where it was logged, and `data` if there are objects among
    /// the arguments.
    pub fn object(&self, out: &mut Vec<u8>, stamper: &mut Stamper) {
        let mut left = self.room;
        out.extend_from_slice(b"{\"time\":\"");
        escape::bytes(out, stamper.stamp(self.time));
        out.extend_from_slice(b"\",");
        if let Some(level) = LineLevel::named(self.level.as_bytes()) {
            out.extend_from_slice(level.member().as_bytes());
        } else {
            member(out, "level", &self.level.to_lowercase());
            out.push(b',');
        }
        member(out, "category", &self.category);
        out.push(b',');
        member(
            out,
            "message",
            &message::message(&self.table, self.data(), &mut left),
        );
        let mut put = |name: &str, value: Value<'_>| {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            json::write(out, &self.table, value, Errors::Whole, &mut left);
        };
        let root = self.table.root();
        match self.table.get(root, "context") {
            Value::Object([]) => {}
            context @ Value::Object(_) => put("context", context),
            _ => {}
        }
        for name in PLACE {
            match self.table.get(root, name) {
                Value::Undefined | Value::Null | Value::Text("") => {}
                value => put(name, value),
            }
        }
        let objects = |item| matches!(self.table.value(item), Value::List(_) | Value::Object(_));
        if self.data().iter().any(objects) {
            put("data", self.table.get(root, "data"));
        }
        out.extend_from_slice(b"}\n");
    }
}

fn member(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(format!("\"{name}\":\"").as_bytes());
    escape::text(out, text);
    out.push(b'"');
}

/// A time as `Date.toJSON` writes it.
fn moment(text: &str) -> Option<SystemTime> {
    let millis = DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
    let distance = Duration::from_millis(millis.unsigned_abs());
    if millis < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}
