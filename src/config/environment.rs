//! Reads settings from the environment: finds the variables that are settings, reads those that come from files, and
//! finds misspelt names.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::faults::{Fault, path, plain, quote};
use super::nearest::nearest;
use crate::model::{Found, worker_vars};
use crate::policy::CpuBudget;

const PREFIX: &str = "RPM_";

/// The names with our prefix that tell a worker who it is, each with the setting that one who sets it probably means.
const NUMBERS: [(&str, Option<&str>); 3] = [
    (worker_vars::INSTANCE.name, Some("RPM_INSTANCES")),
    (worker_vars::WORKERS.name, Some("RPM_INSTANCES")),
    (worker_vars::GENERATION.name, None),
];

/// All inputs of the configuration.
pub struct Input<'a> {
    /// The environment, in its order.
    pub vars: Vec<(OsString, OsString)>,
    /// The words of the command, without the runtime's own options.
    pub args: Vec<OsString>,
    /// The input of RPM_INSTANCES=max.
    pub cpus: CpuBudget,
    /// The memory limit of the container, bytes; `None` if there is none.
    pub memory: Option<u64>,
    /// Reads a `NAME_FILE` and RPM_ENV_FILE.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// Reads what the files of the application tell of it. Called once, and only if the program is to be started.
    pub found: &'a dyn Fn() -> Found,
}

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Not set.
    Default,
    /// The variable.
    Environment,
    /// The file in `NAME_FILE`.
    File(PathBuf),
    /// The words after the options.
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment => f.write_str("environment"),
            Self::File(file) => write!(f, "file {}", path(file)),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// The settings in the environment, as text.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// By name without `RPM_`, in lower case. Unset and empty variables are left out.
    by_key: BTreeMap<String, String>,
    /// The sources of the texts.
    pub(super) sources: BTreeMap<&'static str, Source>,
    /// Names of variables that are set but not readable as text.
    pub(super) broken: BTreeSet<&'static str>,
    /// Names of variables that are set but replaced by the command line.
    pub(super) overruled: BTreeSet<&'static str>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<String>,
}

