//! Values as text that the grammar accepts.
#![expect(
    clippy::ptr_arg,
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "the form of Setting::show: a reference to the value"
)]

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::faults::plain;
use crate::model::Sig;
use crate::policy::Bytes;

/// The text for a missing value.
pub(super) const NOTHING: &str = "-";

pub(super) fn nothing() -> String {
    NOTHING.to_owned()
}

/// The value on one line.
pub(super) fn text(value: &impl Display) -> String {
    plain(&value.to_string())
}

/// The value on one line, or `word` if there is none.
pub(super) fn or(value: Option<&impl Display>, word: &str) -> String {
    value.map_or_else(|| word.to_owned(), text)
}

pub(super) fn or_off(value: &Option<impl Display>) -> String {
    or(value.as_ref(), "off")
}

pub(super) fn path(path: &PathBuf) -> String {
    let path: &Path = path;
    plain(&path.to_string_lossy())
}

/// The parts of a list, separated by commas.
pub(super) fn list(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() {
        nothing()
    } else {
        parts.join(",")
    }
}

pub(super) fn codes(codes: &Vec<u8>) -> String {
    list(codes.iter().map(ToString::to_string))
}

/// In the largest unit that gives a whole number.
pub(super) fn duration(value: &Duration) -> String {
    let milliseconds = value.as_millis();
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let fits = |(_, size): &&(&str, u128)| milliseconds.is_multiple_of(*size);
    match units.iter().find(fits) {
        _ if milliseconds == 0 => "0s".to_owned(),
        Some((unit, size)) => format!("{}{unit}", milliseconds / size),
        None => format!("{milliseconds}ms"),
    }
}

pub(super) fn signal(sig: &Sig) -> String {
    sig.short_name()
}

/// A number of bytes that fits into memory.
pub(super) fn size(bytes: &usize) -> String {
    u64::try_from(*bytes).map_or_else(|_| bytes.to_string(), |bytes| Bytes(bytes).to_string())
}
