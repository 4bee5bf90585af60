//! Reads what may stand before a level, and decides whether a word is one.

use super::LineLevel;
use super::word::{self, Spelling};

/// Most bytes of a line that are looked at.
pub const LONGEST: usize = 192;
/// Number of bytes of a number that are checked together.
const STEP: usize = 8;
/// Most words that are looked at.
const MOST_WORDS: u8 = 16;
/// Most names that may stand between a time and a level, such as the name of a logger.
const MOST_NAMES: u8 = 2;

/// The level that the line names.
pub fn level(line: &[u8]) -> Option<LineLevel> {
    let line = line.get(..LONGEST).unwrap_or(line);
    match line {
        // sd-daemon(3), "SD_INFO": a priority of syslog in front of the text.
        [b'<', digit, b'>', ..] => return word::priority(*digit),
        // Ruby's Logger: `I, [2026-11-30T12:00:00.000000 #7]  INFO -- : text`. Tornado: `[I 261130 12:00:00 web:1] text`.
        [letter, b',', b' ', b'[', ..] | [b'[', letter, b' ', b'0'..=b'9', ..] => {
            return word::letter(*letter);
        }
        [letter, b'0'..=b'9', rest @ ..] if is_glog(rest) => return word::letter(*letter),
        // Erlang: `=INFO REPORT==== 30-Nov-2026::12:00:00 ===`.
        [b'=', rest @ ..] => return Prefix::new(rest).level(),
        _ => {}
    }
    Prefix::new(line).level()
}

/// What follows the first letter and digit of a line of glog or klog: `I1130 12:00:00.000000`, or with the year.
fn is_glog(rest: &[u8]) -> bool {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let time = rest.get(digits..).unwrap_or_default();
    matches!(digits, 3 | 7)
        && matches!(time, [b' ', a, b, b':', c, d, b':', ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()))
}

/// Reads the beginning of a line word by word.
struct Prefix<'a> {
    /// What was not read yet.
    rest: &'a [u8],
    /// A time or a bracket was read, so the line has fields before its text.
    fields: bool,
    /// In a bracket.
    inside: bool,
    /// Number of names outside of brackets.
    names: u8,
}

/// What a word turned out to be.
enum Word {
    Level(LineLevel),
    /// Something that may stand before a level.
    Passed,
    /// The text begins.
    Text,
}

impl<'a> Prefix<'a> {
    fn new(line: &'a [u8]) -> Self {
        Self {
            rest: line,
            fields: false,
            inside: false,
            names: 0,
        }
    }

    fn level(mut self) -> Option<LineLevel> {
        for at in 0..MOST_WORDS {
            self.separators();
            match self.rest.first()? {
                b'0'..=b'9' | b'+' => self.number(),
                byte if byte.is_ascii_alphabetic() => match self.word(at == 0) {
                    Word::Level(level) => return Some(level),
                    Word::Passed => {}
                    Word::Text => return None,
                },
                _ => return None,
            }
        }
        None
    }

    /// Skips blanks, brackets, punctuation between fields and colours.
    fn separators(&mut self) {
        while let Some((byte, rest)) = self.rest.split_first() {
            match byte {
                b' ' | b'\t' | b'\n' | b'-' | b'|' | b':' | b',' | b'#' => {}
                b'[' | b'(' | b'{' | b'<' => (self.inside, self.fields) = (true, true),
                b']' | b')' | b'}' | b'>' => self.inside = false,
                b'/' if self.inside => {}
                0x1b => {
                    self.rest = uncoloured(self.rest);
                    if self.rest.first() == Some(&0x1b) {
                        return;
                    }
                    continue;
                }
                _ => return,
            }
            self.rest = rest;
        }
    }

    /// Skips a time, a date, a number, or an identifier that begins with a digit.
    fn number(&mut self) {
        self.fields = true;
        let (steps, _) = self.rest.as_chunks::<STEP>();
        // No branch inside a step, so that the compiler uses vector instructions.
        let plain =
            |step: &&[u8; STEP]| step.iter().fold(true, |all, byte| all & is_numeric(*byte));
        let mut len = STEP * steps.iter().take_while(plain).count();
        while let Some(byte) = self.rest.get(len) {
            // Not the letter of Jetty's `12:00:00.000:INFO:name`.
            let glued = || {
                let before = len.checked_sub(1).and_then(|at| self.rest.get(at));
                byte.is_ascii_alphabetic() && before != Some(&b':')
            };
            if !(is_numeric(*byte) || *byte == b'_' || glued()) {
                break;
            }
            len += 1;
        }
        self.rest = self.rest.get(len..).unwrap_or_default();
    }

