//! One app of an ecosystem file: its keys, read with the names and the types that pm2 takes.

use std::collections::BTreeSet;

use super::fault::quote;
use super::keys::{self, Key};
use super::value::{Map, Value, get, number_of};

/// One app of an ecosystem file.
pub struct App<'a> {
    map: &'a Map,
    /// The keys that were asked for, as the file writes them.
    used: BTreeSet<String>,
    /// Keys whose value pm2 takes as not set.
    pub unset: Vec<String>,
    /// What pm2 refuses.
    pub faults: Vec<String>,
}

impl<'a> App<'a> {
    /// An app of which no key was read yet.
    pub fn new(map: &'a Map) -> Self {
        Self {
            map,
            used: BTreeSet::new(),
            unset: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// The value of a key by any of its names, and the name that the file writes. As in pm2, the first value counts that
    /// JavaScript takes as true.
    pub fn raw(&mut self, name: &'static str) -> Option<(String, &'a Value)> {
        let key = keys::find(name)?;
        let written = spellings(key);
        let present: Vec<(String, &'a Value)> = written
            .into_iter()
            .filter_map(|name| get(self.map, &name).map(|value| (name, value)))
            .collect();
        let first = self.used.insert(name.to_owned());
        self.used
            .extend(present.iter().map(|(name, _)| name.clone()));
        if let Some(found) = present.iter().find(|(_, value)| value.is_truthy()) {
            return Some(found.clone());
        }
        let own = present
            .iter()
            .find(|(_, value)| **value != Value::Null && !key.forgets_false());
        if own.is_none() && first {
            self.unset
                .extend(present.iter().map(|(name, _)| name.clone()));
        }
        own.cloned()
    }

    /// The name under which the file writes the key.
    pub fn written(&mut self, name: &'static str) -> String {
        self.raw(name)
            .map_or_else(|| name.to_owned(), |(written, _)| written)
    }

    /// A number; texts of digits are numbers too.
    pub fn number(&mut self, name: &'static str) -> Option<f64> {
        let (written, value) = self.raw(name)?;
        let number = match value {
            Value::Number(number) => Some(*number),
            Value::Text(text) => number_of(text),
            _ => None,
        };
        if number.is_none() {
            self.refused(&written, value, "a number");
        }
        number
    }

    /// A number of milliseconds, rounded down, from 1.
    pub fn milliseconds(&mut self, name: &'static str) -> Option<u64> {
        let number = self.number(name)?;
        let whole = whole(number);
        if whole.is_none() {
            let (written, value) = self.raw(name)?;
            self.refused(&written, value, "a number of milliseconds");
        }
        whole.filter(|milliseconds| *milliseconds > 0)
    }

    /// A text.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        let (written, value) = self.raw(name)?;
        if let Value::Text(text) = value {
            return Some(text.clone());
        }
        self.refused(&written, value, "a text");
        None
    }

    /// true or false.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        let (written, value) = self.raw(name)?;
        if let Value::Bool(flag) = value {
            return Some(*flag);
        }
        self.refused(&written, value, "true or false");
        None
    }

    /// The words of an array, or of a text that pm2 splits.
    pub fn words(&mut self, name: &'static str) -> Option<Vec<String>> {
        let (written, value) = self.raw(name)?;
        match value {
            Value::List(values) => Some(values.iter().map(Value::text).collect()),
            Value::Text(text) => Some(split(text)),
            _ => {
                self.refused(&written, value, "an array or a text");
                None
            }
        }
    }

    /// Notes a value that pm2 refuses.
    pub fn refused(&mut self, written: &str, value: &Value, wanted: &str) {
        let shown = match value {
            Value::Text(text) => quote(text),
            Value::List(_) | Value::Map(_) => value.kind().to_owned(),
            other => other.text(),
        };
        self.fault(format!(
            "{written} is {shown}, and pm2 takes {wanted} here: it refuses the file"
        ));
    }

    /// Notes a fault, once.
    pub fn fault(&mut self, what: String) {
        if !self.faults.contains(&what) {
            self.faults.push(what);
        }
    }

    /// The keys that nobody asked for, in the order of the file.
    pub fn left(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let map: &'a Map = self.map;
        map.iter()
            .filter(|(name, _)| !self.used.contains(name))
            .map(|(name, value)| (name.as_str(), value))
    }

    /// The value of a key that has one name and no type, such as `env_production`.
    pub fn other(&mut self, name: &str) -> Option<&'a Value> {
        let map: &'a Map = self.map;
        self.used.insert(name.to_owned());
        get(map, name).filter(|value| **value != Value::Null)
    }
}

/// The names of a key, in the order in which pm2 looks for them.
fn spellings(key: &Key) -> Vec<String> {
    let mut all: Vec<String> = vec![key.name.to_owned()];
    all.extend(key.aliases.iter().map(|alias| (*alias).to_owned()));
    let camel = key.camel_case();
    if !all.contains(&camel) {
        all.push(camel);
    }
    all
}

