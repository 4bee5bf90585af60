//! Reads the format of npm's `flatted`: a JSON array of values. Within a value, a string is the index of another value;
//! a value that is itself a string is text. So values may refer to each other in a circle.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Most values of one event, so that many small ones cannot take much more memory than their text. Node's own layout
/// prints only the first hundred of a list.
const MOST: usize = 256 * 1024;

/// Deepest nesting that `flatted` writes: the table, and one object or list in it.
const DEPTH: u8 = 2;

/// What log4js writes instead of the values that JSON lacks.
const MARK: &str = "__LOG4JS_";

/// A member of an object.
pub type Member = (Box<str>, Item);

/// A value as it stands in the table.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Null,
    Bool(bool),
    Number(f64),
    /// An index inside a list or an object, otherwise text.
    Text(Box<str>),
    List(Box<[Self]>),
    Object(Box<[Member]>),
}

/// A value with its index resolved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(&'a str),
    List(&'a [Item]),
    Object(&'a [Member]),
}

/// All values of one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Table(Box<[Item]>);

impl Table {
    /// Reads the text. Fails if it is not what `flatted` writes, or holds too many values.
    pub fn read(text: &str) -> serde_json::Result<Self> {
        let text = whole_pairs(text);
        let left = Cell::new(MOST);
        let mut reader = serde_json::Deserializer::from_str(&text);
        let seed = Seed {
            left: &left,
            depth: DEPTH,
        };
        let read = seed.deserialize(&mut reader)?;
        reader.end()?;
        match read {
            Item::List(items) => Ok(Self(items)),
            _ => Err(serde_json::Error::custom("not a list of values")),
        }
    }

    /// The first value: the event.
    pub fn root(&self) -> Value<'_> {
        self.0.first().map_or(Value::Undefined, plain)
    }

    /// The value of an element or a member.
    pub fn value<'a>(&'a self, item: &'a Item) -> Value<'a> {
        let Item::Text(index) = item else {
            return plain(item);
        };
        let at = index.parse().ok().and_then(|at: usize| self.0.get(at));
        at.map_or(Value::Undefined, plain)
    }

    /// The member `name` of `value`.
    pub fn get<'a>(&'a self, value: Value<'a>, name: &str) -> Value<'a> {
        let Value::Object(members) = value else {
            return Value::Undefined;
        };
        let member = members.iter().find(|(key, _)| &**key == name);
        member.map_or(Value::Undefined, |(_, item)| self.value(item))
    }

    /// Whether log4js takes the object for an error: it sends errors as objects with these two members.
    pub fn is_error(&self, value: Value<'_>) -> bool {
        // An error with more members would be looked through at each of its visits.
        const MEMBERS: usize = 256;
        matches!(value, Value::Object(members) if members.len() <= MEMBERS)
            && self.get(value, "message").is_truthy()
            && self.get(value, "stack").is_truthy()
    }
}

impl Value<'_> {
    /// As an `if` of JavaScript takes it.
    fn is_truthy(self) -> bool {
        match self {
            Value::Undefined | Value::Null => false,
            Value::Bool(yes) => yes,
            Value::Number(number) => number != 0.0 && !number.is_nan(),
            Value::Text(text) => !text.is_empty(),
            Value::List(_) | Value::Object(_) => true,
        }
    }
}

fn plain(item: &Item) -> Value<'_> {
    match item {
        Item::Null => Value::Null,
        Item::Bool(yes) => Value::Bool(*yes),
        Item::Number(number) => Value::Number(*number),
        Item::Text(text) => match text.strip_prefix(MARK) {
            Some("undefined__") => Value::Undefined,
            Some("NaN__") => Value::Number(f64::NAN),
            Some("Infinity__") => Value::Number(f64::INFINITY),
            Some("-Infinity__") => Value::Number(f64::NEG_INFINITY),
            _ => Value::Text(text),
        },
        Item::List(items) => Value::List(items),
        Item::Object(members) => Value::Object(members),
    }
}

