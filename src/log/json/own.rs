//! The runtime's own lines.

use std::io::Write;

use super::escape;

/// What no field may be called: a line has these already, or could have.
const TAKEN: [&str; 5] = ["time", "level", "app", "stream", "message"];

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnValue {
    /// A string.
    Text(String),
    /// A number without a fraction.
    Integer(i128),
    /// Any number; what JSON has no word for (infinity) becomes a string.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
}

/// Appends one object and a newline: an event's fields follow its message, `slot` as `worker`. A field whose name is taken, by one of our
/// members or by a field before it, gets a `_` at its end. There is no `time` member if `time` is empty.
pub fn own(
    out: &mut Vec<u8>,
    app: &str,
    time: &[u8],
    level: &str,
    message: &str,
    fields: &[(&str, OwnValue)],
) {
    out.push(b'{');
    if !time.is_empty() {
        string(out, "time");
        out.extend_from_slice(b":\"");
        escape::bytes(out, time);
        out.extend_from_slice(b"\",");
    }
    for (name, value) in [
        ("level", level),
        ("app", app),
        ("stream", "runtime"),
        ("message", message),
    ] {
        string(out, name);
        out.push(b':');
        string(out, value);
        out.push(b',');
    }
    let mut names: Vec<String> = Vec::new();
    for (name, value) in fields {
        let mut name = match *name {
            // What the lines of a worker call it.
            "slot" => "worker".to_owned(),
            name => name.to_owned(),
        };
        if name == "app" && matches!(value, OwnValue::Text(text) if text == app) {
            continue;
        }
        while TAKEN.contains(&name.as_str()) || names.contains(&name) {
            name.push('_');
        }
        string(out, &name);
        out.push(b':');
        put(out, value);
        out.push(b',');
        names.push(name);
    }
    // The comma behind the last member.
    out.pop();
    out.extend_from_slice(b"}\n");
}

fn put(out: &mut Vec<u8>, value: &OwnValue) {
    // Writing to a Vec does not fail.
    let _ = match value {
        OwnValue::Text(text) => {
            string(out, text);
            Ok(())
        }
        OwnValue::Integer(number) => write!(out, "{number}"),
        // With an exponent where `Display` would write hundreds of zeros.
        OwnValue::Float(number) if number.is_finite() => write!(out, "{number:?}"),
        OwnValue::Float(number) => write!(out, "\"{number}\""),
        OwnValue::Bool(yes) => write!(out, "{yes}"),
    };
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape::text(out, text);
    out.push(b'"');
}
