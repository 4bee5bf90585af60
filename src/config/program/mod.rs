//! The program and the environment of its workers.

mod application;
mod command;

use std::ffi::OsString;
use std::num::NonZeroU16;
use std::path::PathBuf;

pub(super) use command::overruled_command;

use super::env_file::env_file;
use super::faults::{Wrong, path, plain, quote};
use super::grammar::{boolean, number, show_word, word};
use super::reader::{Reader, Value};
use super::setting::{Group, Preset, Setting};
use super::show;
use crate::model::{Found, Word, worker_vars};
use crate::policy::{Instances, MAX_INSTANCES};
use application::{APP_NAME, APP_REVISION, APP_VERSION, Application};
use command::{COMMAND, argv};

pub(super) const GROUP: Group = Group {
    title: "The program",
    settings: &[
        &COMMAND,
        &APP_NAME,
        &APP_VERSION,
        &APP_REVISION,
        &INSTANCES,
        &INSTANCES_FOLLOW,
        &EXEC_MODE,
        &INSTANCE_VAR,
        &INCREMENT_VAR,
        &ENV_FILE,
    ],
};

pub(super) const INSTANCES: Setting<Instances> = Setting {
    name: "RPM_INSTANCES",
    default: Preset::Text("1"),
    help: "workers: a number, max (one for each granted CPU), max-K",
    doc: "How many workers run. `max` is one for each CPU that the container may use: the tightest of cgroup quota, cpuset \
          and affinity. A quota is rounded up: 1500m is 2, 500m is 1. Where no limit is set, `max` is all CPUs of the node, \
          and a warning says how many. `max-1` leaves one CPU free. If `RPM_MAX_MEMORY` is a size, `max` is no more workers than fit into the memory limit, \
          including those that a reload adds. `rpm-runtime --check` shows how the number came about.",
    parse: instances,
    show: |instances| match instances {
        Instances::Count(count) => count.to_string(),
        Instances::Max { less: 0 } => "max".to_owned(),
        Instances::Max { less } => format!("max-{less}"),
    },
};

pub(super) const INSTANCES_FOLLOW: Setting<bool> = Setting {
    name: "RPM_INSTANCES_FOLLOW",
    default: Preset::Text("true"),
    help: "max, and RPM_MAX_MEMORY in percent, follow limits that change: true, false",
    doc: "Whether limits of the container that change while it runs are followed: an in-place resize of Kubernetes (1.33 and \
          later), `docker update`. With `RPM_INSTANCES=max` or `max-K` the number of workers follows the CPUs, up and down: \
          workers that are too many drain, and nothing is restarted. A percentage in `RPM_MAX_MEMORY` follows the memory limit \
          and the number of workers. The runtime looks every 5 s. A number rises when two looks in a row have found the same \
          higher one, and falls when four in a row were below it, to the highest of them. A number that an operator has made (`TTIN`, `TTOU`) holds until the limits grant another one. With \
          `RPM_RESTART=never` the number of workers stays. Where nothing can follow, nothing looks.",
    parse: boolean,
    show: ToString::to_string,
};

pub(super) const EXEC_MODE: Setting<ExecMode> = Setting {
    name: "RPM_EXEC_MODE",
    default: Preset::Computed(
        "cluster; fork with RPM_RESTART=never, one instance and no RPM_PORTS",
    ),
    help: "cluster: workers share ports; fork: the program's sockets are left alone",
    doc: "With `cluster` the workers share the ports that the program binds (see `RPM_PORTS`). With `fork` the runtime \
          leaves the sockets of the program alone: for programs that serve no port, or where each worker binds its own.",
    parse: word,
    show: show_word,
};

const INSTANCE_VAR: Setting<String> = Setting {
    name: "RPM_INSTANCE_VAR",
    default: Preset::Text("NODE_APP_INSTANCE"),
    help: "variable that tells a worker its slot",
    doc: "The name of a variable that each worker gets with its slot number (0 to N-1), beside `RPM_INSTANCE`. The \
          default is the name that pm2 uses.",
    parse: variable,
    show: Clone::clone,
};

const INCREMENT_VAR: Setting<String> = Setting {
    name: "RPM_INCREMENT_VAR",
    default: Preset::Unset,
    help: "variable that is raised by the slot, e.g. PORT",
    doc: "The name of a variable that differs between workers: slot 0 gets the number that the runtime's own environment \
          holds (0 if it is unset), slot 1 gets one more, and so on. With `RPM_INCREMENT_VAR=PORT` and `PORT=3000`, slot 2 \
          gets `PORT=3002`.",
    parse: variable,
    show: Clone::clone,
};

