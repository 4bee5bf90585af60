//! Faults of the configuration, in words for users who do not know this program.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Maximal length of a value in a message, in characters.
const SHOWN: usize = 80;

/// Why a text is not a value. The setting is added in a [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong.
    pub what: String,
    /// What is accepted instead.
    pub accepted: String,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, accepted: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            accepted: accepted.into(),
        }
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The variable.
    pub name: String,
    /// Its value, quoted and shortened; `None` if it is missing.
    pub value: Option<String>,
    /// The file that contained the value.
    pub file: Option<PathBuf>,
    /// What is wrong.
    pub what: String,
    /// What is accepted instead.
    pub accepted: String,
}

impl Fault {
    /// Leaves out what a file holds, of `length` bytes: it may be a secret, or another file than was meant.
    pub(super) fn without_secrets(self, length: usize) -> Self {
        if self.file.is_none() {
            return self;
        }
        // What is said of the value quotes parts of it.
        let what = if self.what.contains('"') {
            format!("its content ({length} bytes, not shown) is none of the accepted values")
        } else {
            self.what
        };
        Self {
            value: None,
            what,
            ..self
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(value) = &self.value {
            write!(f, "={value}")?;
        }
        if let Some(file) = &self.file {
            write!(f, " (from {})", path(file))?;
        }
        write!(f, ": {}; accepted: {}", self.what, self.accepted)
    }
}

/// All faults (never empty) and all warnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// In the order of the settings.
    pub faults: Vec<Fault>,
    /// Warnings that a good configuration would have given too; they may explain the faults.
    pub warnings: Vec<String>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(
            f,
            "rpm-runtime: {count} fault{plural} in the configuration; nothing was started"
        )?;
        for fault in &self.faults {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

/// The text in quotes, on one line, printable, and cut if it is long.
pub(super) fn quote(text: impl AsRef<OsStr>) -> String {
    let bytes = text.as_ref().as_bytes();
    let mut out = String::from("\"");
    let mut left = SHOWN;
    let mut total = 0_usize;
    for chunk in bytes.utf8_chunks() {
        let good = chunk.valid().chars().map(Unit::Char);
        let bad = chunk.invalid().iter().map(|byte| Unit::Byte(*byte));
        for unit in good.chain(bad) {
            total += 1;
            if left > 0 {
                left -= 1;
                unit.push(&mut out);
            }
        }
    }
    out.push('"');
    if total > SHOWN {
        let _ = write!(out, "... ({total} characters)"); // a String takes everything
    }
    out
}

/// The text on one line and printable, otherwise unchanged.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}

/// A path for a message; with quotes only if it is long or has special characters.
pub(super) fn path(path: &Path) -> String {
    match path.to_str() {
        Some(text) if text.len() <= 4096 && plain(text) == text => text.to_owned(),
        _ => quote(path),
    }
}

enum Unit {
    Char(char),
    Byte(u8),
}

impl Unit {
    fn push(self, out: &mut String) {
        match self {
            Self::Char('\'') => out.push('\''),
            Self::Char(c) => out.extend(c.escape_debug()),
            Self::Byte(byte) => {
                let _ = write!(out, "\\x{byte:02x}"); // a String takes everything
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_on_one_line() {
        let table: [(&[u8], &str); 7] = [
            (b"abc", r#""abc""#),
            (b"", r#""""#),
            (b"it's", r#""it's""#),
            (b"a\nb\x1b[31m", r#""a\nb\u{1b}[31m""#),
            (b"a\"b\\", r#""a\"b\\""#),
            (b"\xff\xfe", r#""\xff\xfe""#),
            ("gr\u{fc}n \u{202e}".as_bytes(), "\"gr\u{fc}n \\u{202e}\""),
        ];
        for (bytes, expected) in table {
            assert_eq!(quote(OsStr::from_bytes(bytes)), expected);
        }
    }

    #[test]
    fn long_values_are_cut() {
        let quoted = quote("x".repeat(81));
        assert_eq!(quoted, format!("\"{}\"... (81 characters)", "x".repeat(80)));
        assert_eq!(quote("x".repeat(80)).len(), 82);
    }
}
