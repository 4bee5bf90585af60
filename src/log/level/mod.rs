//! The level that a line itself names: `INFO:     Started`, `[2026-11-30 12:00:00 +0000] [7] [INFO] Booting`,
//! `I1130 12:00:00.000000 7 main.go:5] ready`, `time=… level=info msg=…`.
//!
//! Programs write the level near the beginning, behind a time, names and brackets. So the line is read from its
//! beginning, over what may stand before a level, up to the first word of another kind. In plain text such as
//! `an error was found` the first word decides already that the line names no level. Where a word could be plain text,
//! the line has no level: a wrong level is worse than none.

mod prefix;
#[cfg(test)]
mod tests;
mod word;

/// How serious a line is. Names of other scales are brought to these six.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineLevel {
    /// Finer than debug.
    Trace,
    /// For developers; `verbose` too.
    Debug,
    /// Normal; `notice` too.
    Info,
    /// Unusual.
    Warn,
    /// Failed; `severe` too.
    Error,
    /// Worse than an error: `fatal`, `critical`, `alert`, `emergency`, `panic`.
    Fatal,
}

impl LineLevel {
    /// The level that `line` names, if it names one. Reads a bounded part of its beginning.
    pub fn of(line: &[u8]) -> Option<Self> {
        prefix::level(line)
    }

    /// The level that the word `name` alone names.
    pub fn named(name: &[u8]) -> Option<Self> {
        word::known(name).map(|(level, _)| level)
    }

    /// The level that `head` and `body` together name.
    pub fn of_two(head: &[u8], body: &[u8]) -> Option<Self> {
        if head.is_empty() {
            return Self::of(body);
        }
        let parts = [head, body].map(|part| part.get(..prefix::LONGEST).unwrap_or(part));
        Self::of(&parts.concat())
    }

    /// `"level":"…",`, with the words that lines of the runtime itself have.
    pub fn member(self) -> &'static str {
        match self {
            Self::Trace => r#""level":"trace","#,
            Self::Debug => r#""level":"debug","#,
            Self::Info => r#""level":"info","#,
            Self::Warn => r#""level":"warn","#,
            Self::Error => r#""level":"error","#,
            Self::Fatal => r#""level":"fatal","#,
        }
    }
}
