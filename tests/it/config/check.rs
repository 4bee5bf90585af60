//! `--check` with a configuration that is good: what it tries, and what it tells.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::harness::scratch;

/// `rpm-runtime --check COMMAND...` with these variables.
fn check(command: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rpm-runtime"))
        .arg("--check")
        .args(command)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[track_caller]
fn says(output: &Output, code: i32, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.starts_with("RPM_COMMAND "), "{table}");
}

#[test]
fn check_looks_for_the_program_and_ends_as_a_run_would() {
    let directory = scratch("check-program");
    let file = directory.join("program");
    fs::write(&file, "#!/bin/sh\n").unwrap();
    let path = file.to_str().unwrap();
    says(&check(&["true"], &[]), 0, "");
    says(
        &check(&["nodee"], &[]),
        127,
        "cannot execute the program \"nodee\": not found",
    );
    let blank = check(&["node server.js"], &[]);
    says(&blank, 127, "the name contains a blank");
    says(&blank, 127, "[\"node\", \"server.js\"]");
    says(
        &check(&[path], &[]),
        126,
        "Permission denied; the file is not executable (chmod +x)",
    );
    says(&check(&["/tmp"], &[]), 126, "Permission denied");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    says(&check(&[path], &[]), 0, "");
    // The worker's PATH counts, which may come from the file of variables.
    says(&check(&["program"], &[]), 127, "not found");
    let variables = directory.join("env");
    fs::write(&variables, format!("PATH={}\n", directory.display())).unwrap();
    let own = [("RPM_ENV_FILE", variables.to_str().unwrap())];
    says(&check(&["program"], &own), 0, "");
}

/// As a run would end, before anything is started.
#[test]
fn check_refuses_what_needs_a_node_channel_that_is_not_there() {
    let why = "the command is not Node, so it has no channel for messages";
    for (name, value) in [("RPM_READY", "message"), ("RPM_HANDOVER", "node")] {
        let words = format!("{name}={value}: {why}");
        says(&check(&["true"], &[(name, value)]), 64, &words);
        let off = format!("{name}={value}: RPM_NODE=off, so workers get no channel");
        let node = check(
            &["node", "server.js"],
            &[(name, value), ("RPM_NODE", "off")],
        );
        says(&node, 64, &off);
        says(&check(&["node", "server.js"], &[(name, value)]), 0, "");
    }
}

#[test]
fn check_tries_where_log_files_would_be_and_makes_nothing() {
    let directory = scratch("check-log");
    let inside = directory.join("new/{slot}/app.log");
    let file = [("RPM_LOG_FILE", inside.to_str().unwrap())];
    let output = check(&["true"], &file);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");
    assert!(!directory.join("new").exists());
    let output = check(&["true"], &[("RPM_LOG_FILE", "/etc/passwd/app.log")]);
    says(
        &output,
        0,
        "RPM_LOG_FILE: /etc/passwd cannot be written here: Not a directory",
    );
    let output = check(&["true"], &[("RPM_LOG_FILE", "/etc")]);
    says(
        &output,
        0,
        "RPM_LOG_FILE: /etc cannot be written here: Is a directory",
    );
    // Without the file of its own lines a run would not start.
    let own = directory.join("new/own.log");
    let output = check(&["true"], &[("RPM_LOG_OWN_FILE", own.to_str().unwrap())]);
    says(&output, 0, "");
    assert!(!directory.join("new").exists());
    for (path, place, why) in [
        ("/etc/passwd/own.log", "/etc/passwd", "Not a directory"),
        ("/etc", "/etc", "Is a directory"),
    ] {
        let output = check(&["true"], &[("RPM_LOG_OWN_FILE", path)]);
        let told = format!("RPM_LOG_OWN_FILE: {place} cannot be written here: {why}");
        says(&output, 64, &told);
    }
}

#[test]
fn check_tells_how_long_a_stop_may_take_and_what_must_be_granted() {
    let output = check(&["true"], &[("RPM_SHUTDOWN_DELAY", "5s")]);
    let told = String::from_utf8_lossy(&output.stdout);
    let line = told.lines().last().unwrap();
    let start = "A stop takes at most 25s: RPM_SHUTDOWN_DELAY 5s + RPM_DRAIN_TIMEOUT 5s + RPM_STOP_TIMEOUT 10s + 5s";
    assert!(line.starts_with(start), "{line}");
    assert!(line.contains("terminationGracePeriodSeconds: 25"), "{line}");
}