impl Texts {
    /// Reads the settings with these names. The first of two variables with one name applies, as in getenv(3).
    pub(super) fn read(input: &Input<'_>, names: &[&'static str]) -> Self {
        let mut found = Self::default();
        let mut ours: BTreeMap<&OsStr, &OsStr> = BTreeMap::new();
        for (name, value) in &input.vars {
            if !name.as_bytes().starts_with(PREFIX.as_bytes()) {
                continue;
            }
            if ours.contains_key(name.as_os_str()) {
                found.warnings.push(format!(
                    "{} is in the environment more than once; the first value counts",
                    plain(&name.to_string_lossy())
                ));
            } else {
                ours.insert(name, value);
            }
        }
        ours.retain(|_, value| !value.is_empty());
        // A runtime gives all of them to its workers, and nobody else does.
        let nested = NUMBERS
            .iter()
            .all(|(name, _)| ours.contains_key(OsStr::new(name)));
        for (name, value) in &ours {
            match NUMBERS.iter().find(|(number, _)| name == number) {
                Some((name, meant)) if !nested => found.unread(name, *meant),
                Some(_) => {}
                None => found.complain(name, value, names),
            }
        }
        let mut pairs = Vec::new();
        for name in names {
            if let Some(text) = found.text_of(name, names, &ours, input.read_file) {
                pairs.push(((*name).to_owned(), text));
            }
        }
        match envy::prefixed(PREFIX).from_iter(pairs) {
            Ok(texts) => found.by_key = texts,
            Err(error) => found.faults.push(Fault {
                name: "RPM_*".to_owned(),
                value: None,
                file: None,
                what: format!("cannot be taken from the environment: {error}"),
                accepted: "text".to_owned(),
            }),
        }
        found
    }

    /// The text of a setting; `None` if it is unset, empty or broken.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.by_key.get(&key(name)).map(String::as_str)
    }

    /// Marks a setting as replaced by the command line.
    pub(super) fn overrule(&mut self, name: &'static str) {
        if self.by_key.remove(&key(name)).is_some() {
            self.overruled.insert(name);
        }
    }

    /// Reports a variable that is given to workers and not read.
    fn unread(&mut self, name: &str, meant: Option<&str>) {
        let hint = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        self.warnings.push(format!(
            "{name} is set by the runtime for each worker, and the value that it has here is ignored{hint}"
        ));
    }

    /// Reports a name that is not a setting of this version.
    fn complain(&mut self, name: &OsStr, value: &OsStr, names: &[&'static str]) {
        let Some(text) = name.to_str() else {
            self.warnings.push(format!(
                "{} is not a known variable and is ignored",
                quote(name)
            ));
            return;
        };
        let base = text.strip_suffix("_FILE");
        let known = |name: &str| names.contains(&name);
        if known(text) || is_service_link(text, value) {
            return;
        }
        if base.is_some_and(known) {
            return;
        }
        let candidates = || names.iter().copied();
        let hint = nearest(text, candidates())
            .map(str::to_owned)
            .or_else(|| nearest(base?, candidates()).map(|candidate| format!("{candidate}_FILE")));
        let hint = hint.map_or_else(String::new, |hint| format!("; did you mean {hint}?"));
        self.warnings.push(format!(
            "{} is not a known variable and is ignored{hint}",
            plain(text)
        ));
    }

    /// The text of one setting, from the variable or from its file. A setting is no file of another one
    /// (RPM_LOG_OWN_FILE, RPM_LOG_OWN).
    fn text_of(
        &mut self,
        name: &'static str,
        names: &[&'static str],
        ours: &BTreeMap<&OsStr, &OsStr>,
        read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Option<String> {
        let file_name = format!("{name}_FILE");
        let direct = ours.get(OsStr::new(name)).copied();
        let file = ours
            .get(OsStr::new(&file_name))
            .copied()
            .filter(|_| !names.contains(&file_name.as_str()));
        let broken = |value: &OsStr, what: String, accepted: &str| Fault {
            name: file_name.clone(),
            value: Some(quote(value)),
            file: None,
            what,
            accepted: accepted.to_owned(),
        };
        let (bytes, source) = match (direct, file) {
            (None, None) => return None,
            (Some(_), Some(file)) => {
                let what = format!("{name} is set too");
                return self.broken(name, broken(file, what, "one of the two"));
            }
            (Some(value), None) => (value.as_bytes().to_vec(), Source::Environment),
            (None, Some(file)) => match read_file(Path::new(file)) {
                Ok(bytes) => (without_newline(bytes), Source::File(PathBuf::from(file))),
                Err(error) => {
                    let what = format!("the file cannot be read: {error}");
                    let fault = broken(file, what, "the path of a readable file");
                    return self.broken(name, fault);
                }
            },
        };
        if bytes.is_empty() {
            return None;
        }
        let (value, what) = match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => {
                self.sources.insert(name, source);
                return Some(text);
            }
            Ok(text) => (OsString::from(text), "holds a NUL byte"),
            Err(error) => (
                OsStr::from_bytes(error.as_bytes()).to_owned(),
                "is not UTF-8 text",
            ),
        };
        let file = match source {
            Source::File(file) => Some(file),
            _ => None,
        };
        let fault = Fault {
            name: name.to_owned(),
            file,
            ..broken(&value, what.to_owned(), "UTF-8 text without NUL bytes")
        };
        self.broken(name, fault.without_secrets(value.len()))
    }

    /// Records that a setting is set to something that is not text.
    fn broken(&mut self, name: &'static str, fault: Fault) -> Option<String> {
        self.broken.insert(name);
        self.faults.push(fault);
        None
    }
}

/// The name of a setting in the form that envy uses.
fn key(name: &str) -> String {
    name.strip_prefix(PREFIX)
        .unwrap_or(name)
        .to_ascii_lowercase()
}

/// Removes the newline that editors add at the end of a file.
fn without_newline(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

/// Whether Kubernetes adds this variable for a Service named `rpm` or `rpm-something`: `RPM_SERVICE_HOST`,
/// `RPM_SERVICE_PORT_HTTP`, `RPM_PORT=tcp://...`, `RPM_PORT_80_TCP_ADDR`.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    let service = |pair: &[&str]| matches!(pair, ["SERVICE", "HOST" | "PORT"]);
    let port = |four: &[&str]| matches!(four, ["PORT", number, "TCP" | "UDP" | "SCTP"] if number.parse::<u16>().is_ok());
    let url = [&b"tcp://"[..], b"udp://", b"sctp://"];
    words.windows(2).any(service)
        || words.windows(3).any(port)
        || (words.last() == Some(&"PORT")
            && url.iter().any(|start| value.as_bytes().starts_with(start)))
}

#[cfg(test)]
mod tests;
