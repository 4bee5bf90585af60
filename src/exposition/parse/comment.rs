//! The comments with a meaning: `# TYPE`, `# HELP`, `# UNIT`.

use super::line::word_len;
use crate::exposition::Format;

/// The content of a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comment<'a> {
    /// Name and type, as written.
    Type(&'a str, &'a str),
    /// Name and text, still escaped.
    Help(&'a str, &'a str),
    /// Name and unit.
    Unit(&'a str, &'a str),
    /// A comment without meaning.
    Other,
}

/// Parses a line that begins with `#`.
pub(super) fn comment(line: &str, format: Format) -> Comment<'_> {
    let strict = format == Format::OpenMetrics;
    let (hash, rest) = word(line, strict);
    let (keyword, rest) = word(rest, strict);
    let (name, rest) = word(rest, strict);
    match (hash, keyword) {
        ("#", "TYPE") if strict => Comment::Type(name, rest),
        ("#", "TYPE") => Comment::Type(name, rest.trim_end_matches([' ', '\t'])),
        ("#", "HELP") => Comment::Help(name, rest),
        ("#", "UNIT") if strict => Comment::Unit(name, rest),
        _ => Comment::Other,
    }
}

/// Splits off the next word and the blank, or blanks, after it.
fn word(text: &str, strict: bool) -> (&str, &str) {
    if strict {
        return text.split_once(' ').unwrap_or((text, ""));
    }
    let text = text.trim_start_matches([' ', '\t']);
    let (word, rest) = text.split_at(word_len(text));
    (word, rest.trim_start_matches([' ', '\t']))
}
