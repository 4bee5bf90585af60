//! Complete environments for the tests of groups.

use std::ffi::OsString;
use std::io;

use super::{Config, Faults, Input, Resolved, resolve};
use crate::model::Found;
use crate::policy::CpuBudget;

pub(super) const NEVER: (&str, &str) = ("RPM_RESTART", "never");

/// The configuration of the command `args` with these variables, on a machine with 8 CPUs, a quota of 2.5 CPUs and 1
/// GiB.
pub(super) fn with_args(args: &[&str], vars: &[(&str, &str)]) -> Result<Resolved, Faults> {
    let quota_milli = Some(2500);
    on(args, vars, quota_milli, Some(1 << 30))
}

/// The configuration of the command `true` with these variables.
pub fn with(vars: &[(&str, &str)]) -> Config {
    let resolved = with_args(&["true"], vars);
    resolved.expect("good variables").config
}

/// The same on a machine with 8 CPUs and without a quota.
pub(super) fn on(
    args: &[&str],
    vars: &[(&str, &str)],
    quota_milli: Option<u64>,
    memory: Option<u64>,
) -> Result<Resolved, Faults> {
    full(args, vars, (quota_milli, memory), &Found::default())
}

/// The configuration in a working directory whose files tell `found`.
pub(super) fn in_directory(args: &[&str], vars: &[(&str, &str)], found: &Found) -> Resolved {
    full(args, vars, (None, None), found).expect("good variables")
}

fn full(
    args: &[&str],
    vars: &[(&str, &str)],
    (quota_milli, memory): (Option<u64>, Option<u64>),
    found: &Found,
) -> Result<Resolved, Faults> {
    resolve(&Input {
        vars: vars
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        args: args.iter().map(OsString::from).collect(),
        cpus: CpuBudget {
            quota_milli,
            cpuset: None,
            hidden: false,
            affinity: Some(8),
            online: Some(8),
        },
        memory,
        read_file: &|path| match path.to_str() {
            Some("/run/env") => Ok(b"A=1".to_vec()),
            Some("/run/name") => Ok(b"/var/log/app.log\n".to_vec()),
            Some("good") => Ok(b"A=1\nRPM_INSTANCES=3\nRPM_X=1\n".to_vec()),
            Some("bad") => Ok(b"A\nB\nC\nD\nE\nF\nG\n".to_vec()),
            _ => Err(io::Error::from_raw_os_error(2)),
        },
        found: &|| found.clone(),
    })
}

pub(super) fn good(vars: &[(&str, &str)]) -> Resolved {
    with_args(&["/usr/bin/node", "app.js"], vars).unwrap()
}

/// The error messages.
pub(super) fn told(vars: &[(&str, &str)]) -> Vec<String> {
    let faults = with_args(&["true"], vars).unwrap_err().faults;
    faults.iter().map(ToString::to_string).collect()
}

/// The line of one setting in --check: value and note.
pub(super) fn line(resolved: &Resolved, name: &str) -> (String, Option<String>) {
    let line = resolved.lines.iter().find(|line| line.name == name);
    let line = line.unwrap().clone();
    (line.value, line.note)
}
