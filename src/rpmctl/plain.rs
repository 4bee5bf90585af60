//! Text that others chose, made harmless: it must not steer the terminal that shows it, nor look like lines of ours.
//!
//! What a runtime says is a [`Said`], which gives values only with plain texts, and JSON only with escapes. So no command can
//! forget it.

use std::borrow::Cow;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// What stands for a character that was taken out.
const INSTEAD: char = '?';

/// Whether a terminal may do more with it than show it: control characters (C0, DEL, C1), those that change the direction of
/// the text around them (Unicode, Bidi_Control), and separators of lines.
pub fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The letter itself if it is harmless.
fn shown(letter: char) -> char {
    match letter {
        '\t' => ' ',
        letter if is_harmful(letter) => INSTEAD,
        letter => letter,
    }
}

/// The text on one line.
pub fn plain(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// The text, whose lines stay lines.
pub fn lines(text: &str) -> Cow<'_, str> {
    let harmless = |letter: char| letter == '\n' || !is_harmful(letter);
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let kept = text.chars();
    let kept = kept.map(|letter| {
        if letter == '\n' {
            letter
        } else {
            shown(letter)
        }
    });
    Cow::Owned(kept.collect())
}

/// What a runtime has said: JSON.
#[derive(Debug)]
pub struct Said(Box<RawValue>);

impl From<Box<RawValue>> for Said {
    fn from(raw: Box<RawValue>) -> Self {
        Self(raw)
    }
}

impl Said {
    /// The value, whose texts are plain.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&plain_json(self.0.get()))
    }

    /// The value as it was said. Its texts may have anything, and a terminal must not get them.
    pub fn read_exactly<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.0.get())
    }
}

/// The same JSON, on one line of ASCII as far as letters are harmful: they are escaped.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.get();
        let mut rest = text;
        while let Some(at) = rest.find(is_harmful) {
            let (before, after) = rest.split_at(at);
            f.write_str(before)?;
            let mut letters = after.chars();
            // None of them needs two units of UTF-16. White space between values is no part of any text.
            match letters.next() {
                Some(' ' | '\t' | '\r' | '\n') | None => f.write_str(" ")?,
                Some(letter) => write!(f, "\\u{:04x}", u32::from(letter))?,
            }
            rest = letters.as_str();
        }
        f.write_str(rest)
    }
}

/// The JSON with plain texts. Outside of them, JSON has neither escapes nor letters that are harmful, but white space.
fn plain_json(text: &str) -> Cow<'_, str> {
    if text
        .chars()
        .all(|letter| letter != '\\' && !is_harmful(letter))
    {
        return Cow::Borrowed(text);
    }
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|letter| letter == '\\' || is_harmful(letter)) {
        let (before, after) = rest.split_at(at);
        made.push_str(before);
        let (letter, length) = match after.as_bytes() {
            [b'\\', b'u', ..] => (escaped(after), 6),
            [b'\\', b't', ..] => (Some('\t'), 2),
            [b'\\', b'n' | b'r' | b'b' | b'f', ..] => (Some('\n'), 2),
            [b'\\', ..] => (None, 2),
            [b' ' | b'\t' | b'\r' | b'\n', ..] => (Some(' '), 1),
            _ => (
                after.chars().next(),
                after.chars().next().map_or(1, char::len_utf8),
            ),
        };
        let (piece, next) = after.split_at_checked(length).unwrap_or((after, ""));
        match letter.map(|letter| (letter, shown(letter))) {
            Some((letter, shown)) if letter != shown || letter == ' ' => made.push(shown),
            _ => made.push_str(piece),
        }
        rest = next;
    }
    made.push_str(rest);
    Cow::Owned(made)
}

/// The letter of an escape with four digits; `None` for one half of a pair, which is of a harmless letter.
fn escaped(text: &str) -> Option<char> {
    let digits = text.get(2..6)?;
    u32::from_str_radix(digits, 16)
        .ok()
        .and_then(char::from_u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn said(json: &str) -> Said {
        Said(RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn what_steers_a_terminal_is_taken_out() {
        assert_eq!(plain("a\x1b[31mb\nc\u{9b}d é\te"), "a?[31mb?c?d é e");
        assert_eq!(plain("\u{202e}txt.exe\u{7f}"), "?txt.exe?");
        assert_eq!(lines("one\ntwo\r\x1b]0;x\x07"), "one\ntwo??]0;x?");
        assert_eq!(lines("é\n"), "é\n");
    }

    #[test]
    fn texts_of_a_value_are_plain_and_nothing_else_changes() {
        let table = [
            (r#"{"a":"x","b":1.5}"#, r#"{"a":"x","b":1.5}"#),
            (r#""\u001b[2J\n\t\"\\ \u00e9""#, r#""?[2J? \"\\ é""#),
            (r#""\\u001b""#, r#""\\u001b""#),
            (r#""\ud83d\ude00 \u202e""#, "\"\u{1f600} ?\""),
            ("\"\u{9b}\u{7f}\u{2066}\"", "\"???\""),
            ("[ 1,\n\t2 ]", "[1,2]"),
            (r#"{"k\u0007":null}"#, r#"{"k?":null}"#),
        ];
        for (json, expected) in table {
            let value: Value = said(json).read().unwrap();
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(value, expected, "{json}");
        }
    }

    #[test]
    fn json_is_shown_with_escapes() {
        assert_eq!(
            said("\"\u{9b}\u{7f}é\u{2066}\"").to_string(),
            "\"\\u009b\\u007fé\\u2066\""
        );
        assert_eq!(said("[1,\n2]").to_string(), "[1, 2]");
    }

    proptest! {
        #[test]
        fn any_text_is_harmless_and_as_json_it_is_the_same(text in any::<String>(), more in "[\\p{C}\\\\\"]*") {
            let text = text + &more;
            let json = serde_json::to_string(&[&text]).unwrap();
            let shown = said(&json).to_string();
            prop_assert!(!shown.contains(is_harmful));
            let back: [String; 1] = serde_json::from_str(&shown).unwrap();
            prop_assert_eq!(&back[0], &text);
            let read: [String; 1] = said(&json).read().unwrap();
            prop_assert_eq!(&read[0], &plain(&text));
            prop_assert!(!read[0].contains(is_harmful));
        }
    }
}
