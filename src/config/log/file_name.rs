//! RPM_LOG_FILE, RPM_LOG_ERROR_FILE: the name of one file, or a name pattern with one file per worker. RPM_LOG_OWN_FILE:
//! the name of one file.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::config::faults::Wrong;
use crate::config::grammar::breaks_lines;
use crate::model::SlotId;

const ACCEPTED: &str = "the path of a file, such as /var/log/app.log, or of one for each worker, such as app-{slot}.log";

const ACCEPTED_OWN: &str = "the path of a file, such as /var/log/rpm-runtime.log";

const SLOT: &str = "{slot}";

/// A path that may contain `{slot}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    text: String,
}

impl FileName {
    /// Whether each worker has its own file.
    pub fn has_slot(&self) -> bool {
        self.text.contains(SLOT)
    }

    /// The file of the worker in that slot.
    pub fn path(&self, slot: SlotId) -> PathBuf {
        PathBuf::from(self.text.replace(SLOT, &slot.to_string()))
    }

    /// The path with `{slot}` as it is written.
    pub fn template(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Parses RPM_LOG_FILE and RPM_LOG_ERROR_FILE. Different ways to write one path become the same.
pub(super) fn file_name(text: &str) -> Result<FileName, Wrong> {
    let path = Path::new(text);
    let named = path.file_name().is_some() && !text.ends_with("/.");
    let what = if text.trim().is_empty() {
        "is blank"
    } else if text.chars().any(breaks_lines) {
        "holds a control character or a line break"
    } else if text.replace(SLOT, "").contains(['{', '}']) {
        "holds a brace that is not of {slot}"
    } else if text.ends_with('/') || !named {
        "names a directory"
    } else if is_ours(path) {
        "is an output of the runtime itself, which gets every line without it"
    } else {
        let parts = path.components().filter(|part| *part != Component::CurDir);
        let path: PathBuf = parts.collect();
        return path
            .into_os_string()
            .into_string()
            .map(|text| FileName { text })
            .map_err(|_| Wrong::new("is not UTF-8 text", ACCEPTED));
    };
    Err(Wrong::new(what, ACCEPTED))
}

/// Parses RPM_LOG_OWN_FILE.
pub(super) fn own_file(text: &str) -> Result<FileName, Wrong> {
    let name = file_name(text).map_err(|wrong| Wrong::new(wrong.what, ACCEPTED_OWN))?;
    if name.has_slot() {
        let what = "holds {slot}, but the runtime's own lines belong to no slot";
        return Err(Wrong::new(what, ACCEPTED_OWN));
    }
    Ok(name)
}

/// Whether the path is an output of the runtime: every line would be written twice, and it cannot be rotated.
fn is_ours(path: &Path) -> bool {
    let names = ["/dev/stdout", "/dev/stderr"];
    let places = ["/dev/fd", "/proc/self/fd", "/proc/1/fd"];
    names.iter().any(|name| path == Path::new(name))
        || places.iter().any(|place| path.starts_with(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let table = [
            ("/var/log/app.log", "/var/log/app.log", "/var/log/app.log"),
            ("app.log", "app.log", "app.log"),
            ("./logs//a/./b.log", "logs/a/b.log", "logs/a/b.log"),
            ("../app.log", "../app.log", "../app.log"),
            (
                "/l/{slot}/{slot}.log",
                "/l/{slot}/{slot}.log",
                "/l/12/12.log",
            ),
            ("a b,c", "a b,c", "a b,c"),
            ("/dev/null", "/dev/null", "/dev/null"),
        ];
        for (text, template, path) in table {
            let name = file_name(text).unwrap();
            assert_eq!(name.to_string(), template);
            assert_eq!(name.template(), template);
            assert_eq!(name.path(SlotId(12)), Path::new(path));
            assert_eq!(name.has_slot(), template.contains("slot"));
            assert_eq!(file_name(template), Ok(name));
        }
    }

    #[test]
    fn what_is_no_name_of_a_file() {
        let brace = "holds a brace that is not of {slot}";
        let ours = "is an output of the runtime itself, which gets every line without it";
        let table = [
            (" ", "is blank"),
            ("a\nb", "holds a control character or a line break"),
            ("app-{worker}.log", brace),
            ("app-{slot.log", brace),
            ("app-{{slot}}.log", brace),
            ("app}.log", brace),
            ("{SLOT}", brace),
            ("/var/log/", "names a directory"),
            ("/", "names a directory"),
            (".", "names a directory"),
            ("logs/.", "names a directory"),
            ("logs/..", "names a directory"),
            ("/dev/stdout", ours),
            ("/dev//stderr", ours),
            ("/proc/self/fd/1", ours),
            ("/dev/fd/2", ours),
        ];
        for (text, complaint) in table {
            assert_eq!(file_name(text).unwrap_err().what, complaint, "{text:?}");
            let own = own_file(text).unwrap_err();
            assert_eq!(
                (own.what.as_str(), own.accepted.as_str()),
                (complaint, ACCEPTED_OWN)
            );
        }
    }

    #[test]
    fn the_runtime_has_one_file() {
        assert_eq!(own_file("./a//b.log").unwrap().template(), "a/b.log");
        let wrong = own_file("/l/{slot}.log").unwrap_err();
        assert_eq!(
            wrong.what,
            "holds {slot}, but the runtime's own lines belong to no slot"
        );
    }
}
