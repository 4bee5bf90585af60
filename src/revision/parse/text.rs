//! Texts that are shown.

use std::fmt::Write;

/// Maximal length of a text that is shown, bytes: it is part of a log line and of a label.
const MOST: usize = 256;

/// The text on one line, without blanks around it, cut if it is long; `None` if nothing is left.
pub fn tidy(text: &str) -> Option<String> {
    let text = text.trim();
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let mut text: String = text
        .chars()
        .take(MOST)
        .map(|c| if breaks(c) { '?' } else { c })
        .collect();
    text.truncate(text.floor_char_boundary(MOST));
    (!text.is_empty()).then_some(text)
}

/// The word in small letters, if it consists of hexadecimal digits.
pub(super) fn digits(word: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(word).ok()?;
    let good = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| text.to_ascii_lowercase())
}

/// The bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
