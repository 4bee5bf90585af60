//! What is wrong with an ecosystem file, in words.

use std::fmt;

/// A text that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadText {
    /// Line and column, both from 1, if they are known.
    pub place: Option<(usize, usize)>,
    /// What is wrong there.
    pub what: String,
}

impl BadText {
    /// Something at a line and column, both from 1.
    pub fn at(line: usize, column: usize, what: impl Into<String>) -> Self {
        Self {
            place: Some((line, column)),
            what: one_line(&what.into()),
        }
    }

    /// Something with the whole text.
    pub fn whole(what: impl Into<String>) -> Self {
        Self {
            place: None,
            what: one_line(&what.into()),
        }
    }
}

impl fmt::Display for BadText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// The text on one line, without control characters: what a file holds must not begin a line of the output.
pub fn one_line(text: &str) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.chars().map(|c| if odd(c) { ' ' } else { c }).collect()
}

/// The text on one line, in quotes, and cut if it is long.
pub fn quote(text: &str) -> String {
    const SHOWN: usize = 60;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if text.chars().count() > SHOWN {
        "..."
    } else {
        ""
    };
    format!("\"{}\"{more}", one_line(&shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_on_their_line() {
        let bad = BadText::at(3, 9, "a\nRPM_X=1\u{2028}b");
        assert_eq!(bad.to_string(), "line 3, column 9: a RPM_X=1 b");
        assert_eq!(quote("a\nb"), "\"a b\"");
        assert_eq!(quote(&"x".repeat(70)), format!("\"{}\"...", "x".repeat(60)));
    }
}