const ENV_FILE: Setting<PathBuf> = Setting {
    name: "RPM_ENV_FILE",
    default: Preset::Unset,
    help: "file of NAME=VALUE lines for workers, read at each start of one",
    doc: "The path of a file of variables for the workers. The file is read at each start of a worker, so a \
          reload takes new values. It is a regular file, or a symbolic link to one, of at most 1 MiB. If it cannot be read or has a wrong line, a line of the log says so, \
          and workers get the values that were good last. The same holds if its file system does not answer within a second; at the start \
          the runtime waits for it. What it sets overrides the runtime's own environment in the workers. `RPM_*` names in it \
          are passed on to the workers and do not configure the runtime.\n\n\
          The file is written as for `docker run --env-file`, with the quotes of docker compose: lines `NAME=VALUE`, with \
          `export` before the name if you like; lines that begin with `#` and blank lines are skipped. Blanks around a \
          value are dropped. A value that begins with `'` or `\"` ends at the next same mark, and may have several lines, \
          as a PEM key has; behind it only a comment may stand. Between `\"` marks, `\\n`, `\\r`, `\\t`, `\\\"`, `\\\\` and \
          `\\$` are what they are in docker compose; between `'` marks only `\\'`. Everything else is taken literally: \
          nothing is expanded, and a backslash is a backslash. Of two lines for one name the later counts.",
    parse: |text| Ok(PathBuf::from(text)),
    show: show::path,
};

/// RPM_EXEC_MODE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecMode {
    /// Workers share ports.
    Cluster,
    /// The runtime does not touch the program's sockets.
    Fork,
}

impl Word for ExecMode {
    const ALL: &'static [Self] = &[Self::Cluster, Self::Fork];

    fn word(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Fork => "fork",
        }
    }
}

/// The program and the environment of its workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments. Neither the list nor its first word is empty.
    pub argv: Vec<OsString>,
    /// RPM_APP_NAME.
    pub app_name: String,
    /// RPM_APP_VERSION, or a variable that stands for it.
    pub app_version: Option<String>,
    /// RPM_APP_REVISION, or a variable that stands for it.
    pub app_revision: Option<String>,
    /// What the files of the application told at the start; see [`Program::app`].
    pub found: Found,
    /// RPM_INSTANCES, with `max` resolved.
    pub instances: NonZeroU16,
    /// RPM_EXEC_MODE.
    pub exec_mode: ExecMode,
    /// RPM_INSTANCE_VAR.
    pub instance_var: String,
    /// RPM_INCREMENT_VAR and the number of slot 0.
    pub increment: Option<(String, u64)>,
    /// RPM_ENV_FILE. It was readable and valid at the start; parsed by [`crate::config::env_file`].
    pub env_file: Option<PathBuf>,
}

impl Program {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        instances: Value<NonZeroU16>,
        exec_mode: Value<ExecMode>,
    ) -> Value<Self> {
        let env_file = checked_env_file(reader);
        let argv = argv(reader);
        let application = application::read(reader, argv.as_deref().ok());
        let increment = increment(reader, instances.ok());
        let instance_var = instance_var(reader);
        let Application {
            name: app_name,
            version: app_version,
            revision: app_revision,
            found,
        } = application?;
        Ok(Self {
            argv: argv?,
            app_name,
            app_version,
            app_revision,
            found,
            instances: instances?,
            exec_mode: exec_mode?,
            instance_var: instance_var?,
            increment: increment?,
            env_file: env_file?,
        })
    }
}

fn instances(text: &str) -> Result<Instances, Wrong> {
    let wrong = |what: String| {
        let accepted = format!(
            "a whole number from 1 to {MAX_INSTANCES}, max (one for each CPU that is granted), or max-K (K fewer)"
        );
        Wrong::new(what, accepted)
    };
    let text = text.trim();
    let (word, rest) = text.split_at_checked(3).unwrap_or((text, ""));
    if !word.eq_ignore_ascii_case("max") {
        let count = number(text, 1, u32::from(MAX_INSTANCES)).map_err(|e| wrong(e.what))?;
        let count = u16::try_from(count).ok().and_then(NonZeroU16::new);
        return count
            .map(Instances::Count)
            .ok_or_else(|| wrong("is not a whole number".to_owned()));
    }
    if rest.is_empty() {
        return Ok(Instances::Max { less: 0 });
    }
    let less = rest
        .strip_prefix('-')
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse::<u16>().ok())
        .filter(|less| *less < MAX_INSTANCES);
    less.map(|less| Instances::Max { less }).ok_or_else(|| {
        wrong(format!(
            "max is not followed by - and a number below {MAX_INSTANCES}"
        ))
    })
}

const VARIABLES: &str = "a name of letters, digits and _ that does not begin with a digit or RPM_";

