//! From the environment to raw text: which variables are ours, which of them come from files, which are misspelt.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::distance::nearest;
use super::faults::{Fault, path, plain, quote};
use super::names::{GIVEN_TO_WORKERS, LATER, Setting, setting, settings};
use super::parse::NOT_YET;

const PREFIX: &str = "RPM_";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The variable itself.
    Environment,
    /// The file that `NAME_FILE` names.
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

/// The variables of this version as text; `None` is unset or empty. A field is the name without `RPM_`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Raw {
    pub(super) command: Option<String>,
    pub(super) app_name: Option<String>,
    pub(super) instances: Option<String>,
    pub(super) exec_mode: Option<String>,
    pub(super) instance_var: Option<String>,
    pub(super) increment_var: Option<String>,
    pub(super) env_file: Option<String>,
    pub(super) ports: Option<String>,
    pub(super) handover: Option<String>,
    pub(super) balance: Option<String>,
    pub(super) backlog: Option<String>,
    pub(super) ready: Option<String>,
    pub(super) ready_timeout: Option<String>,
    pub(super) stop_signal: Option<String>,
    pub(super) stop_timeout: Option<String>,
    pub(super) drain_timeout: Option<String>,
    pub(super) shutdown_delay: Option<String>,
    pub(super) restart: Option<String>,
    pub(super) stop_exit_codes: Option<String>,
    pub(super) min_uptime: Option<String>,
    pub(super) max_restarts: Option<String>,
    pub(super) backoff_min: Option<String>,
    pub(super) backoff_max: Option<String>,
    pub(super) reload_surge: Option<String>,
    pub(super) reload_unavailable: Option<String>,
    pub(super) min_ready: Option<String>,
    pub(super) max_memory: Option<String>,
    pub(super) cron_reload: Option<String>,
    pub(super) watch: Option<String>,
    pub(super) watch_ignore: Option<String>,
    pub(super) watch_delay: Option<String>,
    pub(super) health: Option<String>,
    pub(super) health_interval: Option<String>,
    pub(super) health_timeout: Option<String>,
    pub(super) health_failures: Option<String>,
    pub(super) signals: Option<String>,
    pub(super) signal_scope: Option<String>,
    pub(super) exit_ok: Option<String>,
    pub(super) pdeathsig: Option<String>,
    pub(super) log_format: Option<String>,
    pub(super) log_timestamp: Option<String>,
    pub(super) log_stderr: Option<String>,
    pub(super) log_overflow: Option<String>,
    pub(super) log_buffer: Option<String>,
    pub(super) log_max_line: Option<String>,
    pub(super) log_multiline: Option<String>,
    pub(super) log_rate: Option<String>,
    pub(super) log_file: Option<String>,
    pub(super) log_error_file: Option<String>,
    pub(super) log_rotate_size: Option<String>,
    pub(super) log_rotate_every: Option<String>,
    pub(super) log_retain: Option<String>,
    pub(super) log_compress: Option<String>,
    pub(super) log_level: Option<String>,
    pub(super) admin_addr: Option<String>,
    pub(super) app_metrics: Option<String>,
    pub(super) app_metrics_gauges: Option<String>,
    pub(super) app_metrics_interval: Option<String>,
    pub(super) termination_log: Option<String>,
}

/// All that the environment says, before anybody asked what it means.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) raw: Raw,
    /// Of what is set; the rest is `Source::Default`.
    pub(super) sources: BTreeMap<&'static str, Source>,
    /// Set, but not readable as text: neither given nor unset.
    pub(super) broken: BTreeSet<&'static str>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<String>,
}

