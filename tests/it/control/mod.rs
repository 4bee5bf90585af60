//! The control socket and `rpmctl`, as an operator uses them.

mod describe;
mod events;
mod finding;
mod flush;
mod follower;
pub mod halt;
mod liars;
mod logs;
mod peers;
mod places;
mod restart;
mod send;
mod shells;
mod shown;
mod steering;
mod trust;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Builder, Runtime, example, free_port, scratch};

/// Each line as JSON.
#[track_caller]
fn json_lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// A directory for sockets, RPM_HOME. Its path is short enough for one. Removed at the end.
pub struct Home(PathBuf);

impl Home {
    pub fn new(test: &str) -> Self {
        Self(scratch(&format!("c-{test}")))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A runtime with its control socket here, and workers that serve a port of their own.
    fn serving(&self, workers: usize) -> Builder {
        Runtime::builder()
            .env("RPM_CONTROL", "on")
            .env("RPM_HOME", self.path())
            .env("RPM_MIN_READY", "0s")
            .env("PORT", free_port().to_string())
            .env("RPM_INSTANCES", workers.to_string())
            .arg(example("echo_server"))
    }

    /// The same, when all workers are ready.
    #[track_caller]
    fn start(&self, workers: usize) -> Runtime {
        let runtime = self.serving(workers).start();
        runtime.wait_for_status("/startupz", 200);
        runtime
    }

    /// `rpmctl --home HERE WORDS`.
    pub fn ctl(&self, words: &[&str]) -> Said {
        said(self.command(words))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = rpmctl(words);
        command.arg("--home").arg(self.path());
        command
    }

    /// The answer as JSON of a command that succeeds.
    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        let said = self.ctl(&[words, &["--json"]].concat());
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
        serde_json::from_str(&said.out).unwrap()
    }

    /// The files in it.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // A runtime removes its socket at its end, and it may do that now.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// How rpmctl ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

fn rpmctl(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rpmctl"));
    command.args(words).env_clear().stdin(Stdio::null());
    command
}

fn said(mut command: Command) -> Said {
    read(
        &command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}")),
    )
}

fn read(output: &Output) -> Said {
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout.clone()).unwrap(),
        err: String::from_utf8(output.stderr.clone()).unwrap(),
    }
}

/// `rpmctl` in a network of its own: it sees no abstract names, so no runtimes of other tests, which it might steer.
fn apart(words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--", env!("CARGO_BIN_EXE_rpmctl")])
        .args(words);
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null());
    command
}

/// Starts it, and does not wait for its end.
fn begun(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[track_caller]
fn ended(child: Child) -> Said {
    read(&child.wait_with_output().unwrap())
}
