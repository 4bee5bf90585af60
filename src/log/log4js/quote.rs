//! Strings and names as `util.inspect` quotes them.

use std::fmt::Write;

/// Longest string that is shown, in UTF-16 units as JavaScript counts.
const LONGEST: usize = 10_000;
/// A string of at most this length is not split at its newlines.
const SHORT: usize = 16;

/// The length in JavaScript.
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// The number of columns. Wide and combining characters count as one.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

/// A string inside a value, in quotes. A long one is split at its newlines.
pub fn string(text: &str, indentation: usize, line: usize) -> String {
    let mut rest = units(text);
    let mut text = text;
    let mut trailer = String::new();
    if rest > LONGEST {
        let mut taken = 0;
        let end = text.char_indices().find(|(_, letter)| {
            taken += letter.len_utf16();
            taken > LONGEST
        });
        text = end.and_then(|(at, _)| text.get(..at)).unwrap_or(text);
        let more = rest - LONGEST;
        let s = if more > 1 { "s" } else { "" };
        trailer = format!("... {more} more character{s}");
        rest = LONGEST;
    }
    if rest <= SHORT || rest + indentation + 4 <= line {
        return quoted(text) + &trailer;
    }
    let lines: Vec<String> = text.split_inclusive('\n').map(quoted).collect();
    let lines = lines.join(&format!(" +\n{}", " ".repeat(indentation + 2)));
    lines + &trailer
}

/// The name of a member.
pub fn key(name: &str) -> String {
    let plain = |(at, letter): (usize, char)| {
        letter == '_' || letter.is_ascii_alphabetic() || (at > 0 && letter.is_ascii_digit())
    };
    if name == "__proto__" {
        "['__proto__']".to_owned()
    } else if !name.is_empty() && name.char_indices().all(plain) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// In single quotes if possible, else in those that need no backslash.
fn quoted(text: &str) -> String {
    let quote = match text {
        _ if !text.contains('\'') => '\'',
        _ if !text.contains('"') => '"',
        _ if !text.contains('`') && !text.contains("${") => '`',
        _ => '\'',
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for letter in text.chars() {
        match letter {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '\'' if quote == '\'' => out.push_str("\\'"),
            letter if letter.is_control() => {
                // Writing to a String does not fail.
                let _ = write!(out, "\\x{:02X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push(quote);
    out
}
