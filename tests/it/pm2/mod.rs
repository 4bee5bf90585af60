//! `rpmctl from-pm2`: from ecosystem files and command lines of pm2 to variables, and to a service that runs with them.

mod command_line;
mod golden;
mod service;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rpm_runtime::config::env_file;

/// A file of tests/fixtures/pm2.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/pm2")
        .join(name)
}

/// `rpmctl from-pm2` with these words, in that directory.
fn rpmctl(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rpmctl"));
    command
        .arg("from-pm2")
        .args(words)
        .current_dir(directory)
        .env("HOME", "/home/u")
        .env_remove("PORT");
    command
}

/// What it prints; it must not fail.
#[track_caller]
fn printed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it says, as it must fail.
#[track_caller]
fn refused(output: &Output, code: i32) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{said}");
    said
}

/// The variables of a file of variables.
fn variables(text: &str) -> Vec<(OsString, OsString)> {
    env_file(text.as_bytes()).unwrap()
}
