//! Fuzzes the JSON writers: whatever a worker writes, each line must become one object with the same content.
//!
//! Input: the kind of line, the position at which its text is split, the text.

use rpm_runtime::log::Stream;
use rpm_runtime::log::json::{Labels, OwnValue, Partial, line, own};
use rpm_runtime::log::level::LineLevel;
use rpm_runtime::model::{Generation, Pid, SlotId};
use serde_json::{Map, Value, json};

const TIME: &str = "2026-11-22T04:40:12.345Z";
/// Our members in order, and their values.
const OURS: [(&str, &str); 6] = [
    ("time", "\"2026-11-22T04:40:12.345Z\""),
    ("app", "\"w\\\"eb\""),
    ("worker", "3"),
    ("generation", "1"),
    ("pid", "17"),
    ("stream", "\"stderr\""),
];

pub fn run(data: &[u8]) {
    let [kind, cut, text @ ..] = data else {
        return;
    };
    let time = if kind & 1 == 0 { TIME } else { "" };
    if kind & 2 == 0 {
        let (head, body) = text.split_at(usize::from(*cut).min(text.len()));
        let partial = (kind & 4 != 0).then_some(Partial {
            ordinal: u32::from(*cut),
            last: kind & 8 != 0,
            id: u64::from(*kind),
            level: (kind & 16 != 0).then_some(LineLevel::Warn),
        });
        worker(time, text, head, body, partial);
    } else if let Ok(text) = str::from_utf8(text) {
        runtime(time, text, usize::from(*cut));
    }
}

fn worker(time: &str, text: &[u8], head: &[u8], body: &[u8], partial: Option<Partial>) {
    let pid = Pid::new(17).unwrap();
    let labels = Labels::new("w\"eb", SlotId(3), Generation(1), pid, Stream::Stderr);
    let mut out = Vec::new();
    line(&mut out, &labels, time.as_bytes(), head, body, partial);
    let line = one_line(&out);
    let got = object(line);

    if let Ok(Value::Object(given)) = serde_json::from_slice(text)
        && partial.is_none()
    {
        let text = str::from_utf8(text).unwrap();
        added(line, text.trim(), &given, &got, !time.is_empty());
        return;
    }
    let mut want = Map::new();
    for (name, value) in OURS {
        if name != "time" || !time.is_empty() {
            want.insert(name.to_owned(), serde_json::from_str(value).unwrap());
        }
    }
    let level = match partial {
        None => LineLevel::of_two(head, body),
        Some(piece) => piece.level,
    };
    if let Some(level) = level {
        let (_, value) = level.member().split_once(':').unwrap();
        let value = serde_json::from_str(value.trim_end_matches(','));
        want.insert("level".to_owned(), value.unwrap());
    }
    let whole = partial.is_none_or(|piece| piece.last);
    let message = text.strip_suffix(b"\r").filter(|_| whole).unwrap_or(text);
    want.insert("message".to_owned(), json!(readable(message)));
    if let Some(Partial {
        ordinal, last, id, ..
    }) = partial
    {
        want.insert("partial_id".to_owned(), json!(format!("3-17-stderr-{id}")));
        want.insert("partial_ordinal".to_owned(), json!(ordinal));
        want.insert("partial_last".to_owned(), json!(last));
    }
    assert_eq!(got, want, "text did not come back");
}

/// An object keeps all its bytes except line breaks, and gets exactly the members that it lacked.
fn added(
    line: &str,
    text: &str,
    given: &Map<String, Value>,
    got: &Map<String, Value>,
    with_time: bool,
) {
    let mut want = text.strip_suffix('}').unwrap().replace(['\n', '\r'], "");
    let times = ["time", "timestamp", "ts", "@timestamp"];
    let mut comma = !given.is_empty();
    let mut all = given.clone();
    for (name, value) in OURS {
        let has = match name {
            "time" => !with_time || times.iter().any(|name| given.contains_key(*name)),
            _ => given.contains_key(name),
        };
        if !has {
            if comma {
                want.push(',');
            }
            want.push_str(&format!("\"{name}\":{value}"));
            all.insert(name.to_owned(), serde_json::from_str(value).unwrap());
            comma = true;
        }
    }
    want.push('}');
    assert_eq!(line, want, "an object was changed");
    assert_eq!(got, &all, "members were changed");
}

/// A line of the runtime's own: `text` is split at newlines into a message, names and values.
fn runtime(time: &str, text: &str, number: usize) {
    let mut words = text.split('\n');
    let message = words.next().unwrap_or_default();
    let mut fields = Vec::new();
    while let Some(name) = words.next() {
        let word = words.next().unwrap_or_default();
        let value = match number % 4 {
            0 => OwnValue::Text(word.to_owned()),
            1 => OwnValue::Bool(word.is_empty()),
            2 => OwnValue::Integer(word.parse().unwrap_or(-1)),
            _ => OwnValue::Float(word.parse().unwrap_or(f64::NAN)),
        };
        fields.push((name, value));
    }
    let mut out = Vec::new();
    own(&mut out, "web", time.as_bytes(), "warn", message, &fields);
    let got = object(one_line(&out));
    // A field that repeats a member is not written again.
    let is_said = |(name, value): &(&str, OwnValue)| {
        *name == "app" && *value == OwnValue::Text("web".to_owned())
    };
    fields.retain(|field| !is_said(field));
    let members = 4 + usize::from(!time.is_empty()) + fields.len();
    assert_eq!(got.len(), members, "two members of one name");
    assert_eq!(got["message"], message);
    assert_eq!(got["level"], "warn");
    assert_eq!(got["app"], "web");
    assert_eq!(got["stream"], "runtime");
    for (name, value) in fields {
        let is = |got: &Value| match &value {
            OwnValue::Text(text) => got == text,
            OwnValue::Bool(yes) => got == yes,
            OwnValue::Integer(_) => got.is_number(),
            // serde_json parses a number with an error of at most the last bit.
            OwnValue::Float(number) if number.is_finite() => got.as_f64().is_some_and(|got| {
                (got - number).abs() <= (number.abs() * 1e-15).max(f64::MIN_POSITIVE)
            }),
            OwnValue::Float(_) => got.is_string(),
        };
        let name = if name == "slot" { "worker" } else { name };
        let found = got.iter().any(|(got, value)| {
            got.trim_end_matches('_') == name.trim_end_matches('_') && is(value)
        });
        assert!(found, "a field is missing");
    }
}

/// The only line, without its newline.
fn one_line(out: &[u8]) -> &str {
    let text = str::from_utf8(out).unwrap();
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains(['\n', '\r']), "more than one line");
    line
}

fn object(line: &str) -> Map<String, Value> {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => object,
        other => panic!("no object: {other:?}"),
    }
}

/// Replaces bytes that are not UTF-8 by `\xNN`.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}
