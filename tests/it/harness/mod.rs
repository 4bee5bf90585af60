//! Starts the runtime as a real process, collects its output, and leaves nothing behind.
//!
//! ```ignore
//! use crate::harness::{Runtime, example};
//!
//! let mut runtime = Runtime::builder().env("RPM_INSTANCES", "4").program([example("echo_server")]).start();
//! runtime.wait_for_line(|line| line.contains("listening"));
//! runtime.signal(Signal::SIGTERM);
//! assert_eq!(runtime.wait_exit().code(), Some(0));
//! ```
//!
//! Nothing here sleeps for a guessed time: output and exits are events, and [`until`] is the only place that polls.
//! Each wait is limited to `RPM_TEST_PATIENCE` seconds (default 30); a timeout prints all output so far.

mod asio;
pub mod browser;
mod builder;
mod certificate;
pub mod cgroup;
pub mod datagrams;
pub mod deployed;
pub mod dockerfile;
mod ending;
pub mod exposition;
mod formats;
mod http;
mod ledger;
pub mod load;
mod log_files;
mod netty;
pub mod nodes;
mod output;
mod ports;
mod processes;
pub mod programs;
mod prometheus;
mod reader;
pub mod reloads;
mod runtime;
pub mod scraping;
pub mod shared_port;
mod static_runtime;
pub mod status;
mod terminal;
mod tests;
mod tmux;
pub mod unix_paths;
mod written;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, thread};

pub use asio::{asio_server, cpp_program};
pub use builder::Builder;
pub use certificate::certificate;
pub use ending::SetOnDrop;
pub use formats::{Entry, Form, is_time};
pub use http::{Connection, Reply, http_get};
pub use ledger::Ledger;
pub use log_files::{log_bytes, log_files, log_lines};
pub use netty::netty_server;
pub use nix::sys::signal::Signal;
pub use output::Stream;
pub use ports::{free_port, free_ports};
pub use processes::{children, descendants, process, threads, waited_for_cpu};
pub use prometheus::Prometheus;
pub use reader::{Reader, Speed, lines_of};
pub use runtime::Runtime;
pub use static_runtime::static_runtime;
pub use terminal::terminal;
pub use tmux::Tmux;
pub use written::{Tally, account, tally};

/// The limit of each wait in a test.
pub fn patience() -> Duration {
    let seconds = env::var("RPM_TEST_PATIENCE")
        .ok()
        .and_then(|value| value.parse().ok());
    Duration::from_secs(seconds.unwrap_or(30))
}

/// Waits for a condition that sends no event. `what` names the condition in the panic message.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    assert!(eventually(&mut condition), "never came true: {what}");
}

/// As [`until`], for a condition that returns a value.
#[track_caller]
pub fn until_some<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    until(what, || {
        found = condition();
        found.is_some()
    });
    found.unwrap()
}

/// As [`until`], but returns whether it came true.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience();
    while !condition() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// The built program `examples/NAME.rs`.
#[track_caller]
pub fn example(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_rpm-runtime"))
        .with_file_name("examples")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing: `cargo build --examples`",
        path.display()
    );
    path
}

/// A file of this package, for payloads that are not Rust: `source("examples/node/server.js")`.
pub fn source(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Builds `examples/go`.
#[track_caller]
pub fn go_server(directory: &Path) -> PathBuf {
    go_build(&source("examples/go"), Path::new("."), directory, &[])
}

/// Builds a Go program in the directory `from` without cgo: one static file, which no preloaded library can affect.
#[track_caller]
pub fn go_build(from: &Path, what: &Path, directory: &Path, env: &[(&str, &str)]) -> PathBuf {
    let target = directory.join("server");
    let mut command = Command::new("go");
    command
        .args(["build", "-o"])
        .arg(&target)
        .arg(what)
        .current_dir(from)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false")
        .envs(env.iter().copied())
        // Kept between runs, because compiling the standard library takes long.
        .env(
            "GOCACHE",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache"),
        );
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("go: {error}; run scripts/test-deps"));
    assert!(
        output.status.success(),
        "{}; scripts/test-deps installs what it needs",
        String::from_utf8_lossy(&output.stderr)
    );
    target
}

/// An empty directory for this test, below `target/tmp`.
pub fn scratch(name: &str) -> PathBuf {
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    // Left by an earlier process with our PID.
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}
