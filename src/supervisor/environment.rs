//! The environment of a worker.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use tracing::error;

use crate::config::{Config, env_file};
use crate::model::{Generation, SlotId, worker_vars};
use crate::policy::watchdog;
use crate::sys::bounded::Patient;
use crate::sys::place;

/// How long the start of a worker waits for RPM_ENV_FILE. The event loop waits too.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same for the first worker, for which there is no earlier content.
const FIRST: Duration = Duration::from_secs(30);

/// The environment that all workers get.
#[derive(Debug)]
pub(super) struct Environment {
    /// The runtime's own environment.
    own: Vec<(OsString, OsString)>,
    /// RPM_ENV_FILE, as last read without an error.
    file: Vec<(OsString, OsString)>,
    /// RPM_ENV_FILE was read once.
    known: bool,
    reader: Patient,
    /// The last error of reading it, and the generation that was told.
    told: Option<(Generation, String)>,
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
            known: false,
            reader: Patient::default(),
            told: None,
            watchdog,
        }
    }

    /// Returns the runtime's own environment with the current content of RPM_ENV_FILE over it, for a worker of this
    /// generation. If the file cannot be read, its last good content is used. Each generation is told that once.
    pub(super) fn read(
        &mut self,
        file: Option<&Path>,
        generation: Generation,
    ) -> Vec<(OsString, OsString)> {
        let mut env = self.own.clone();
        let Some(path) = file else {
            return env;
        };
        let patience = if self.known { PATIENCE } else { FIRST };
        let place = path.to_owned();
        let read = move || place::read_path(&place, place::SETTINGS);
        let asked = self.reader.ask(patience, read);
        let read = content(asked, || place::read_path(path, place::SETTINGS));
        match read.and_then(|bytes| env_file(&bytes).map_err(|bad| bad.to_string())) {
            Ok(variables) => {
                self.file = variables;
                self.known = true;
                self.told = None;
            }
            Err(error) => {
                let told = self.told.replace((generation, error.clone()));
                if told.as_ref() != self.told.as_ref() {
                    error!(
                        path = %path.display(),
                        error,
                        next = "workers get its last good content; mend the file, and reload",
                        "cannot read RPM_ENV_FILE"
                    );
                }
            }
        }
        // The file may hold many variables, so each finds its place without a search.
        let mut places: HashMap<OsString, usize> = HashMap::new();
        for (at, (name, _)) in env.iter().enumerate() {
            places.entry(name.clone()).or_insert(at);
        }
        for (name, value) in &self.file {
            match places.get(name).and_then(|at| env.get_mut(*at)) {
                Some((_, place)) => place.clone_from(value),
                None => env.push((name.clone(), value.clone())),
            }
        }
        env
    }
}

/// The answer of the reader. If it could not even ask, because no thread can be started at the limit of processes, the file
/// is read `directly`. It is the operator's, so no worker can make that hang; a worker must not run without its variables.
fn content(
    asked: nix::Result<io::Result<Vec<u8>>>,
    directly: impl FnOnce() -> io::Result<Vec<u8>>,
) -> Result<Vec<u8>, String> {
    match asked {
        Err(Errno::ETIMEDOUT) => Err("its file system does not answer".to_owned()),
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => directly().map_err(|error| error.to_string()),
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
    fn a_file_that_cannot_be_read_leaves_its_last_good_content() {
        let path = std::env::temp_dir().join(format!("rpm-env-{}", std::process::id()));
        let own = vec![("A".into(), "0".into()), ("B".into(), "0".into())];
        let mut environment = Environment::new(own);
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(OsString, OsString)> {
            let pair = |(name, value): &(&str, &str)| (name.into(), value.into());
            pairs.iter().map(pair).collect()
        };
        std::fs::write(&path, "B=1\nC=2\n").unwrap();
        let good = pairs(&[("A", "0"), ("B", "1"), ("C", "2")]);
        assert_eq!(environment.read(Some(&path), Generation(0)), good);
        let told = |environment: &Environment| environment.told.clone().map(|(_, error)| error);
        assert_eq!(told(&environment), None);
        std::fs::write(&path, vec![b'#'; place::SETTINGS + 1]).unwrap();
        assert_eq!(environment.read(Some(&path), Generation(1)), good);
        let error = "it holds more than 1048576 bytes";
        assert_eq!(told(&environment).as_deref(), Some(error));
        std::fs::write(&path, vec![b'#'; place::SETTINGS]).unwrap();
        let own = pairs(&[("A", "0"), ("B", "0")]);
        assert_eq!(environment.read(Some(&path), Generation(1)), own);
        assert_eq!(told(&environment), None);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_is_read_directly_if_no_thread_can_be_started_but_not_if_it_does_not_answer() {
        let bytes = |text: &str| Ok(text.as_bytes().to_vec());
        let refused = || -> io::Result<Vec<u8>> { Err(Errno::EACCES.into()) };
        let direct = || bytes("A=2");
        for errno in [Errno::EAGAIN, Errno::ENOMEM, Errno::EPERM, Errno::EIO] {
            assert_eq!(content(Err(errno), direct).unwrap(), b"A=2", "{errno}");
        }
        assert_eq!(
            content(Err(Errno::EAGAIN), refused).unwrap_err(),
            refused().unwrap_err().to_string()
        );
        let unasked = || -> io::Result<Vec<u8>> { panic!("it may hang") };
        let silent = content(Err(Errno::ETIMEDOUT), unasked).unwrap_err();
        assert_eq!(silent, "its file system does not answer");
        assert_eq!(content(Ok(bytes("A=1")), unasked).unwrap(), b"A=1");
        assert!(content(Ok(refused()), unasked).is_err());
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
