//! Parses one sample line.

use super::limits::Fault;
use crate::exposition::model::{begins_name, closing_quote, name_len, unescape};
use crate::exposition::{Exemplar, Format, Labels, Limits, number};

/// Most characters in the labels of an exemplar, by OpenMetrics.
const EXEMPLAR_LETTERS: usize = 128;

/// The content of a sample line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Labels,
    pub(super) value: f64,
    pub(super) exemplar: Option<Box<Exemplar>>,
}

/// Parses a line that is neither empty nor a comment.
pub(super) fn read<'a>(line: &'a str, format: Format, limits: &Limits) -> Result<Line<'a>, Fault> {
    let mut reader = Reader {
        rest: line,
        strict: format == Format::OpenMetrics,
        limits,
    };
    let name = reader.name();
    if !begins_name(name) {
        return Err(Fault::Invalid);
    }
    if name.len() > limits.name {
        return Err(Fault::Limit);
    }
    if !reader.strict {
        reader.skip_blanks();
    }
    let labels = if reader.take('{') {
        reader.labels()?
    } else {
        // A blank or the labels must follow the name.
        if !reader.strict && line[name.len()..].len() == reader.rest.len() {
            return Err(Fault::Invalid);
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
    limits: &'l Limits,
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

    fn blank(&mut self) -> Result<(), Fault> {
        self.take(' ').then_some(()).ok_or(Fault::Invalid)
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

    fn number(&mut self) -> Result<f64, Fault> {
        number(self.word()).ok_or(Fault::Invalid)
    }

    /// Parses the labels after the opening brace, including the closing one.
    fn labels(&mut self) -> Result<Labels, Fault> {
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
                return Err(Fault::Invalid);
            }
            self.label_blanks();
            if !self.take('"') {
                return Err(Fault::Invalid);
            }
            let end = closing_quote(self.rest).ok_or(Fault::Invalid)?;
            let value = &self.rest[..end];
            self.rest = &self.rest[end + 1..];
            if pairs.len() == self.limits.labels
                || name.len() > self.limits.label_name
                || value.len() > self.limits.label_value
            {
                return Err(Fault::Limit);
            }
            pairs.push((name, unescape(value)));
            self.label_blanks();
            // A trailing comma is allowed, as in Prometheus.
            if !self.take(',') && !self.rest.starts_with('}') {
                return Err(Fault::Invalid);
            }
        }
        Labels::new(pairs).ok_or(Fault::Invalid)
    }

    fn label_blanks(&mut self) {
        if !self.strict {
            self.skip_blanks();
        }
    }

    /// Parses the optional timestamp of text 0.0.4 and the end of the line.
    fn milliseconds(&mut self) -> Result<(), Fault> {
        let word = self.word();
        if !word.is_empty() {
            word.parse::<i64>().map_err(|_| Fault::Invalid)?;
        }
        self.skip_blanks();
        self.end()
    }

    /// Parses the optional timestamp and exemplar of OpenMetrics and the end of the line.
    fn time_and_exemplar(&mut self) -> Result<Option<Exemplar>, Fault> {
        self.time(" # ")?;
        let exemplar = if self.rest.is_empty() {
            None
        } else {
            self.rest = self.rest.strip_prefix(" # {").ok_or(Fault::Invalid)?;
            let labels = self.labels()?;
            self.blank()?;
            let value = self.number()?;
            let timestamp = self.time("\n")?;
            let exemplar = Exemplar {
                labels,
                value,
                timestamp,
            };
            is_short(&exemplar).then_some(exemplar)
        };
        self.end()?;
        Ok(exemplar)
    }

    /// Parses a timestamp, unless `next` or the end follows.
    fn time(&mut self, next: &str) -> Result<Option<f64>, Fault> {
        if self.rest.is_empty() || self.rest.starts_with(next) {
            return Ok(None);
        }
        self.blank()?;
        let time = self.number()?;
        time.is_finite().then_some(Some(time)).ok_or(Fault::Invalid)
    }

    fn end(&self) -> Result<(), Fault> {
        self.rest.is_empty().then_some(()).ok_or(Fault::Invalid)
    }
}

/// Whether the exemplar may be written again. If not, only the exemplar is dropped, not its sample.
fn is_short(exemplar: &Exemplar) -> bool {
    let letters = exemplar
        .labels
        .iter()
        .map(|(name, value)| name.len() + value.chars().count());
    exemplar.value.is_finite() && letters.sum::<usize>() <= EXEMPLAR_LETTERS
}