/// A number without its fraction; `None` if it is negative or too large.
pub fn whole(number: f64) -> Option<u64> {
    let fits = (0.0..9_007_199_254_740_992.0).contains(&number);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the bounds are checked"
    )]
    let whole = number as u64;
    fits.then_some(whole)
}

/// Splits a text as pm2 does: at blanks; quotes keep what is between them, and are removed only if they stand around the
/// whole word.
pub fn split(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let length = word_length(rest);
        let (word, behind) = rest.split_at(length);
        let inner = ['"', '\'']
            .into_iter()
            .find_map(|mark| word.strip_prefix(mark)?.strip_suffix(mark));
        let word = inner.unwrap_or(word);
        if !word.trim().is_empty() {
            words.push(word.to_owned());
        }
        rest = behind.trim_start();
    }
    words
}

/// The length of the first word, in bytes. It is `NAME="..."`, `"..."` or everything up to a blank.
fn word_length(text: &str) -> usize {
    let plain = text
        .find(|c: char| c.is_whitespace() || "\"'=".contains(c))
        .unwrap_or(text.len());
    let behind = text.get(plain..).unwrap_or_default();
    let assigned = if plain > 0 {
        behind.strip_prefix('=')
    } else {
        None
    };
    let opening = plain + usize::from(assigned.is_some());
    let quoted = text.get(opening..).unwrap_or_default();
    let closed = ['"', '\''].into_iter().find_map(|mark| {
        let inside = quoted.strip_prefix(mark)?;
        inside.find(mark).map(|end| opening + end + 2)
    });
    if let Some(end) = closed
        && (assigned.is_some() || plain == 0)
    {
        return end;
    }
    text.find(char::is_whitespace).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    fn map(text: &str) -> Map {
        match json::read(text) {
            Ok(Value::Map(map)) => map,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_are_read_by_any_name_and_with_pm2s_types() {
        let map = map(
            "{exec: 'a.js', instances: '4', waitReady: true, args: ['x', 5, true], watch: false, kill_timeout: 0, \
                       max_restarts: null, listenTimeout: '3000.7', other: 1}",
        );
        let mut app = App::new(&map);
        assert_eq!(app.text("script").as_deref(), Some("a.js"));
        assert_eq!(app.written("script"), "exec");
        assert_eq!(app.number("instances"), Some(4.0));
        assert_eq!(app.flag("wait_ready"), Some(true));
        assert_eq!(app.words("args").unwrap(), ["x", "5", "true"]);
        assert_eq!(app.flag("watch"), Some(false));
        assert_eq!(app.milliseconds("kill_timeout"), None);
        assert_eq!(app.number("max_restarts"), None);
        assert_eq!(app.milliseconds("listen_timeout"), Some(3000));
        assert_eq!(app.unset, ["kill_timeout", "max_restarts"]);
        assert!(app.faults.is_empty(), "{:?}", app.faults);
        let left: Vec<&str> = app.left().map(|(name, _)| name).collect();
        assert_eq!(left, ["other"]);
    }

    #[test]
    fn what_pm2_refuses_is_a_fault_once() {
        let map =
            map("{name: 5, kill_timeout: '3s', autorestart: 'no', args: 3, listen_timeout: -1}");
        let mut app = App::new(&map);
        for _ in 0..2 {
            assert_eq!(app.text("name"), None);
            assert_eq!(app.milliseconds("kill_timeout"), None);
            assert_eq!(app.flag("autorestart"), None);
            assert_eq!(app.words("args"), None);
            assert_eq!(app.milliseconds("listen_timeout"), None);
        }
        assert_eq!(app.faults.len(), 5, "{:?}", app.faults);
        assert_eq!(
            app.faults.get(1).map(String::as_str),
            Some("kill_timeout is \"3s\", and pm2 takes a number here: it refuses the file")
        );
    }

    /// Compared with `process.argv` under pm2 6.0.14.
    #[test]
    fn texts_are_split_as_pm2_splits_them() {
        let table: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("  a  b ", &["a", "b"]),
            (
                "--x=\"a b\" 'c d' \"e f\" g=h",
                &["--x=\"a b\"", "c d", "e f", "g=h"],
            ),
            ("--y='a b'", &["--y='a b'"]),
            ("'' x", &["x"]),
            ("it's here", &["it's", "here"]),
            ("\"open b", &["\"open", "b"]),
            ("=x", &["=x"]),
        ];
        for (text, words) in table {
            assert_eq!(split(text), words, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn splitting_loses_nothing_but_blanks_and_quotes(text in "[a-c='\" ]{0,30}") {
            let kept = |text: &str| text.chars().filter(char::is_ascii_lowercase).count();
            let words = split(&text);
            proptest::prop_assert_eq!(words.iter().map(|word| kept(word)).sum::<usize>(), kept(&text));
        }
    }
}