fn variable(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    let named = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty();
    let what = if !named {
        "is not the name of a variable"
    } else if text.starts_with("RPM_") {
        "begins with RPM_, which is the runtime's own"
    } else if worker_vars::is_given(text) {
        "is a variable that the runtime sets by itself"
    } else {
        return Ok(text.to_owned());
    };
    Err(Wrong::new(what, VARIABLES))
}

/// RPM_INSTANCE_VAR. A number in that variable is replaced in silence: pm2 or an outer runtime set it.
fn instance_var(reader: &mut Reader<'_>) -> Value<String> {
    let name = reader.get(&INSTANCE_VAR)?;
    let held = reader
        .input()
        .vars
        .iter()
        .find(|(other, _)| *other == *name);
    let is_number = |value: &OsString| {
        let bytes = value.as_encoded_bytes();
        bytes.iter().all(u8::is_ascii_digit)
    };
    if let Some((_, value)) = held.filter(|(_, value)| !is_number(value)) {
        reader.warn(format!(
            "{name} is {} here and the slot number in each worker; with another name in RPM_INSTANCE_VAR workers get the \
             value",
            quote(value)
        ));
    }
    Ok(name)
}

/// RPM_INCREMENT_VAR and the number of slot 0. The number of the highest slot must not overflow.
fn increment(
    reader: &mut Reader<'_>,
    instances: Option<NonZeroU16>,
) -> Value<Option<(String, u64)>> {
    let Some(name) = reader.given(&INCREMENT_VAR)? else {
        return Ok(None);
    };
    let first = match first_number(&name, &reader.input().vars) {
        Ok(first) => first,
        Err(wrong) => return Err(reader.fault(&INCREMENT_VAR, wrong)),
    };
    if reader.get(&INSTANCE_VAR).as_ref() == Ok(&name) {
        let what = "is RPM_INSTANCE_VAR too, and one variable cannot hold both";
        reader.fault(&INCREMENT_VAR, Wrong::new(what, "another variable"));
    }
    if let Some(instances) = instances {
        let slot = instances.get() - 1;
        let note = match first.checked_add(u64::from(slot)) {
            None => {
                let what = format!("{name}={first} cannot be counted up for {instances} instances");
                return Err(reader.fault(&INCREMENT_VAR, Wrong::new(what, "a smaller number")));
            }
            Some(_) if slot == 0 => format!("{name}={first} for slot 0"),
            Some(last) => format!("{name}={first} for slot 0, {name}={last} for slot {slot}"),
        };
        reader.note(&INCREMENT_VAR, note);
    }
    Ok(Some((name, first)))
}

/// The number of slot 0: the value of the variable, or 0.
fn first_number(name: &str, vars: &[(OsString, OsString)]) -> Result<u64, Wrong> {
    let held = vars
        .iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value);
    let Some(held) = held.filter(|held| !held.is_empty()) else {
        return Ok(0);
    };
    held.to_str()
        .map(str::trim)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            Wrong::new(
                format!("the variable {name} holds {}, which cannot be counted up", quote(held)),
                format!("the name of a variable that is unset or a whole number ({name} is the number of slot 0)"),
            )
        })
}

/// RPM_ENV_FILE; reads the file once to check it.
fn checked_env_file(reader: &mut Reader<'_>) -> Value<Option<PathBuf>> {
    let Some(file) = reader.given(&ENV_FILE)? else {
        return Ok(None);
    };
    let variables = (reader.input().read_file)(&file)
        .map_err(|error| {
            Wrong::new(
                format!("the file cannot be read: {error}"),
                "the path of a readable file of NAME=VALUE lines",
            )
        })
        .and_then(|bytes| well_formed(&bytes));
    let variables = match variables {
        Ok(variables) => variables,
        Err(wrong) => return Err(reader.fault(&ENV_FILE, wrong)),
    };
    let names = variables.iter().map(|(name, _)| name.to_string_lossy());
    let ours: Vec<String> = names
        .filter(|name| name.starts_with("RPM_"))
        .map(|name| plain(&name))
        .collect();
    if !ours.is_empty() {
        reader.warn(format!(
            "{} in {} does not concern the runtime, which takes its own variables from its environment; workers get it",
            ours.join(", "),
            path(&file)
        ));
    }
    Ok(Some(file))
}

fn well_formed(bytes: &[u8]) -> Result<Vec<(OsString, OsString)>, Wrong> {
    env_file(bytes).map_err(|bad| {
        let accepted = "lines NAME=VALUE, export NAME=VALUE, NAME='VALUE' or NAME=\"VALUE\", and comment lines that begin with #";
        Wrong::new(bad.to_string(), accepted)
    })
}

#[cfg(test)]
mod tests;
