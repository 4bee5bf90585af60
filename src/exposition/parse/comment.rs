//! The comments with a meaning: `# TYPE`, `# HELP`, `# UNIT`.

use super::line::word_len;
use crate::exposition::{Format, MetricType};

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
pub(super) fn kind(word: &str, format: Format) -> Option<MetricType> {
    let found = match word {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "summary" => MetricType::Summary,
        "unknown" => MetricType::Unknown,
        word => return rare(word, format),
    };
    Some(found)
}

fn rare(word: &str, format: Format) -> Option<MetricType> {
    match format {
        Format::OpenMetrics => match word {
            "gaugehistogram" => Some(MetricType::GaugeHistogram),
            "info" => Some(MetricType::Info),
            "stateset" => Some(MetricType::StateSet),
            _ => None,
        },
        Format::Text => {
            // Older programs write types in capitals.
            match &*word.to_ascii_lowercase() {
                "untyped" => Some(MetricType::Unknown),
                lower if lower != word => kind(lower, format),
                _ => None,
            }
        }
    }
}
