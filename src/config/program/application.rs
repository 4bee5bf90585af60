//! The name of the application, its version and its revision.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::Program;
use crate::config::environment::Source;
use crate::config::faults::Wrong;
use crate::config::grammar::breaks_lines;
use crate::config::reader::{Reader, Value};
use crate::config::setting::{Preset, Setting};
use crate::config::show;
use crate::model::{AppInfo, Found};

pub(super) const APP_NAME: Setting<String> = Setting {
    name: "RPM_APP_NAME",
    default: Preset::Computed(
        "base name of the command; for Node, the name in the nearest package.json",
    ),
    help: "name in logs and status",
    doc: "The name of the application in log lines (formats `prefix` and `json`), in `/status`, in metrics and in the \
          variable `name` of each worker. If the command is `node`, `nodejs`, `npm`, `npx`, `pnpm` or `yarn`, with or without a path, \
          the default is the `name` in the nearest package.json of the working directory or above it; a command in `sh -c` \
          is not looked into. For other commands, and without that file, it is the base name of the command.",
    parse: app_name,
    show: show::text,
};

pub(super) const APP_VERSION: Setting<String> = Setting {
    name: "RPM_APP_VERSION",
    default: Preset::Computed("org.opencontainers.image.version, APP_VERSION, or package.json"),
    help: "version of the application, in status and metrics",
    doc: "The version of the application, which `/status`, the metric `rpm_app_info` and the first line of the log show. If it is \
          unset, it is looked for, and the first that is found counts:\n\n\
          1. the variables `org.opencontainers.image.version` and `APP_VERSION`, if the value has a digit (`dev` and `unknown` do not count);\n\
          2. `version` in the nearest package.json of the working directory or above it.\n\n\
          [How files are looked for](admin.md#version-and-revision-of-the-application).",
    parse: short_text,
    show: show::text,
};

pub(super) const APP_REVISION: Setting<String> = Setting {
    name: "RPM_APP_REVISION",
    default: Preset::Computed("a variable such as GIT_COMMIT, or the commit in .git or .hg"),
    help: "commit of the application, in status and metrics",
    doc: "The commit that the application was made from, shown beside `RPM_APP_VERSION`. If it is unset, it is looked for, and the first that \
          is found counts:\n\n\
          1. the variables `org.opencontainers.image.revision`, `APP_REVISION`, `GIT_COMMIT`, `GIT_COMMIT_SHA`, `GIT_SHA`, `COMMIT_SHA`, \
          `SOURCE_COMMIT`, `VCS_REF`, `IMAGE_REVISION` and `OPENSHIFT_BUILD_COMMIT`, in this order, if the value is a commit: 7 to 64 \
          hexadecimal digits, also with a suffix such as `-dirty`;\n\
          2. the commit that is checked out in the nearest `.git` or `.hg` of the working directory or above it, and its branch.\n\n\
          The files are read again at each reload. [How they are looked for](admin.md#version-and-revision-of-the-application).",
    parse: short_text,
    show: show::text,
};

/// Variables that images are built with, in the order in which they count.
const VERSIONS: [&str; 2] = ["org.opencontainers.image.version", "APP_VERSION"];
const REVISIONS: [&str; 10] = [
    "org.opencontainers.image.revision",
    "APP_REVISION",
    "GIT_COMMIT",
    "GIT_COMMIT_SHA",
    "GIT_SHA",
    "COMMIT_SHA",
    "SOURCE_COMMIT",
    "VCS_REF",
    "IMAGE_REVISION",
    "OPENSHIFT_BUILD_COMMIT",
];

/// Commands whose application is that of package.json.
const NODE: [&str; 6] = ["node", "nodejs", "npm", "npx", "pnpm", "yarn"];

/// Maximal length of RPM_APP_NAME, bytes: it is part of every prefixed line.
const NAME_BYTES: usize = 64;

/// Maximal length of a version and of a revision, bytes.
const TEXT_BYTES: usize = 256;

/// What is configured of the application, and what its files told at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Application {
    pub(super) name: String,
    /// From a variable.
    pub(super) version: Option<String>,
    /// From a variable.
    pub(super) revision: Option<String>,
    pub(super) found: Found,
}

