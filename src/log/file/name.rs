//! File names: of per-worker log files, and of rotated files, which contain the time of their rotation.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::SystemTime;

use chrono::{DateTime, Datelike, Timelike, Utc};

use crate::model::SlotId;

/// The file of one worker: replaces each `{slot}` in `template` by the slot number.
pub fn expand(template: &str, slot: SlotId) -> PathBuf {
    template.replace("{slot}", &slot.to_string()).into()
}

/// A UTC second, written as `20261122T044012Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    year: u16,
    /// Month, day, hour, minute, second.
    rest: [u8; 5],
}

impl Stamp {
    /// A time before 1970 becomes 1970. A time after 9999 becomes the last second of that year.
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.unwrap_or_default().as_secs();
        let time = i64::try_from(seconds)
            .ok()
            .and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0))
            .filter(|time| time.year() <= 9999);
        let Some(time) = time else {
            return Self {
                year: 9999,
                rest: [12, 31, 23, 59, 59],
            };
        };
        let rest = [
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
        ];
        Self {
            year: u16::try_from(time.year()).unwrap_or(0),
            rest: rest.map(|part| u8::try_from(part).unwrap_or(0)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = |from: usize, to: usize| {
            let part = text.get(from..to)?;
            let plain = part.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| part.parse::<u16>().ok()).flatten()
        };
        let part = |from, least, most| {
            let value = u8::try_from(digits(from, from + 2)?).ok()?;
            (least..=most).contains(&value).then_some(value)
        };
        let framed = text.len() == 16 && text.get(8..9) == Some("T") && text.ends_with('Z');
        framed.then_some(Self {
            year: digits(0, 4)?,
            rest: [
                part(4, 1, 12)?,
                part(6, 1, 31)?,
                part(9, 0, 23)?,
                part(11, 0, 59)?,
                part(13, 0, 59)?,
            ],
        })
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [month, day, hour, minute, second] = self.rest;
        let year = self.year;
        write!(
            f,
            "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"
        )
    }
}

/// One rotated file, plain or compressed. Ordered by the time of rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// When it was rotated.
    pub stamp: Stamp,
    /// Number of the rotation within that second, from 0.
    pub number: u32,
}

impl Turn {
    /// `NAME.20261122T044012Z` or `NAME.20261122T044012Z.1`, with the suffix of the form.
    pub fn file_name(self, base: &OsStr, form: Form) -> OsString {
        let Self { stamp, number } = self;
        let number = match number {
            0 => String::new(),
            number => format!(".{number}"),
        };
        let mut name = base.to_owned();
        name.push(format!(".{stamp}{number}{}", form.ending()));
        name
    }
}

/// The form of a rotated file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Not compressed.
    Plain,
    /// Completely compressed.
    Packed,
    /// Being compressed, or left unfinished by an earlier process.
    Unfinished,
}

impl Form {
    fn ending(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Packed => ".gz",
            Self::Unfinished => ".gz.tmp",
        }
    }
}

/// Parses `name` as a rotated file of `base`; `None` if it is not one of ours.
pub fn parse(base: &OsStr, name: &OsStr) -> Option<(Turn, Form)> {
    let rest = name.as_bytes().strip_prefix(base.as_bytes())?;
    let rest = str::from_utf8(rest.strip_prefix(b".")?).ok()?;
    let stamp = Stamp::parse(rest.get(..16)?)?;
    let rest = rest.get(16..)?;
    let forms = [Form::Unfinished, Form::Packed, Form::Plain];
    let (rest, form) = forms
        .into_iter()
        .find_map(|form| Some((rest.strip_suffix(form.ending())?, form)))?;
    let number = match rest.strip_prefix('.') {
        None if rest.is_empty() => 0,
        None => return None,
        Some(digits) => {
            let number = digits.parse().ok()?;
            // Rejects `+1`, `01` and `0`, which are never written.
            (number > 0 && format!("{number}") == digits).then_some(number)?
        }
    };
    Some((Turn { stamp, number }, form))
}

/// What to do with the rotated files of one log file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files to remove.
    pub remove: Vec<(Turn, Form)>,
    /// Files to compress, the oldest first.
    pub pack: Vec<Turn>,
}

/// Keeps the newest `retain` files. Removes the others, and unfinished files of an earlier process. If a plain file
/// exists next to its compressed form, the plain one is trusted and compressed again.
pub fn plan(found: &[(Turn, Form)], retain: Option<usize>, compress: bool) -> Plan {
    let mut turns: BTreeMap<Turn, Vec<Form>> = BTreeMap::new();
    for (turn, form) in found {
        turns.entry(*turn).or_default().push(*form);
    }
    // An unfinished file does not count as a file to keep.
    let whole = |forms: &[Form]| forms.iter().any(|form| *form != Form::Unfinished);
    let many = turns.values().filter(|forms| whole(forms)).count();
    let mut beyond = retain.map_or(0, |retain| many.saturating_sub(retain));
    let mut plan = Plan::default();
    for (turn, mut forms) in turns {
        forms.sort_unstable();
        let goes = whole(&forms) && beyond > 0;
        beyond -= usize::from(goes);
        for form in &forms {
            if goes || *form == Form::Unfinished {
                plan.remove.push((turn, *form));
            }
        }
        if compress && !goes && forms.contains(&Form::Plain) {
            plan.pack.push(turn);
        }
    }
    plan
}

#[cfg(test)]
mod tests;
