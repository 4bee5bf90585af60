//! The runtime's own lines as JSON.

use std::io::Write;

use super::escape;

/// Names that fields must not use, because a line has or may have these members already.
const TAKEN: [&str; 5] = ["time", "level", "app", "stream", "message"];

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnValue {
    /// A string.
    Text(String),
    /// A number without a fraction.
    Integer(i128),
    /// Any number. What JSON cannot express (infinity) becomes a string.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
}

/// Appends one object and a newline. The fields of the event follow its message; `slot` is written as `worker`. If the
/// name of a field is already used, by a member or by an earlier field, `_` is appended to it. If `time` is empty,
/// there is no `time` member.
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
            // The name that worker lines use.
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
    // The comma after the last member.
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
        // `Debug` writes an exponent where `Display` would write hundreds of zeros.
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
