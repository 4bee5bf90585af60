//! The labels of a series, in the form in which they are written.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The labels of one series, ordered by name, none twice. An empty value is no label, as for Prometheus.
///
/// They are kept as they stand between the braces, escaped, in one piece of memory that clones share: there may be
/// hundreds of thousands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<str>);

impl Labels {
    /// From names and values in any order; `None` if a name is not one, or is there twice.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Option<Self> {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        pairs.sort_by(|(one, _), (other, _)| one.as_ref().cmp(other.as_ref()));
        let twice = pairs
            .windows(2)
            .any(|two| two[0].0.as_ref() == two[1].0.as_ref());
        if twice || !pairs.iter().all(|(name, _)| is_label_name(name.as_ref())) {
            return None;
        }
        Some(Self::sorted(
            pairs
                .iter()
                .map(|(name, value)| (name.as_ref(), value.as_ref())),
        ))
    }

    /// As they stand between the braces, in either format: `code="200",path="a\"b"`. Empty without labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        self.each().map(|label| (label.name, unescape(label.value)))
    }

    /// The value of one label.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.each()
            .find_map(|label| (label.name == name).then(|| unescape(label.value)))
    }

    /// With this label, whose name is a proper one of ours, in place of another of that name.
    #[must_use]
    pub fn with(&self, name: &'static str, value: &str) -> Self {
        debug_assert!(is_label_name(name), "{name}");
        let (before, behind) = self.around(name);
        let mut text = String::with_capacity(self.0.len() + name.len() + value.len() + 4);
        text.push_str(before);
        if !value.is_empty() {
            add(&mut text, name, value);
        }
        join(&mut text, behind);
        Self(text.into())
    }

    /// Without the label of that name.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let (before, behind) = self.around(name);
        if before.is_empty() || behind.is_empty() {
            return Self([before, behind].concat().into());
        }
        let mut text = before.to_owned();
        join(&mut text, behind);
        Self(text.into())
    }

    /// What stands before the place of a label, and behind it, without commas at the border.
    fn around(&self, name: &str) -> (&str, &str) {
        let text = &*self.0;
        let mut before = 0;
        for label in self.each() {
            if label.name >= name {
                let equal = label.name == name;
                let behind = &text[if equal { label.end } else { label.start }..];
                return (&text[..before], behind.strip_prefix(',').unwrap_or(behind));
            }
            before = label.end;
        }
        (text, "")
    }

    /// From pairs that are in order and whose names are good.
    fn sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = String::new();
        for (name, value) in pairs.filter(|(_, value)| !value.is_empty()) {
            add(&mut text, name, value);
        }
        Self(text.into())
    }

    /// The labels as they are written.
    fn each(&self) -> impl Iterator<Item = Written<'_>> {
        let text = &*self.0;
        let mut start = 0;
        std::iter::from_fn(move || {
            let rest = text.get(start..)?;
            let (name, behind) = rest.split_once("=\"")?;
            let value = &behind[..closing_quote(behind)?];
            let end = start + name.len() + 2 + value.len() + 1;
            let written = Written {
                start,
                name,
                value,
                end,
            };
            // A comma, or nothing more.
            start = end + 1;
            Some(written)
        })
    }
}

/// One label where it stands; its value is escaped.
struct Written<'a> {
    start: usize,
    name: &'a str,
    value: &'a str,
    end: usize,
}

impl Default for Labels {
    fn default() -> Self {
        Self("".into())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.0)
    }
}

/// Whether it may name a family or a sample. Quoted names, which are UTF-8, are not taken.
pub fn is_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let begins = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    bytes.next().is_some_and(begins) && bytes.all(|byte| begins(byte) || byte.is_ascii_digit())
}

/// Whether it may name a label. Names that begin with two underscores, such as `__name__`, are Prometheus' own.
pub fn is_label_name(name: &str) -> bool {
    !name.starts_with("__") && !name.contains(':') && is_metric_name(name)
}

/// Where the quote is that ends a value: the first that no backslash escapes.
pub(super) fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let found = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

/// Adds a label.
fn add(text: &mut String, name: &str, value: &str) {
    join(text, name);
    text.push_str("=\"");
    escape(text, value);
    text.push('"');
}

/// Adds what comes next, with a comma if there is something before it.
fn join(text: &mut String, next: &str) {
    if !text.is_empty() && !next.is_empty() {
        text.push(',');
    }
    text.push_str(next);
}

/// Adds `value` as it is written between quotes.
fn escape(text: &mut String, value: &str) {
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        text.push_str(&rest[..at]);
        text.push('\\');
        text.push_str(match rest.as_bytes()[at] {
            b'\n' => "n",
            b'"' => "\"",
            _ => "\\",
        });
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
}

/// What escaped text means; a backslash that escapes nothing known stands for itself.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => plain.push('\n'),
            Some(quoted @ ('\\' | '"')) => plain.push(quoted),
            other => {
                plain.push('\\');
                plain.extend(other);
            }
        }
    }
    Cow::Owned(plain)
}
