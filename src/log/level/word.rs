//! The words that name a level.

use super::LineLevel::{self, Debug, Error, Fatal, Info, Trace, Warn};
use Spelling::{Any, Capitals};

/// How a word must be written to name a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// In any case.
    Any,
    /// In capitals only, because it is also a word of plain text, such as `FINE`.
    Capitals,
}

/// Longest word of the table, bytes.
const LONGEST: usize = 11;

/// The words, in small letters; the most common first.
const WORDS: [(&[u8], LineLevel, Spelling); 33] = [
    (b"info", Info, Any),
    (b"warning", Warn, Any),
    (b"warn", Warn, Any),
    (b"error", Error, Any),
    (b"debug", Debug, Any),
    (b"notice", Info, Any),
    (b"trace", Trace, Any),
    (b"fatal", Fatal, Any),
    (b"critical", Fatal, Any),
    (b"inf", Info, Any),
    (b"wrn", Warn, Any),
    (b"err", Error, Any),
    (b"dbg", Debug, Any),
    (b"trc", Trace, Any),
    (b"ftl", Fatal, Any),
    (b"pnc", Fatal, Any),
    (b"crit", Fatal, Any),
    (b"fail", Error, Any),
    (b"dbug", Debug, Any),
    (b"trce", Trace, Any),
    (b"log", Info, Capitals),
    (b"note", Info, Capitals),
    (b"severe", Error, Any),
    (b"config", Debug, Capitals),
    (b"fine", Debug, Capitals),
    (b"finer", Trace, Capitals),
    (b"finest", Trace, Capitals),
    (b"verbose", Debug, Any),
    (b"silly", Trace, Any),
    (b"alert", Fatal, Any),
    (b"emerg", Fatal, Any),
    (b"panic", Fatal, Any),
    (b"information", Info, Any),
];

/// For each length of a word: its possible first letters, one bit each. Most words of plain text end here.
const FIRST_LETTERS: [u32; LONGEST + 1] = {
    let mut letters = [0; LONGEST + 1];
    let mut at = 0;
    while at < WORDS.len() {
        let word = WORDS[at].0;
        letters[word.len()] |= 1 << (word[0] - b'a');
        at += 1;
    }
    letters
};

/// The level that `word` names.
pub fn known(word: &[u8]) -> Option<(LineLevel, Spelling)> {
    // PostgreSQL has DEBUG1 to DEBUG5.
    let word = match word {
        [word @ .., b'1'..=b'5'] => word,
        _ => word,
    };
    let first = word.first()?.to_ascii_lowercase().checked_sub(b'a')?;
    let letters = FIRST_LETTERS.get(word.len())?;
    if letters.checked_shr(first.into())? & 1 == 0 {
        return None;
    }
    let mut found = WORDS.iter().filter(|(known, ..)| known.len() == word.len());
    let (_, level, spelling) = found.find(|(known, ..)| known.eq_ignore_ascii_case(word))?;
    Some((*level, *spelling))
}

/// The level of a priority of syslog(3), from 0.
pub fn priority(digit: u8) -> Option<LineLevel> {
    match digit {
        b'0'..=b'2' => Some(Fatal),
        b'3' => Some(Error),
        b'4' => Some(Warn),
        b'5' | b'6' => Some(Info),
        b'7' => Some(Debug),
        _ => None,
    }
}

/// The level of the letter with which glog, klog, Tornado and Ruby's Logger begin a line.
pub fn letter(letter: u8) -> Option<LineLevel> {
    match letter {
        b'D' => Some(Debug),
        b'I' => Some(Info),
        b'W' => Some(Warn),
        b'E' => Some(Error),
        b'F' | b'C' => Some(Fatal),
        _ => None,
    }
}

/// Whether the word is a part of a time or of a date: a month, a day, a half of the day, a zone.
pub fn is_time(word: &[u8]) -> bool {
    matches!(
        word,
        b"Jan"
            | b"Feb"
            | b"Mar"
            | b"Apr"
            | b"May"
            | b"Jun"
            | b"Jul"
            | b"Aug"
            | b"Sep"
            | b"Oct"
            | b"Nov"
            | b"Dec"
            | b"Mon"
            | b"Tue"
            | b"Wed"
            | b"Thu"
            | b"Fri"
            | b"Sat"
            | b"Sun"
            | b"AM"
            | b"PM"
            | b"UTC"
            | b"GMT"
            | b"CET"
            | b"CEST"
            | b"Z"
    )
}