    fn word(&mut self, first: bool) -> Word {
        let len = self.rest.iter().take_while(|byte| is_name(**byte)).count();
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        if rest.first() == Some(&b'=') {
            return pairs(word, rest).map_or(Word::Text, Word::Level);
        }
        if let Some((level, spelling)) = word::known(word) {
            let capitals = !word.iter().any(u8::is_ascii_lowercase);
            let plain = spelling == Spelling::Any;
            let alone = self.inside && rest.first() == Some(&b']');
            if alone || ((capitals || plain) && self.ends_a_level(word, capitals, plain)) {
                return Word::Level(level);
            }
        }
        if self.inside || word::is_time(word) {
            self.fields = true;
            return Word::Passed;
        }
        match (word, rest) {
            // `PHP Warning:  text`, `npm error text`, `nginx: [warn] text`.
            (b"npm", [b' ', rest @ ..]) if first => npm(rest),
            (b"PHP", [b' ', ..]) | (_, [b':', b' ', ..]) if first => Word::Passed,
            _ if first && is_label(rest) => Word::Passed,
            _ if self.fields && self.names < MOST_NAMES => {
                self.names += 1;
                Word::Passed
            }
            _ => Word::Text,
        }
    }

    /// Whether what follows the word makes it a level. `plain` words need less.
    fn ends_a_level(&self, word: &[u8], capitals: bool, plain: bool) -> bool {
        let rest = uncoloured(self.rest);
        match rest {
            // The `[` is that of logrus on a terminal: `INFO[0000] text`.
            [] | [b'\n' | b'\r' | b'[', ..] => capitals,
            // In a bracket behind names it is text: `12:00 retrying (error: timeout)`.
            [b':', ..] if self.inside && self.names > 0 => false,
            [b':', after, ..] if !capitals => matches!(after, b' ' | b'\n' | b'\r'),
            [b':', b':', ..] => false,
            [b':' | b']' | b'|' | b'\t', ..] => true,
            [b')' | b'}' | b'>', ..] => self.inside,
            [b'/', ..] => self.inside && capitals,
            // Go and PHP.
            [b' ', b'e', b'r', b'r', b'o', b'r', b':', ..] => word.eq_ignore_ascii_case(b"fatal"),
            [b' ', padded @ ..] => {
                let after = padded.trim_ascii_start();
                let wide = padded.len() > after.len();
                match uncoloured(after) {
                    [b']' | b'|', ..] | [b'-', b' ' | b'-', ..] => true,
                    [b':' | b'[' | b'(' | b'<', ..] => capitals,
                    // A request.
                    [b'/', ..] if word == b"TRACE" => false,
                    _ if wide => capitals || self.fields,
                    _ => capitals && plain && self.names == 0,
                }
            }
            _ => false,
        }
    }
}

/// Digits, and the punctuation of times and numbers: `+` `,` `-` `.` `/` `:`.
fn is_numeric(byte: u8) -> bool {
    matches!(byte, b'+'..=b':')
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$' | b'-' | b'@')
}

/// Python's `%(name)-12s: %(levelname)-8s`: a padded name and a colon.
fn is_label(rest: &[u8]) -> bool {
    matches!(rest.trim_ascii_start(), [b':', b' ', ..])
}

/// npm writes `npm error text`, and `npm WARN text` before its version 10.
fn npm(rest: &[u8]) -> Word {
    let end = rest.iter().position(|byte| matches!(byte, b' ' | b'!'));
    let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    word::known(word).map_or(Word::Text, |(level, _)| Word::Level(level))
}

/// logfmt: the level of `key=value` pairs. `rest` begins at the `=` behind the first key.
fn pairs(first: &[u8], rest: &[u8]) -> Option<LineLevel> {
    let (mut key, mut rest) = (first, rest);
    loop {
        let value = rest.strip_prefix(b"=")?;
        let (text, after) = if let Some(quoted) = value.strip_prefix(b"\"") {
            let (text, after) = quoted.split_at_checked(closing_quote(quoted)?)?;
            (text, after.get(1..)?)
        } else {
            let end = value.iter().position(|byte| matches!(byte, b' ' | b'\t'));
            value.split_at_checked(end.unwrap_or(value.len()))?
        };
        if matches!(key, b"level" | b"lvl" | b"severity" | b"log.level") {
            return word::known(text).map(|(level, _)| level);
        }
        let next = after.trim_ascii_start();
        let len = next.iter().take_while(|byte| is_name(**byte)).count();
        (key, rest) = next.split_at_checked(len)?;
    }
}

/// Where the quote ends: a quote that no backslash escapes.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })
}

/// The text behind colours (ECMA-48, "Select graphic rendition"), if it begins with some.
fn uncoloured(mut text: &[u8]) -> &[u8] {
    while let [0x1b, b'[', rest @ ..] = text {
        let end = rest
            .iter()
            .position(|byte| !(byte.is_ascii_digit() || *byte == b';'));
        match end.and_then(|end| rest.get(end..)) {
            Some([b'm', rest @ ..]) => text = rest,
            _ => return text,
        }
    }
    text
}
