//! How a runtime is started.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, iter};

use super::output::{Output, Stream};
use super::processes;
use super::runtime::{Runtime, watch};
use super::{free_port, until_some};

/// The settings of a runtime before its start.
pub struct Builder {
    binary: PathBuf,
    under: Vec<OsString>,
    program: Vec<OsString>,
    variables: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    streams: [Option<Stdio>; 3],
    pid1: bool,
    leftovers: bool,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            binary: env!("CARGO_BIN_EXE_rpm-runtime").into(),
            under: Vec::new(),
            program: Vec::new(),
            variables: Vec::new(),
            directory: None,
            streams: [None, None, None],
            pid1: false,
            leftovers: false,
        }
    }

    /// Sets a variable of the runtime. Only PATH is inherited from the environment of the test.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables
            .push((name.as_ref().into(), Some(value.as_ref().into())));
        self
    }

    /// Removes a variable: PATH or one that the harness sets.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().into(), None));
        self
    }

    /// Sets the arguments of the runtime: the program and its arguments.
    #[must_use]
    pub fn program<I: IntoIterator<Item: Into<OsString>>>(mut self, words: I) -> Self {
        self.program.extend(words.into_iter().map(Into::into));
        self
    }

    /// Adds one argument; for words of another type than the previous ones.
    #[must_use]
    pub fn arg(mut self, word: impl Into<OsString>) -> Self {
        self.program.push(word.into());
        self
    }

    /// A command that executes the runtime, such as `[example("deny").into(), "notify".into()]`.
    #[must_use]
    pub fn under<I: IntoIterator<Item: Into<OsString>>>(mut self, words: I) -> Self {
        self.under.extend(words.into_iter().map(Into::into));
        self
    }

    /// Writes the system calls of all its processes to this file (strace(1)).
    #[must_use]
    pub fn traced(self, calls: &Path) -> Self {
        let options = ["/usr/bin/strace", "-f", "-qq", "-o"];
        self.under(options).under([calls])
    }

    /// Starts another binary instead of the runtime, for comparison.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = path.into();
        self
    }

    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Standard input; the default is /dev/null. For `Stdio::piped()`, see [`Runtime::stdin`].
    #[must_use]
    pub fn stdin(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams[0] = Some(stdio.into());
        self
    }

    /// Redirects standard output; its lines are then not collected.
    #[must_use]
    pub fn stdout(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams[1] = Some(stdio.into());
        self
    }

    /// Redirects standard error; its lines are then not collected.
    #[must_use]
    pub fn stderr(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams[2] = Some(stdio.into());
        self
    }

    /// Runs as PID 1 of a PID namespace with a /proc of its own; needs root.
    #[must_use]
    pub fn pid1(mut self) -> Self {
        self.pid1 = true;
        self
    }

    /// Allows processes to outlive the runtime, for tests about that. They are killed in any case.
    #[must_use]
    pub fn allow_leftovers(mut self) -> Self {
        self.leftovers = true;
        self
    }

    #[track_caller]
    pub fn start(self) -> Runtime {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Every started process inherits it, so none can hide by leaving the process tree.
        let value = format!("{}.{number}", std::process::id());
        let mark = format!("HARNESS_MARK={value}");
        let admin = free_port();

        let unshare = [
            "unshare",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "--",
        ]
        .map(OsString::from);
        let mut words = unshare
            .into_iter()
            .filter(|_| self.pid1)
            .chain(self.under)
            .chain(iter::once(self.binary.into()))
            .chain(self.program);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).env_clear().process_group(0);
        command.env("PATH", env::var_os("PATH").unwrap_or_default());
        command
            .env("RPM_ADMIN_ADDR", format!("127.0.0.1:{admin}"))
            // Tests of the control socket switch it on, in a directory of their own.
            .env("RPM_CONTROL", "off")
            .env("HARNESS_MARK", value);
        for (name, value) in self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = self.directory {
            command.current_dir(directory);
        }
        let [stdin, stdout, stderr] = self.streams;
        command.stdin(stdin.unwrap_or_else(Stdio::null));
        command
            .stdout(stdout.unwrap_or_else(Stdio::piped))
            .stderr(stderr.unwrap_or_else(Stdio::piped));
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));

        let output = Output::default();
        if let Some(source) = child.stdout.take() {
            output.follow(Stream::Out, source);
        }
        if let Some(source) = child.stderr.take() {
            output.follow(Stream::Err, source);
        }
        let mut runtime = Runtime {
            pid: i32::try_from(child.id()).unwrap(),
            ended: watch(child.id()),
            child,
            mark,
            admin,
            output,
            status: None,
            leftovers: self.leftovers,
        };
        if self.pid1 {
            let outer = runtime.pid;
            runtime.pid = until_some("a process in the namespace", || {
                processes::children(outer).first().map(|p| p.pid)
            });
        }
        runtime
    }
}
