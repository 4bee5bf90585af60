//! Gives what was translated to the configuration of the runtime itself, so that what is printed is accepted.

use std::ffi::OsString;
use std::io;

use rpm_runtime::config::{Fault, Input, resolve};
use rpm_runtime::model::Found;
use rpm_runtime::policy::CpuBudget;

use super::translation::Translation;

/// What the configuration says of these variables: faults, and warnings.
pub fn judge(vars: Vec<(OsString, OsString)>) -> (Vec<Fault>, Vec<String>) {
    let outcome = resolve(&Input {
        vars,
        args: Vec::new(),
        // A limit, so that `max` gives no warning; what it is depends on the container.
        cpus: CpuBudget {
            quota_milli: Some(2000),
            cpuset: None,
            hidden: false,
            affinity: Some(2),
            online: Some(2),
        },
        memory: None,
        read_file: &|_| Err(io::Error::from(io::ErrorKind::NotFound)),
        found: &Found::default,
    });
    match outcome {
        Ok(resolved) => (Vec::new(), resolved.warnings),
        Err(faults) => (faults.faults, faults.warnings),
    }
}

/// Whether a variable takes this value, or why not, as the rest of a sentence.
pub fn value(name: &str, text: &str) -> Result<(), String> {
    let mut vars = vec![("RPM_COMMAND".into(), "true".into())];
    vars.push((OsString::from(name), OsString::from(text)));
    let (faults, _) = judge(vars);
    match faults.into_iter().find(|fault| fault.name == name) {
        Some(fault) => Err(format!("{}: {name} takes {}", fault.what, fault.accepted)),
        None => Ok(()),
    }
}

/// Drops what the configuration refuses, and notes its warnings. Returns what remains refused, which is a fault of the app.
pub fn settle(out: &mut Translation) -> Vec<String> {
    loop {
        let vars = out.variables().map(|variable| {
            (
                OsString::from(&variable.name),
                OsString::from(&variable.value),
            )
        });
        let (faults, warnings) = judge(vars.collect());
        if faults.is_empty() {
            for warning in warnings {
                out.note(format!("rpm-runtime will warn: {warning}"));
            }
            return Vec::new();
        }
        let before = out.settings.len();
        for fault in &faults {
            let refused = |name: &str| name == fault.name && name != "RPM_COMMAND";
            let Some(at) = out
                .settings
                .iter()
                .position(|variable| refused(&variable.name))
            else {
                continue;
            };
            let variable = out.settings.remove(at);
            out.drop(
                variable.key,
                format!(
                    "would be {}={}, which {}; accepted: {}",
                    variable.name, variable.value, fault.what, fault.accepted
                ),
            );
        }
        if out.settings.len() == before {
            return faults.iter().map(ToString::to_string).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_dropped_with_its_key() {
        let mut out = Translation::default();
        out.set("script", "RPM_COMMAND", "node app.js");
        out.set("name", "RPM_APP_NAME", "x".repeat(65));
        out.set("max_memory_restart", "RPM_MAX_MEMORY", "300Ki");
        out.set("kill_timeout", "RPM_STOP_TIMEOUT", "5s");
        assert_eq!(settle(&mut out), Vec::<String>::new());
        let names: Vec<&str> = out
            .variables()
            .map(|variable| variable.name.as_str())
            .collect();
        assert_eq!(names, ["RPM_COMMAND", "RPM_STOP_TIMEOUT"]);
        let keys: Vec<&str> = out
            .dropped
            .iter()
            .map(|dropped| dropped.key.as_str())
            .collect();
        assert_eq!(keys, ["name", "max_memory_restart"]);
    }

    #[test]
    fn without_a_command_there_is_nothing_to_print() {
        let mut out = Translation::default();
        out.set("script", "RPM_COMMAND", "node 'app.js");
        assert_eq!(settle(&mut out).len(), 1);
    }

    #[test]
    fn single_values_are_judged() {
        assert_eq!(value("RPM_CRON_RELOAD", "0 4 * * *"), Ok(()));
        assert!(
            value("RPM_CRON_RELOAD", "0 4 * *")
                .unwrap_err()
                .starts_with("has 4 fields")
        );
        assert_eq!(value("RPM_WATCH_IGNORE", "logs"), Ok(()));
        assert!(value("RPM_WATCH_IGNORE", "/tmp").is_err());
    }
}
