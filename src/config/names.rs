//! The names of variables: those of this version, those of a later one, those that workers get.

use super::types::Config;
use super::variables::GROUPS;

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// As if this had been written.
    Text(&'static str),
    /// Something worked out from other settings, in words.
    Computed(&'static str),
    /// Nothing.
    Unset,
}

/// One variable of this version.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its default.
    pub preset: Preset,
    /// One line for somebody who has not read the manual.
    pub help: &'static str,
    /// The value that holds, written so that it could be given again.
    pub show: fn(&Config) -> String,
}

/// The variables of this version, one after the other.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|(_, rows)| rows.iter())
}

/// The setting of that name.
pub(super) fn setting(name: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.name == name)
}

/// Where a name, or its `_FILE`, stands in the table; what is not in it stands in front.
pub(super) fn rank(name: &str) -> usize {
    let all = || {
        settings()
            .map(|setting| setting.name)
            .chain(LATER.iter().copied())
    };
    let file = name.strip_suffix("_FILE").unwrap_or(name);
    let at = |name: &str| all().position(|known| known == name);
    at(name).or_else(|| at(file)).map_or(0, |at| at + 1)
}

/// Known names that this version has no code for: setting one is a fault, since serving without the guard that was
/// asked for is worse. A name moves to the table with the code that obeys it.
pub const LATER: &[&str] = &[
    "RPM_APP_VERSION",
    "RPM_APP_REVISION",
    "RPM_STOP_MESSAGE",
    "RPM_HOME",
];

/// Variables that the runtime gives to workers: seen when one runtime runs inside another, and no setting.
pub(super) const GIVEN_TO_WORKERS: [&str; 3] = ["RPM_GENERATION", "RPM_INSTANCE", "RPM_WORKERS"];
