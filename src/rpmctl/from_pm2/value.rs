//! A value of an ecosystem file, as JavaScript has it: numbers are of one kind, and every value has a text.

use std::fmt::Write as _;

/// A value of an ecosystem file.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`; pm2 takes it as not set.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any number.
    Number(f64),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object.
    Map(Map),
}

/// The keys of an object, each once, in the order of the file.
pub type Map = Vec<(String, Value)>;

/// The value of a key.
pub fn get<'a>(map: &'a Map, key: &str) -> Option<&'a Value> {
    map.iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value)
}

/// Sets a key. Of two values the later counts, as in JavaScript.
pub fn set(map: &mut Map, key: &str, value: Value) {
    match map.iter_mut().find(|(name, _)| name == key) {
        Some((_, place)) => *place = value,
        None => map.push((key.to_owned(), value)),
    }
}

impl Value {
    /// What JavaScript takes as true.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::List(_) | Self::Map(_) => true,
        }
    }

    /// The kind of the value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "an array",
            Self::Map(_) => "an object",
        }
    }

    /// The text of the value: a text as it is, objects and arrays as JSON.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number_text(*number),
            other => other.json(),
        }
    }

    /// The value as JSON, on one line.
    pub fn json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) if number.is_finite() => out.push_str(&number_text(*number)),
            Self::Null | Self::Number(_) => out.push_str("null"),
            Self::Text(text) => quoted(text, out),
            Self::List(values) => {
                out.push('[');
                for (at, value) in values.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    value.write_json(out);
                }
                out.push(']');
            }
            Self::Map(map) => {
                out.push('{');
                for (at, (key, value)) in map.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    quoted(key, out);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// A number as JavaScript writes it: `1e+21`, `1.5e-7`, `80`.
pub fn number_text(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        "NaN".to_owned()
    } else if size.is_infinite() {
        if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned()
    } else if size == 0.0 {
        "0".to_owned()
    } else if (1e-6..1e21).contains(&size) {
        number.to_string()
    } else {
        let text = format!("{number:e}");
        match text.split_once('e') {
            Some((digits, power)) if !power.starts_with('-') => {
                let mut out = digits.to_owned();
                let _ = write!(out, "e+{power}"); // a String takes everything
                out
            }
            _ => text,
        }
    }
}

/// A text as the number that JavaScript makes of it, if it is one.
pub fn number_of(text: &str) -> Option<f64> {
    let text = text.trim();
    let starts = text.trim_start_matches(['+', '-']);
    // Rust also reads `inf` and `nan`.
    let is_number = starts.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        let table = [
            (3000.0, "3000"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (1e-6, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, text) in table {
            assert_eq!(number_text(number), text);
        }
    }

    #[test]
    fn texts_are_numbers_as_in_javascript() {
        for (text, number) in [("4", 4.0), (" -1 ", -1.0), ("+2.5", 2.5), (".5", 0.5)] {
            assert_eq!(number_of(text), Some(number), "{text}");
        }
        for text in ["", "max", "3s", "inf", "NaN", "-", "1G", "0x"] {
            assert_eq!(number_of(text), None, "{text}");
        }
    }

    #[test]
    fn objects_become_json_in_the_order_of_the_file() {
        let value = Value::Map(vec![
            (
                "b\"".to_owned(),
                Value::List(vec![Value::Number(1.0), Value::Null]),
            ),
            ("a".to_owned(), Value::Text("x\ny".to_owned())),
        ]);
        assert_eq!(value.text(), "{\"b\\\"\":[1,null],\"a\":\"x\\ny\"}");
        assert_eq!(Value::Bool(true).text(), "true");
        assert_eq!(Value::Null.text(), "null");
    }

    #[test]
    fn of_two_values_the_later_counts() {
        let mut map = Map::new();
        set(&mut map, "a", Value::Number(1.0));
        set(&mut map, "b", Value::Null);
        set(&mut map, "a", Value::Number(2.0));
        assert_eq!(map.len(), 2);
        assert_eq!(get(&map, "a"), Some(&Value::Number(2.0)));
        assert_eq!(get(&map, "c"), None);
    }
}