/// Replaces half surrogate pairs by U+FFFD, as Node does when it writes them. JSON may name them; `str` cannot hold
/// them.
fn whole_pairs(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return text.into();
    }
    let unit = |text: &str| {
        let hex = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(hex, 16).ok()
    };
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let take = match unit(escape) {
            Some(0xd800..=0xdbff) => match escape.get(6..).and_then(unit) {
                Some(0xdc00..=0xdfff) => 12,
                _ => 0,
            },
            Some(0xdc00..=0xdfff) => 0,
            Some(_) => 6,
            // The character after the backslash is part of the escape, and may be a backslash itself.
            None => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
        };
        let (kept, after) = if take == 0 {
            ("\\ufffd", escape.get(6..))
        } else {
            (escape.get(..take).unwrap_or(escape), escape.get(take..))
        };
        out.push_str(kept);
        rest = after.unwrap_or_default();
    }
    out.push_str(rest);
    out.into()
}

/// Reads one value, within the limits.
#[derive(Clone, Copy)]
struct Seed<'a> {
    left: &'a Cell<usize>,
    depth: u8,
}

impl Seed<'_> {
    /// The seed of the values in this one.
    fn below<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1);
        let depth = depth.ok_or_else(|| E::custom("nested values, where an index is expected"))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Item;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Item, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left
            .set(left.ok_or_else(|| D::Error::custom("too many values"))?);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Item, E> {
        Ok(Item::Null)
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<Item, E> {
        Ok(Item::Bool(yes))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "every number of JavaScript is a double"
    )]
    fn visit_i64<E: Error>(self, number: i64) -> Result<Item, E> {
        Ok(Item::Number(number as f64))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "every number of JavaScript is a double"
    )]
    fn visit_u64<E: Error>(self, number: u64) -> Result<Item, E> {
        Ok(Item::Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Item, E> {
        Ok(Item::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Item, E> {
        Ok(Item::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Item, A::Error> {
        let (seed, mut items) = (self.below()?, Vec::new());
        while let Some(item) = seq.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(Item::List(items.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
        let (seed, mut members) = (self.below()?, Vec::new());
        while let Some(name) = map.next_key::<Box<str>>()? {
            members.push((name, map.next_value_seed(seed)?));
        }
        Ok(Item::Object(members.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_pairs_are_replaced_and_all_else_stays() {
        let table = [
            (r#"["a"]"#, r#"["a"]"#),
            (r#"["\ud83d\ude00"]"#, r#"["\ud83d\ude00"]"#),
            (r#"["\ud83d"]"#, r#"["\ufffd"]"#),
            (r#"["\uD83Dx\ude00\n"]"#, r#"["\ufffdx\ufffd\n"]"#),
            (r#"["\ud83d\u0041"]"#, r#"["\ufffd\u0041"]"#),
            (r#"["\\ud83d"]"#, r#"["\\ud83d"]"#),
            (r#"["\\\ud83d"]"#, r#"["\\\ufffd"]"#),
            (r"\ud", r"\ud"),
            (r"\ud83d\", r"\ufffd\"),
            (r"\é\ud83d", r"\é\ufffd"),
        ];
        for (text, want) in table {
            assert_eq!(whole_pairs(text), want, "{text}");
        }
    }

    #[test]
    fn a_string_is_an_index_inside_a_value_and_text_outside() {
        let table = Table::read(r#"[{"a":"1","b":"2","c":"9","d":"x","e":0},"2",["1",null,"0"]]"#);
        let table = table.unwrap();
        let root = table.root();
        assert_eq!(table.get(root, "a"), Value::Text("2"));
        assert_eq!(table.get(root, "c"), Value::Undefined);
        assert_eq!(table.get(root, "d"), Value::Undefined);
        assert_eq!(table.get(root, "e"), Value::Number(0.0));
        assert_eq!(table.get(root, "f"), Value::Undefined);
        let Value::List([text, null, up]) = table.get(root, "b") else {
            panic!("{table:?}");
        };
        assert_eq!(table.value(text), Value::Text("2"));
        assert_eq!(table.value(null), Value::Null);
        assert_eq!(table.value(up), root);
    }

    #[test]
    fn what_flatted_does_not_write_is_refused() {
        let many = format!("[[{}0]]", "0,".repeat(MOST));
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{}",
            "1",
            "[",
            "[[[]]]",
            r#"[{"a":{}}]"#,
            "[1] 2",
            "[1e999]",
            &many,
            &deep,
        ] {
            assert!(Table::read(text).is_err(), "{text:.40}");
        }
        assert_eq!(Table::read("[]").unwrap().root(), Value::Undefined);
    }
}
