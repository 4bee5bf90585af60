//! The environment of a worker.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use tracing::error;

use crate::config::{Config, env_file};
use crate::model::{Generation, SlotId, worker_vars};
use crate::policy::watchdog;

/// The environment that all workers get.
#[derive(Debug)]
pub(super) struct Environment {
    /// The runtime's own environment.
    own: Vec<(OsString, OsString)>,
    /// RPM_ENV_FILE, as last read without an error.
    file: Vec<(OsString, OsString)>,
    /// WATCHDOG_USEC of the runtime's own environment, which the workers inherit.
    pub(super) watchdog: Option<Duration>,
}

impl Environment {
    pub(super) fn new(own: Vec<(OsString, OsString)>) -> Self {
        let usec = own.iter().find(|(name, _)| name == "WATCHDOG_USEC");
        let watchdog = usec.and_then(|(_, value)| watchdog::preset(value.to_str()?));
        Self {
            own,
            file: Vec::new(),
            watchdog,
        }
    }

    /// Returns the runtime's own environment with the current content of RPM_ENV_FILE over it. If the file cannot be
    /// read, its last content is used.
    pub(super) fn read(&mut self, file: Option<&Path>) -> Vec<(OsString, OsString)> {
        let mut env = self.own.clone();
        let Some(path) = file else {
            return env;
        };
        let read = std::fs::read(path).map_err(|error| error.to_string());
        let parsed = read.and_then(|bytes| {
            env_file(&bytes).map_err(|bad| {
                let lines: Vec<String> = bad.iter().map(ToString::to_string).collect();
                lines.join("; ")
            })
        });
        match parsed {
            Ok(variables) => self.file = variables,
            Err(error) => {
                error!(path = %path.display(), error, "cannot read RPM_ENV_FILE; the worker gets its last known content");
            }
        }
        for (name, value) in &self.file {
            set(&mut env, name, value);
        }
        env
    }
}

/// Builds a worker's environment: the runtime's own environment, complete and in order, with the worker's variables set
/// in their places or at the end. Values that are not UTF-8 are not changed. What tells workers apart is always set: one
/// value for all would be wrong. What is the same for all workers is set only if it is unset.
pub fn build(
    base: &[(OsString, OsString)],
    config: &Config,
    slot: SlotId,
    generation: Generation,
    workers: u16,
) -> Vec<(OsString, OsString)> {
    let mut env = base.to_vec();
    let mut set = |name: &str, value: String| set(&mut env, name, value);
    set(&config.program.instance_var, slot.to_string());
    set(worker_vars::INSTANCE.name, slot.to_string());
    set(worker_vars::WORKERS.name, workers.to_string());
    set(worker_vars::GENERATION.name, generation.to_string());
    set(worker_vars::PM_ID.name, slot.to_string());
    if let Some((name, first)) = &config.program.increment {
        set(name, first.saturating_add(u64::from(slot.0)).to_string());
    }
    let unless_set = [
        (worker_vars::NAME, config.program.app_name.as_str()),
        // A server that is a worker must not fork its own workers.
        (worker_vars::WEB_CONCURRENCY, "1"),
    ];
    for (var, value) in unless_set {
        if !env.iter().any(|(name, _)| name == var.name) {
            env.push((var.name.into(), value.into()));
        }
    }
    env
}

/// The port that a worker's environment names (`PORT`), as many programs and platforms use it.
pub fn port(env: &[(OsString, OsString)]) -> Option<NonZeroU16> {
    let (_, value) = env.iter().find(|(name, _)| name == "PORT")?;
    value.to_str()?.trim().parse().ok()
}

/// Sets one variable, in its place or at the end.
pub fn set(
    env: &mut Vec<(OsString, OsString)>,
    name: impl AsRef<OsStr>,
    value: impl Into<OsString>,
) {
    let (name, value) = (name.as_ref(), value.into());
    match env.iter_mut().find(|(known, _)| known == name) {
        Some((_, place)) => *place = value,
        None => env.push((name.into(), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Input, resolve};
    use crate::policy::CpuBudget;

    #[test]
    fn the_port_of_an_environment_is_a_number() {
        let of = |name: &str, value: &str| {
            port(&[("A".into(), "1".into()), (name.into(), value.into())]).map(NonZeroU16::get)
        };
        assert_eq!(of("PORT", "3000"), Some(3000));
        assert_eq!(of("PORT", " 80\n"), Some(80));
        for other in ["0", "65536", "", "tcp://10.0.0.1:80", "/run/app.sock", "-1"] {
            assert_eq!(of("PORT", other), None, "{other}");
        }
        assert_eq!(of("port", "3000"), None);
    }

    #[test]
    fn every_variable_of_a_worker_is_in_the_list() {
        let input = Input {
            vars: vec![],
            args: vec!["true".into()],
            cpus: CpuBudget::default(),
            memory: None,
            read_file: &|_| Ok(vec![]),
            found: &crate::model::Found::default,
        };
        let config = resolve(&input).unwrap().config;
        let env = build(&[], &config, SlotId(3), Generation(1), 4);
        let names: Vec<&str> = env.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names[0], config.program.instance_var);
        for name in &names[1..] {
            assert!(worker_vars::is_given(name), "{name}");
        }
        assert_eq!(names.len(), 7);
    }
}
