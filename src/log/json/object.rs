//! Checks whether a line is one whole JSON object, and which of our members it already has.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Number of members that we add: `time`, `app`, `worker`, `generation`, `pid` and `stream`, in this order.
pub const MEMBERS: usize = 6;

/// One whole object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    /// The object from its first brace up to, but without, the last one.
    pub open: &'a str,
    /// Whether the object has any members.
    pub filled: bool,
    /// Which of our members the object has. A time under another common name counts.
    pub has: [bool; MEMBERS],
}

impl<'a> Object<'a> {
    /// `None` if `line` is anything else than one object with optional white space around it.
    ///
    /// Accepts an object that `serde_json::Value` could hold. That is RFC 8259 without forms on which other parsers
    /// fail as well: no half surrogate pairs, no numbers beyond the range of a double, at most 127 levels.
    pub fn read(line: &'a [u8]) -> Option<Self> {
        // Text rarely begins and ends like this, so most lines cost only a look at both ends.
        let line @ [b'{', .., b'}'] = trimmed(line) else {
            return None;
        };
        let text = str::from_utf8(line).ok()?;
        let open = text.strip_suffix('}')?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let (filled, has) = reader.deserialize_map(Top).ok()?;
        reader.end().ok()?;
        Some(Self { open, filled, has })
    }
}

/// Removes JSON white space at both ends.
fn trimmed(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..]
    | [rest @ .., b' ' | b'\t' | b'\n' | b'\r'] = line
    {
        line = rest;
    }
    line
}

/// Visits the object itself and checks the names of its members.
struct Top;

impl<'de> Visitor<'de> for Top {
    type Value = (bool, [bool; MEMBERS]);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut filled, mut has) = (false, [false; MEMBERS]);
        while let Some(member) = map.next_key_seed(Key)? {
            filled = true;
            if let Some(place) = member.and_then(|member| has.get_mut(member)) {
                *place = true;
            }
            map.next_value_seed(Any)?;
        }
        Ok((filled, has))
    }
}

/// Visits a member name and returns which of our members it is.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(match name {
            "time" | "timestamp" | "ts" | "@timestamp" => Some(0),
            "app" => Some(1),
            "worker" => Some(2),
            "generation" => Some(3),
            "pid" => Some(4),
            "stream" => Some(5),
            _ => None,
        })
    }
}

/// Reads any value and discards it. `IgnoredAny` is not enough: serde_json skips ignored values without checking UTF-8,
/// surrogates, the range of numbers or the depth.
#[derive(Clone, Copy)]
struct Any;

impl<'de> DeserializeSeed<'de> for Any {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(self)?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(())
    }
}
