//! Reads YAML as pm2 does: YAML 1.2 with the words of its core schema, anchors, and the merge key `<<`.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::fault::BadText;
use super::json::DEEPEST;
use super::value::{Map, Value, get, number_of, set};

/// Most values of a file, with those that aliases repeat: a few lines of aliases of aliases would fill the memory.
const MOST_VALUES: usize = 100_000;

/// Returns the value of the only document, or what is wrong at which line and column.
pub fn read(text: &str) -> Result<Value, BadText> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        values: 0,
    };
    let mut value = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(value.unwrap_or(Value::Null)),
            Event::DocumentStart(_) if value.is_some() => {
                let what = "a second document begins; pm2 takes one";
                return Err(bad(&span.start, what));
            }
            Event::DocumentStart(_) => {
                let (event, span) = reader.next()?;
                value = Some(reader.value(event, span, 0)?);
            }
            _ => {}
        }
    }
}

fn bad(at: &Marker, what: impl Into<String>) -> BadText {
    BadText::at(at.line(), at.col() + 1, what)
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    /// The values that aliases may name, with how many values they hold.
    anchors: HashMap<usize, (Value, usize)>,
    /// Values so far.
    values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), BadText> {
        let event: Option<Result<(Event<'a>, Span), ScanError>> = self.events.next_event();
        match event {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(bad(error.marker(), error.info())),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn count(&mut self, more: usize, at: &Marker) -> Result<(), BadText> {
        self.values += more;
        if self.values > MOST_VALUES {
            let what =
                format!("the file has more than {MOST_VALUES} values, with those of aliases");
            return Err(bad(at, what));
        }
        Ok(())
    }

    /// The value that begins with this event.
    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Value, BadText> {
        let at = span.start;
        if depth > DEEPEST {
            let what = format!("objects and arrays are nested more than {DEEPEST} deep");
            return Err(bad(&at, what));
        }
        self.count(1, &at)?;
        let before = self.values;
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let Some((value, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(bad(&at, "the alias names a value that is not complete yet"));
                };
                self.count(size, &at)?;
                return Ok(value);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let value = match tag.as_deref() {
                    None if plain => scalar(&text),
                    None => Value::Text(text.into_owned()),
                    Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => {
                        Value::Text(text.into_owned())
                    }
                    Some(tag) if tag.is_yaml_core_schema() => scalar(&text),
                    Some(tag) => return Err(bad(&at, format!("the tag {tag} is not known"))),
                };
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            _ => return Err(bad(&at, "a value is missing")),
        };
        if anchor != 0 {
            let size = self.values - before + 1;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Value, BadText> {
        let mut values = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(values)),
                (event, span) => values.push(self.value(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, BadText> {
        let mut map = Map::new();
        let mut from_others = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let at = span.start;
            let (key, is_merge) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => {
                    let is_merge = text == "<<" && style == ScalarStyle::Plain;
                    (text.into_owned(), is_merge)
                }
                _ => return Err(bad(&at, "a key that is no text")),
            };
            let (event, span) = self.next()?;
            let value = self.value(event, span, depth + 1)?;
            if is_merge {
                from_others.extend(to_merge(value).ok_or_else(|| {
                    bad(
                        &at,
                        "<< merges a mapping or a list of mappings, and this is none",
                    )
                })?);
            } else if get(&map, &key).is_some() {
                return Err(bad(&at, format!("the key {key} is here twice")));
            } else {
                set(&mut map, &key, value);
            }
        }
        // What is written here counts, then the first of the merged ones.
        for (key, value) in from_others {
            if get(&map, &key).is_none() {
                set(&mut map, &key, value);
            }
        }
        Ok(Value::Map(map))
    }
}

/// The keys that a merge brings, the more important first.
fn to_merge(value: Value) -> Option<Map> {
    match value {
        Value::Map(map) => Some(map),
        Value::List(values) => {
            let mut all = Map::new();
            for value in values {
                match value {
                    Value::Map(map) => all.extend(map),
                    _ => return None,
                }
            }
            Some(all)
        }
        _ => None,
    }
}

/// What a word without quotes is.
fn scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Number(f64::NAN),
        ".inf" | ".Inf" | ".INF" => return Value::Number(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Number(f64::NEG_INFINITY),
        _ => {}
    }
    for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && let Ok(number) = u64::from_str_radix(digits, base)
        {
            #[expect(clippy::cast_precision_loss, reason = "so does JavaScript")]
            let number = number as f64;
            return Value::Number(number);
        }
    }
    // Blanks inside mean text, and so does a second dot, as in an address.
    let is_plain = !text.contains(char::is_whitespace);
    match number_of(text).filter(|_| is_plain) {
        Some(number) => Value::Number(number),
        None => Value::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn json(text: &str) -> String {
        read(text).unwrap().json()
    }

    #[test]
    fn words_are_what_the_core_schema_says() {
        let text = "a: yes\nb: true\nc: 3000\nd: '3000'\ne: ~\nf:\ng: 1.5\nh: 0x10\ni: 10.0.0.1\nj: 0 4 * * *\nk: !!str 5\nl: |\n  a\n  b\n";
        assert_eq!(
            json(text),
            "{\"a\":\"yes\",\"b\":true,\"c\":3000,\"d\":\"3000\",\"e\":null,\"f\":null,\"g\":1.5,\"h\":16,\"i\":\"10.0.0.1\",\
             \"j\":\"0 4 * * *\",\"k\":\"5\",\"l\":\"a\\nb\\n\"}"
        );
        assert_eq!(json(""), "null");
    }

    #[test]
    fn anchors_and_merges_bring_what_they_name() {
        let text = "base: &base {instances: 2, env: {A: 1}}\nmore: &more {instances: 9, watch: true}\napps:\n  - <<: *base\n    name: a\n  - <<: [*base, *more]\n    instances: 3\n";
        assert_eq!(
            read(text).map(|value| match value {
                Value::Map(map) => get(&map, "apps").unwrap().json(),
                _ => String::new(),
            }),
            Ok("[{\"name\":\"a\",\"instances\":2,\"env\":{\"A\":1}},{\"instances\":3,\"env\":{\"A\":1},\"watch\":true}]".to_owned())
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_column() {
        let table = [
            ("apps:\n  - name: 'x\n", 2),
            ("a: 1\nb: 2\na: 3\n", 3),
            ("a: [1, 2\nb: 3", 2),
            ("a: 1\n---\nb: 2\n", 2),
            ("a: *nobody\n", 1),
            ("? [a]\n: 1\n", 1),
            ("<<: 5\n", 1),
            ("a: !js/regexp x\n", 1),
        ];
        for (text, line) in table {
            let bad = read(text).unwrap_err();
            assert_eq!(bad.place.unwrap().0, line, "{text}: {bad}");
        }
    }

    #[test]
    fn aliases_of_aliases_and_nesting_have_an_end() {
        let mut text = String::from("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
        for at in 1..12 {
            let many = vec![format!("*a{}", at - 1); 10].join(",");
            writeln!(text, "a{at}: &a{at} [{many}]").unwrap();
        }
        assert!(read(&text).unwrap_err().what.contains("more than"));
        for deep in ["[".repeat(1000), "- ".repeat(1000), "{a: ".repeat(1000)] {
            assert!(read(&deep).unwrap_err().place.is_some());
        }
        let deep = read(&format!("{}x", "- ".repeat(DEEPEST + 2))).unwrap_err();
        assert!(deep.what.contains("nested"), "{deep}");
        // It would hold itself.
        assert!(read("a: &a [*a]\n").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_upsets_it(text in "\\PC{0,40}|[\\[\\]{},:'\"a0 .\n|>&*!<-]{0,60}") {
            let _ = read(&text); // it must only return
        }
    }
}