impl Program {
    /// What is shown of the application if its files tell `found`.
    pub fn app(&self, found: &Found) -> AppInfo {
        let package = found.package.as_ref();
        let checkout = found.checkout.as_ref();
        // The branch in the files may be another one than that of a commit in a variable.
        let checkout = checkout.filter(|_| self.app_revision.is_none());
        AppInfo {
            name: self.app_name.clone(),
            version: self
                .app_version
                .clone()
                .or_else(|| package?.version.clone()),
            revision: self
                .app_revision
                .clone()
                .or_else(|| checkout?.revision.clone()),
            branch: checkout.and_then(|checkout| checkout.branch.clone()),
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, argv: Option<&[OsString]>) -> Value<Application> {
    let found = (reader.input().found)();
    let name = name(reader, argv, &found);
    let version = version(reader, &found);
    let revision = revision(reader, &found);
    Ok(Application {
        name: name?,
        version: version?,
        revision: revision?,
        found,
    })
}

fn name(reader: &mut Reader<'_>, argv: Option<&[OsString]>, found: &Found) -> Value<String> {
    if let Some(name) = reader.given(&APP_NAME)? {
        return Ok(name);
    }
    // Without a command there is already an error for the command.
    let command = argv.and_then(|argv| argv.first());
    let command = command.map(|program| base_name(program));
    let command = command.unwrap_or_default();
    let package = found
        .package
        .as_ref()
        .filter(|_| NODE.contains(&command.as_str()));
    let of_package = package.and_then(|package| {
        let name = package.name.as_deref()?;
        Some((shortened(name), format!("name in {}", package.file)))
    });
    let (name, note) = match of_package {
        Some((name, note)) => (name, Some(note)),
        None => (command, None),
    };
    reader.settle(&APP_NAME, &name, note);
    Ok(name)
}

fn version(reader: &mut Reader<'_>, found: &Found) -> Value<Option<String>> {
    let given = given(reader, &APP_VERSION, &VERSIONS, |text| {
        text.bytes().any(|byte| byte.is_ascii_digit())
    })?;
    if given.is_none()
        && let Some(package) = &found.package
        && let Some(version) = &package.version
    {
        let note = format!("version in {}", package.file);
        reader.settle(&APP_VERSION, version, Some(note));
    }
    Ok(given)
}

fn revision(reader: &mut Reader<'_>, found: &Found) -> Value<Option<String>> {
    let given = given(reader, &APP_REVISION, &REVISIONS, is_commit)?;
    if given.is_none()
        && let Some(checkout) = &found.checkout
    {
        let place = &checkout.place;
        let branch = checkout.branch.as_ref();
        let branch = branch.map_or_else(String::new, |branch| format!(", branch {branch}"));
        let fault = checkout.fault.as_ref();
        let fault = fault.map_or_else(String::new, |fault| format!(": {fault}"));
        let note = format!("from {place}{branch}{fault}");
        match &checkout.revision {
            Some(revision) => reader.settle(&APP_REVISION, revision, Some(note)),
            None => reader.note(&APP_REVISION, note),
        }
    }
    Ok(given)
}

/// The setting, or the first of the variables `others` whose value counts.
fn given(
    reader: &mut Reader<'_>,
    setting: &Setting<String>,
    others: &[&'static str],
    counts: fn(&str) -> bool,
) -> Value<Option<String>> {
    if let Some(given) = reader.given(setting)? {
        return Ok(Some(given));
    }
    let vars = &reader.input().vars;
    let value = |name: &str| {
        let (_, value) = vars.iter().find(|(known, _)| known == name)?;
        short_text(value.to_str()?).ok().filter(|text| counts(text))
    };
    let found = others.iter().find_map(|name| Some((*name, value(name)?)));
    Ok(found.map(|(name, value)| {
        reader.settle(setting, &value, Some(format!("from {name}")));
        reader.set_source(setting, Source::Environment);
        value
    }))
}

/// Whether it is the name of a commit, whole or short, also with a suffix. Images whose build did not know the commit
/// hold all kinds of words in its place.
fn is_commit(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    (7..=64).contains(&(text.len() - rest.len()))
        && (rest.is_empty() || rest.starts_with(['-', '+', '.', ' ']))
}

fn app_name(text: &str) -> Result<String, Wrong> {
    on_one_line(text, NAME_BYTES, "1 to 64 bytes")
}

fn short_text(text: &str) -> Result<String, Wrong> {
    on_one_line(text, TEXT_BYTES, "1 to 256 bytes")
}

fn on_one_line(text: &str, most: usize, length: &str) -> Result<String, Wrong> {
    let text = text.trim();
    let what = if text.is_empty() {
        "is blank".to_owned()
    } else if text.len() > most {
        format!("is {} bytes long", text.len())
    } else if text.chars().any(breaks_lines) {
        "holds a control character or a line break".to_owned()
    } else {
        return Ok(text.to_owned());
    };
    let accepted = format!("{length} of text on one line, without control characters");
    Err(Wrong::new(what, accepted))
}

/// The last part of the program's path, with characters that are safe in a log line.
fn base_name(program: &OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or(program);
    shortened(&name.to_string_lossy())
}

fn shortened(name: &str) -> String {
    let mut name: String = name
        .chars()
        .map(|c| if breaks_lines(c) { '?' } else { c })
        .collect();
    name.truncate(name.floor_char_boundary(NAME_BYTES));
    name
}

#[cfg(test)]
mod tests;
