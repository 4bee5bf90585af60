//! Reads JSON as pm2 does, which takes it as JavaScript: comments, single quotes, commas at the end and names without
//! quotes are fine. Expressions, such as `process.env.PORT`, are not: they need node.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::fault::BadText;
use super::value::{Map, Value, set};

/// How deep objects and arrays may be nested.
pub const DEEPEST: usize = 64;

/// Returns the value, or what is wrong at which line and column.
pub fn read(text: &str) -> Result<Value, BadText> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // The parser calls itself for each level, so what is too deep must not reach it.
    if let Some((line, column)) = too_deep(text) {
        return Err(BadText::at(line, column, too_deep_text()));
    }
    let parsed: Result<Root, json5::Error> = json5::from_str(text);
    parsed.map(|root| root.0).map_err(|error| {
        let place = error.position().map(|at| (at.line + 1, at.column + 1));
        let mut what = error.to_string();
        if let Some((line, column)) = place {
            what = what.replace(&format!(" at line {line} column {column}"), "");
        }
        // The parser does not say where the end is.
        let at_end = error
            .code()
            .is_some_and(|code| format!("{code:?}").starts_with("Eof"));
        match place {
            _ if at_end => {
                let (line, column) = end_of(text);
                BadText::at(line, column, format!("the text ends too early ({what})"))
            }
            Some((line, column)) => BadText::at(line, column, what),
            None => BadText::whole(what),
        }
    })
}

/// Line and column behind the last character.
fn end_of(text: &str) -> (usize, usize) {
    let last = text.rsplit('\n').next().unwrap_or_default();
    (text.matches('\n').count() + 1, last.chars().count() + 1)
}

/// The whole text.
struct Root(Value);

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Level(0).deserialize(deserializer).map(Self)
    }
}

fn too_deep_text() -> String {
    format!("objects and arrays are nested more than {DEEPEST} deep")
}

/// Where brackets are too deep. Those in texts and comments count too: nobody writes so many of them.
fn too_deep(text: &str) -> Option<(usize, usize)> {
    let mut depth = 0_usize;
    for (line, content) in text.lines().enumerate() {
        for (column, c) in content.chars().enumerate() {
            match c {
                '[' | '{' => depth += 1,
                ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > DEEPEST {
                return Some((line + 1, column + 1));
            }
        }
    }
    None
}

/// Reads a value at this depth.
struct Level(usize);

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "so does JavaScript")]
        let number = value as f64;
        Ok(Value::Number(number))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "so does JavaScript")]
        let number = value as f64;
        Ok(Value::Number(number))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(Level(inner))? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut map = Map::new();
        while let Some(key) = items.next_key::<String>()? {
            let value = items.next_value_seed(Level(inner))?;
            set(&mut map, &key, value);
        }
        Ok(Value::Map(map))
    }
}

impl Level {
    fn inner<E: Error>(&self) -> Result<usize, E> {
        if self.0 < DEEPEST {
            Ok(self.0 + 1)
        } else {
            Err(E::custom(too_deep_text()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::get;
    use super::*;

    #[test]
    fn what_pm2_takes_is_taken() {
        let text = "\u{feff}// our services\n{ apps: [{ 'name': \"api\", /* two */ instances: 2, env: {A: 'x', A: .5,},}] ,}";
        let Value::Map(file) = read(text).unwrap() else {
            panic!("an object");
        };
        let Some(Value::List(apps)) = get(&file, "apps") else {
            panic!("apps");
        };
        assert_eq!(
            apps.first().unwrap().json(),
            r#"{"name":"api","instances":2,"env":{"A":0.5}}"#
        );
        assert_eq!(
            read("[null, true, -1, 1e21]").unwrap().json(),
            "[null,true,-1,1e+21]"
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_column() {
        let table = [
            ("{\n  name: process.env.NAME\n}", Some((2, 9))),
            ("{\n  a: 1\n  b: 2\n}", Some((3, 3))),
            ("{} x", Some((1, 4))),
            ("{ a: 'x", Some((1, 8))),
            ("{\n a: [\n", Some((3, 1))),
            ("", Some((1, 1))),
        ];
        for (text, place) in table {
            let bad = read(text).unwrap_err();
            assert_eq!(bad.place, place, "{text}: {}", bad.what);
            assert!(!bad.what.contains("line"), "{text}: {}", bad.what);
        }
    }

    #[test]
    fn nesting_without_end_is_refused() {
        for open in ["[", "{a:", "[[[\n{a:"] {
            let bad = read(&open.repeat(100_000)).unwrap_err();
            assert!(bad.what.contains("nested"), "{}", bad.what);
            assert!(bad.place.is_some());
        }
        let fine = format!("{}{}", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
        assert!(read(&fine).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_text_upsets_it(text in "\\PC{0,40}|[\\[\\]{},:'\"a0 .\n/*-]{0,60}") {
            let _ = read(&text); // it must only return
        }
    }
}
