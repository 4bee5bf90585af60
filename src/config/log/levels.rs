//! RPM_LOG_LEVEL: which of the runtime's own log lines are written.

use std::fmt;

use crate::config::faults::{Wrong, quote};
use crate::config::grammar::list;
use crate::model::Word;

/// Every target begins with the name of this crate.
const ROOT: &str = "rpm_runtime";

/// Which of the runtime's own lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// No lines.
    Off,
    /// Events that need an operator.
    Error,
    /// Also events that may need an operator.
    Warn,
    /// Also all decisions.
    Info,
    /// Also the reasons for decisions.
    Debug,
    /// Everything.
    Trace,
}

impl Word for Level {
    const ALL: &'static [Self] = &[
        Self::Off,
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// RPM_LOG_LEVEL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// The level of all targets that are not listed.
    pub default: Level,
    /// Levels of modules and their submodules, each once; the longest matching path applies.
    pub targets: Vec<(String, Level)>,
}

fn accepted() -> String {
    format!(
        "off, error, warn, info, debug or trace; or directives separated by commas: one such level for everything, \
         and TARGET=LEVEL, where TARGET is {ROOT} or a module below it, such as info,{ROOT}::supervisor=debug"
    )
}

/// RPM_LOG_LEVEL as it was written: the default level may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) default: Option<Level>,
    pub(super) targets: Vec<(String, Level)>,
}

impl fmt::Display for Directives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = self.default.iter().map(|level| level.word().to_owned());
        let targets = self.targets.iter();
        let targets = targets.map(|(target, level)| format!("{target}={}", level.word()));
        f.write_str(&default.chain(targets).collect::<Vec<_>>().join(","))
    }
}

/// RPM_LOG_LEVEL.
pub(super) fn directives(text: &str) -> Result<Directives, Wrong> {
    let mut found = Directives::default();
    let mut complaints = Vec::new();
    let mut blank = true;
    for part in list(text) {
        blank = false;
        if let Err(what) = entry(part, &mut found) {
            complaints.push(format!("{} {what}", quote(part)));
        }
    }
    if blank {
        complaints.push("is blank".to_owned());
    }
    if complaints.is_empty() {
        Ok(found)
    } else {
        Err(Wrong::new(complaints.join(", "), accepted()))
    }
}

fn entry(text: &str, found: &mut Directives) -> Result<(), String> {
    if text.contains(['[', ']', '{', '}']) {
        return Err("filters by spans or fields, which the runtime's lines do not have".to_owned());
    }
    let Some((target, value)) = text.split_once('=') else {
        let level = match Level::from_word(text) {
            Some(level) => level,
            None if is_target(text) => return Err(format!("names no level; {text}=debug does")),
            None => return Err("is neither a level nor TARGET=LEVEL".to_owned()),
        };
        if found.default.replace(level).is_some() {
            return Err("is a second level for everything".to_owned());
        }
        return Ok(());
    };
    let (target, value) = (target.trim(), value.trim());
    if !is_target(target) {
        let target = quote(target);
        return Err(format!(
            "is for {target}, which no line of the runtime is from"
        ));
    }
    let level =
        Level::from_word(value).ok_or_else(|| format!("has the unknown level {}", quote(value)))?;
    if found.targets.iter().any(|(other, _)| other == target) {
        return Err(format!("is a second level for {target}"));
    }
    found.targets.push((target.to_owned(), level));
    Ok(())
}

/// Whether the text is `rpm_runtime` or one of its modules.
fn is_target(text: &str) -> bool {
    let mut names = text.split("::");
    let is_module = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    names.next() == Some(ROOT) && names.all(is_module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets() {
        let table = [
            ("debug", "debug"),
            (" WARN ", "warn"),
            ("off,", "off"),
            (
                "rpm_runtime::config = debug , error",
                "error,rpm_runtime::config=debug",
            ),
            (
                "rpm_runtime=trace,rpm_runtime::config::b_2=off",
                "rpm_runtime=trace,rpm_runtime::config::b_2=off",
            ),
        ];
        for (text, shown) in table {
            let read = directives(text).unwrap();
            assert_eq!(read.to_string(), shown);
            assert_eq!(directives(shown), Ok(read), "{shown}");
        }
    }

    #[test]
    fn what_is_no_directive() {
        let stranger = |text: &str, target: &str| {
            let what = "which no line of the runtime is from";
            (
                text.to_owned(),
                format!("\"{text}\" is for \"{target}\", {what}"),
            )
        };
        let other = |text: &str, what: &str| (text.to_owned(), what.to_owned());
        let spans = "filters by spans or fields, which the runtime's lines do not have";
        let table = [
            other(" , ", "is blank"),
            other("loud", "\"loud\" is neither a level nor TARGET=LEVEL"),
            other("3", "\"3\" is neither a level nor TARGET=LEVEL"),
            other(
                "info,rpm_runtime::config",
                "\"rpm_runtime::config\" names no level; rpm_runtime::config=debug does",
            ),
            other("info,warn", "\"warn\" is a second level for everything"),
            stranger("hyper=debug", "hyper"),
            stranger("port=debug", "port"),
            stranger("=debug", ""),
            stranger(&format!("{ROOT}::=debug"), &format!("{ROOT}::")),
            stranger("rpm_runtimes=debug", "rpm_runtimes"),
            stranger("rpm-runtime=debug", "rpm-runtime"),
            other(
                "rpm_runtime=loud",
                "\"rpm_runtime=loud\" has the unknown level \"loud\"",
            ),
            other(
                "rpm_runtime=info,rpm_runtime=warn",
                "\"rpm_runtime=warn\" is a second level for rpm_runtime",
            ),
            other(
                "rpm_runtime[reload]=debug",
                &format!("\"rpm_runtime[reload]=debug\" {spans}"),
            ),
            other("[{slot}]", &format!("\"[{{slot}}]\" {spans}")),
            other(
                "loud,port=debug",
                "\"loud\" is neither a level nor TARGET=LEVEL, \"port=debug\" is for \"port\", which no line of the \
                 runtime is from",
            ),
        ];
        for (text, complaint) in table {
            assert_eq!(directives(&text).unwrap_err().what, complaint, "{text}");
        }
    }
}
