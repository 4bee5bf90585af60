//! The comments with a meaning: `# TYPE`, `# HELP`, `# UNIT`.

use super::line::word_len;
use crate::exposition::{Format, Kind};

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

/// The kind that `word` means in this format.
pub(super) fn kind(word: &str, format: Format) -> Option<Kind> {
    let found = match word {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        "summary" => Kind::Summary,
        "unknown" => Kind::Unknown,
        word => return rare(word, format),
    };
    Some(found)
}

fn rare(word: &str, format: Format) -> Option<Kind> {
    match format {
        Format::OpenMetrics => match word {
            "gaugehistogram" => Some(Kind::GaugeHistogram),
            "info" => Some(Kind::Info),
            "stateset" => Some(Kind::StateSet),
            _ => None,
        },
        Format::Text004 => {
            // Older programs write types in capitals.
            match &*word.to_ascii_lowercase() {
                "untyped" => Some(Kind::Unknown),
                lower if lower != word => kind(lower, format),
                _ => None,
            }
        }
    }
}
