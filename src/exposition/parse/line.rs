//! Parses one sample line.

use super::limits::DropReason;
use crate::exposition::model::{begins_name, closing_quote, name_len, unescape};
use crate::exposition::{Exemplar, Format, Labels, PageLimits, parse_number};

/// The content of a sample line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Labels,
    pub(super) value: f64,
    pub(super) exemplar: Option<Box<Exemplar>>,
}

/// Parses a line that is neither empty nor a comment.
pub(super) fn read<'a>(
    line: &'a str,
    format: Format,
    limits: &PageLimits,
) -> Result<Line<'a>, DropReason> {
    let mut reader = Reader {
        rest: line,
        strict: format == Format::OpenMetrics,
        limits,
    };
    let name = reader.name();
    if !begins_name(name) {
        return Err(DropReason::Invalid);
    }
    if name.len() > limits.name {
        return Err(DropReason::Limit);
    }
    if !reader.strict {
        reader.skip_blanks();
    }
    let labels = if reader.take('{') {
        reader.labels()?
    } else {
        // A blank or the labels must follow the name.
        if !reader.strict && line[name.len()..].len() == reader.rest.len() {
            return Err(DropReason::Invalid);
        }
        Labels::default()
    };
    if reader.strict {
        reader.blank()?;
    }
    let value = reader.number()?;
    let exemplar = if reader.strict {
        reader.time_and_exemplar()?
    } else {
        reader.milliseconds()?;
        None
    };
    Ok(Line {
        name,
        labels,
        value,
        exemplar: exemplar.map(Box::new),
    })
}

/// Length up to the next blank.
pub(super) fn word_len(text: &str) -> usize {
    let end = text.bytes().position(|byte| matches!(byte, b' ' | b'\t'));
    end.unwrap_or(text.len())
}

struct Reader<'a, 'l> {
    rest: &'a str,
    /// Exactly one blank between two parts, and none elsewhere.
    strict: bool,
    limits: &'l PageLimits,
}

impl<'a> Reader<'a, '_> {
    /// The characters that may form a name; may be empty.
    fn name(&mut self) -> &'a str {
        let (name, rest) = self.rest.split_at(name_len(self.rest));
        self.rest = rest;
        name
    }

    fn take(&mut self, letter: char) -> bool {
        let rest = self.rest.strip_prefix(letter);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn blank(&mut self) -> Result<(), DropReason> {
        self.take(' ').then_some(()).ok_or(DropReason::Invalid)
    }

    /// The text up to the next blank.
    fn word(&mut self) -> &'a str {
        if !self.strict {
            self.skip_blanks();
        }
        let (word, rest) = self.rest.split_at(word_len(self.rest));
        self.rest = rest;
        word
    }

    fn number(&mut self) -> Result<f64, DropReason> {
        parse_number(self.word()).ok_or(DropReason::Invalid)
    }

    /// Parses the labels after the opening brace, including the closing one.
    fn labels(&mut self) -> Result<Labels, DropReason> {
        if let Some((labels, rest)) = Labels::as_written(self.rest, self.limits) {
            self.rest = rest;
            return Ok(labels);
        }
        let mut pairs = Vec::new();
        loop {
            self.label_blanks();
            if self.take('}') {
                break;
            }
            let name = self.name();
            self.label_blanks();
            if !self.take('=') {
                return Err(DropReason::Invalid);
            }
            self.label_blanks();
            if !self.take('"') {
                return Err(DropReason::Invalid);
            }
            let end = closing_quote(self.rest).ok_or(DropReason::Invalid)?;
            let value = &self.rest[..end];
            self.rest = &self.rest[end + 1..];
            if pairs.len() == self.limits.labels
                || name.len() > self.limits.label_name
                || value.len() > self.limits.label_value
            {
                return Err(DropReason::Limit);
            }
            pairs.push((name, unescape(value)));
            self.label_blanks();
            // A trailing comma is allowed, as in Prometheus.
            if !self.take(',') && !self.rest.starts_with('}') {
                return Err(DropReason::Invalid);
            }
        }
        Labels::new(pairs).ok_or(DropReason::Invalid)
    }

    fn label_blanks(&mut self) {
        if !self.strict {
            self.skip_blanks();
        }
    }

    /// Parses the optional timestamp of text 0.0.4 and the end of the line.
    fn milliseconds(&mut self) -> Result<(), DropReason> {
        let word = self.word();
        if !word.is_empty() {
            word.parse::<i64>().map_err(|_| DropReason::Invalid)?;
        }
        self.skip_blanks();
        self.end()
    }

    /// Parses the optional timestamp and exemplar of OpenMetrics and the end of the line.
    fn time_and_exemplar(&mut self) -> Result<Option<Exemplar>, DropReason> {
        self.time(" # ")?;
        let exemplar = if self.rest.is_empty() {
            None
        } else {
            self.rest = self.rest.strip_prefix(" # {").ok_or(DropReason::Invalid)?;
            let labels = self.labels()?;
            self.blank()?;
            let value = self.number()?;
            let timestamp = self.time("\n")?;
            let exemplar = Exemplar {
                labels,
                value,
                timestamp,
            };
            // Otherwise only the exemplar is dropped, not its sample.
            (exemplar.value.is_finite() && exemplar.is_short()).then_some(exemplar)
        };
        self.end()?;
        Ok(exemplar)
    }

    /// Parses a timestamp, unless `next` or the end follows.
    fn time(&mut self, next: &str) -> Result<Option<f64>, DropReason> {
        if self.rest.is_empty() || self.rest.starts_with(next) {
            return Ok(None);
        }
        self.blank()?;
        let time = self.number()?;
        time.is_finite()
            .then_some(Some(time))
            .ok_or(DropReason::Invalid)
    }

    fn end(&self) -> Result<(), DropReason> {
        self.rest
            .is_empty()
            .then_some(())
            .ok_or(DropReason::Invalid)
    }
}