/// Sorts the variables. The first of several with one name counts, as for getenv(3).
pub(super) fn gather(
    vars: &[(OsString, OsString)],
    read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Given {
    let mut given = Given::default();
    let mut ours: BTreeMap<&OsStr, &OsStr> = BTreeMap::new();
    for (name, value) in vars {
        if !name.as_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        if ours.contains_key(name.as_os_str()) {
            given.warnings.push(format!(
                "{} is in the environment more than once; the first value counts",
                plain(&name.to_string_lossy())
            ));
        } else {
            ours.insert(name, value);
        }
    }
    ours.retain(|_, value| !value.is_empty());
    for (name, value) in &ours {
        given.sort_out(name, value);
    }
    let mut pairs = Vec::new();
    for setting in settings() {
        if let Some(text) = given.read(setting, &ours, read_file) {
            pairs.push((setting.name.to_owned(), text));
        }
    }
    match envy::prefixed(PREFIX).from_iter(pairs) {
        Ok(raw) => given.raw = raw,
        Err(error) => given.faults.push(Fault {
            name: "RPM_*".to_owned(),
            value: None,
            file: None,
            what: format!("cannot be taken from the environment: {error}"),
            accepted: "text".to_owned(),
        }),
    }
    given
}

impl Given {
    /// Complains about what is not a setting of this version.
    fn sort_out(&mut self, name: &OsStr, value: &OsStr) {
        let Some(text) = name.to_str() else {
            self.warnings.push(format!(
                "{} is not a known variable and is ignored",
                quote(name)
            ));
            return;
        };
        let base = text.strip_suffix("_FILE");
        let known = |name: &str| setting(name).is_some();
        let later = |name: &str| LATER.contains(&name);
        if known(text) || GIVEN_TO_WORKERS.contains(&text) || is_service_link(text, value) {
            return;
        }
        if later(text) || (base.is_some_and(later) && !base.is_some_and(known)) {
            self.faults.push(Fault {
                name: text.to_owned(),
                value: Some(quote(value)),
                file: None,
                what: NOT_YET.to_owned(),
                accepted: "leaving it unset".to_owned(),
            });
            return;
        }
        if base.is_some_and(known) {
            return;
        }
        let candidates = || {
            settings()
                .map(|setting| setting.name)
                .chain(LATER.iter().copied())
        };
        let hint = nearest(text, candidates())
            .map(str::to_owned)
            .or_else(|| nearest(base?, candidates()).map(|candidate| format!("{candidate}_FILE")));
        let hint = hint.map_or_else(String::new, |hint| format!("; did you mean {hint}?"));
        self.warnings.push(format!(
            "{} is not a known variable and is ignored{hint}",
            plain(text)
        ));
    }

    /// The text of one setting, from the variable or from its file.
    fn read(
        &mut self,
        setting: &'static Setting,
        ours: &BTreeMap<&OsStr, &OsStr>,
        read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Option<String> {
        let name = setting.name;
        let file_name = format!("{name}_FILE");
        let direct = ours.get(OsStr::new(name)).copied();
        let file = ours.get(OsStr::new(&file_name)).copied();
        let (bytes, source) = match (direct, file) {
            (None, None) => return None,
            (Some(_), Some(file)) => {
                let what = format!("{name} is set too");
                return self.broken(
                    name,
                    file_name,
                    file,
                    None,
                    what,
                    "one of the two".to_owned(),
                );
            }
            (Some(value), None) => (value.as_bytes().to_vec(), Source::Environment),
            (None, Some(file)) => match read_file(Path::new(file)) {
                Ok(bytes) => (without_newline(bytes), Source::File(PathBuf::from(file))),
                Err(error) => {
                    let what = format!("the file cannot be read: {error}");
                    let accepted = "the path of a readable file".to_owned();
                    return self.broken(name, file_name, file, None, what, accepted);
                }
            },
        };
        if bytes.is_empty() {
            return None;
        }
        let file = match &source {
            Source::File(file) => Some(file.clone()),
            _ => None,
        };
        let what = match String::from_utf8(bytes) {
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
        let (value, what) = what;
        self.broken(
            name,
            name.to_owned(),
            &value,
            file,
            what.to_owned(),
            "UTF-8 text without NUL bytes".to_owned(),
        )
    }

    /// Records that `name` is set and useless; `shown` is the variable to blame.
    fn broken(
        &mut self,
        name: &'static str,
        shown: String,
        value: &OsStr,
        file: Option<PathBuf>,
        what: String,
        accepted: String,
    ) -> Option<String> {
        self.broken.insert(name);
        self.faults.push(Fault {
            name: shown,
            value: Some(quote(value)),
            file,
            what,
            accepted,
        });
        None
    }
}

/// The line end that every editor adds.
fn without_newline(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

/// Variables that Kubernetes adds beside a Service named `rpm` or `rpm-something`: `RPM_SERVICE_HOST`,
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
#[path = "env_tests.rs"]
mod tests;
