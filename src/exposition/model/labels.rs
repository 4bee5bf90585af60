//! The labels of a series, in the form in which they are written.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::exposition::PageLimits;

/// No labels. Shared, because most gauges have none.
static NONE: LazyLock<Labels> = LazyLock::new(|| Labels("".into()));

/// The labels of one series, sorted by name, without duplicates. As in Prometheus, an empty value means no label.
///
/// They are stored escaped, as between the braces, in one allocation that clones share: there may be hundreds of
/// thousands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<str>);

impl Labels {
    /// From names and values in any order. `None` if a name is invalid or occurs twice.
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

    /// Parses the text after an opening brace if it is already in the stored form: sorted, nothing escaped, no blanks.
    /// Most programs write like this, and it saves parsing each label. Also returns the text after the closing brace.
    pub(in crate::exposition) fn as_written<'a>(
        text: &'a str,
        limits: &PageLimits,
    ) -> Option<(Self, &'a str)> {
        let (mut last, mut at) = ("", 0);
        for _ in 0..limits.labels {
            let rest = &text[at..];
            let (name, behind) = rest.split_at(rest.bytes().position(|byte| byte == b'=')?);
            let value = behind.strip_prefix("=\"")?;
            let end = value
                .bytes()
                .position(|byte| matches!(byte, b'"' | b'\\'))?;
            if value.as_bytes()[end] != b'"'
                || !(1..=limits.label_value).contains(&end)
                || name.len() > limits.label_name
                || name <= last
                || !is_label_name(name)
            {
                return None;
            }
            at += name.len() + 2 + end + 1;
            match text.as_bytes().get(at)? {
                b'}' => return Some((Self(text[..at].into()), &text[at + 1..])),
                b',' => at += 1,
                _ => return None,
            }
            last = name;
        }
        None
    }

    /// The text between the braces, in either format: `code="200",path="a\"b"`. Empty without labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there are no labels.
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

    /// Returns these labels with `name` set to `value`, replacing a label of that name. `name` must be valid.
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

    /// Returns these labels without the label of that name.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        self.without_or(name, &NONE)
    }

    /// As [`Self::without`], but returns a clone of `same` if the result equals it.
    #[must_use]
    pub(crate) fn without_or(&self, name: &str, same: &Self) -> Self {
        let (before, behind) = self.around(name);
        let comma = if before.is_empty() || behind.is_empty() {
            ""
        } else {
            ","
        };
        let rest = same.0.strip_prefix(before);
        let rest = rest.and_then(|rest| rest.strip_prefix(comma));
        if rest == Some(behind) {
            return same.clone();
        }
        Self([before, comma, behind].concat().into())
    }

    /// The text before and after the place of a label, without commas at the border.
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

    /// From sorted pairs with valid names.
    fn sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        let lengths = pairs.clone().map(|(name, value)| name.len() + value.len());
        let mut text = String::with_capacity(lengths.map(|both| both + 4).sum());
        for (name, value) in pairs.filter(|(_, value)| !value.is_empty()) {
            add(&mut text, name, value);
        }
        Self(text.into())
    }

    /// The labels as written.
    fn each(&self) -> impl Iterator<Item = Written<'_>> {
        let text = &*self.0;
        let mut start = 0;
        std::iter::from_fn(move || {
            let rest = text.get(start..)?;
            let (name, behind) = rest.split_at(rest.bytes().position(|byte| byte == b'=')?);
            let behind = behind.strip_prefix("=\"")?;
            let value = &behind[..closing_quote(behind)?];
            let end = start + name.len() + 2 + value.len() + 1;
            let written = Written {
                start,
                name,
                value,
                end,
            };
            // A comma follows, or the end.
            start = end + 1;
            Some(written)
        })
    }
}

/// One label and its position in the text; the value is escaped.
struct Written<'a> {
    start: usize,
    name: &'a str,
    value: &'a str,
    end: usize,
}

impl Default for Labels {
    fn default() -> Self {
        NONE.clone()
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.0)
    }
}

/// Whether `name` is valid for a family or a sample. Quoted UTF-8 names are not accepted.
pub fn is_metric_name(name: &str) -> bool {
    begins_name(name) && name_len(name) == name.len()
}

/// Whether the first character may begin a name.
pub(in crate::exposition) fn begins_name(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|byte| !byte.is_ascii_digit())
}

/// Length of the prefix that consists of name characters.
pub(in crate::exposition) fn name_len(text: &str) -> usize {
    const PART: [bool; 256] = {
        let mut part = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            part[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
            byte += 1;
        }
        part
    };
    let end = text.bytes().position(|byte| !PART[usize::from(byte)]);
    end.unwrap_or(text.len())
}

/// Whether `name` is valid for a label. Names with two leading underscores, such as `__name__`, are reserved by
/// Prometheus.
pub fn is_label_name(name: &str) -> bool {
    !name.starts_with("__") && !name.contains(':') && is_metric_name(name)
}

/// Position of the quote that ends a value: the first one that is not escaped.
pub(in crate::exposition) fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let found = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

/// Appends a label.
fn add(text: &mut String, name: &str, value: &str) {
    join(text, name);
    text.push_str("=\"");
    escape(text, value);
    text.push('"');
}

/// Appends `next`, after a comma if the text is not empty.
fn join(text: &mut String, next: &str) {
    if !text.is_empty() && !next.is_empty() {
        text.push(',');
    }
    text.push_str(next);
}

/// Appends `value`, escaped for use between quotes.
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

/// Unescapes a text. An unknown escape stands for itself, backslash included.
pub(in crate::exposition) fn unescape(text: &str) -> Cow<'_, str> {
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

#[cfg(test)]
mod tests;
