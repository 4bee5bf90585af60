//! Slots that an operator stops and starts.

use std::fs;
use std::path::PathBuf;

use super::Home;
use crate::harness::shared_port::{field, send, stop};
use crate::harness::{Builder, Runtime, Signal, example, free_port, until_some};

#[track_caller]
pub fn done(home: &Home, words: &[&str], expected: &str) {
    let said = home.ctl(words);
    assert_eq!((said.code, said.out.as_str()), (0, expected), "{said:?}");
}

pub fn states(home: &Home) -> Vec<String> {
    let listed = home.json(&["list"]);
    let workers = listed["workers"].as_array().unwrap().iter();
    let slots = workers.filter(|worker| worker["place"] == "slot");
    let states = slots.map(|worker| worker["state"].as_str().unwrap().to_owned());
    states.collect()
}

#[test]
fn a_stop_signal_ends_a_runtime_whose_slots_are_all_stopped() {
    let home = Home::new("halt-term");
    let runtime = home.serving(1).env("RPM_SHUTDOWN_DELAY", "1h").start();
    runtime.wait_for_status("/startupz", 200);
    done(&home, &["stop", "0", "--wait"], "slot 0 is stopped\n");
    stop(runtime);
}

#[test]
fn a_halted_slot_stays_empty_through_reload_restart_and_scale() {
    let home = Home::new("halt-stays");
    let runtime = home.start(2);
    done(&home, &["stop", "0", "--wait"], "slot 0 is stopped\n");
    done(&home, &["stop", "0"], "slot 0 is stopped already\n");
    assert_eq!(home.json(&["stop", "0"])["slots"], 0);
    let said = home.ctl(&["reload", "--wait"]);
    assert!(
        said.out.contains("finished: 1 of 1 workers replaced"),
        "{said:?}"
    );
    assert_eq!(states(&home), ["halted", "ready"]);
    done(
        &home,
        &["restart", "all", "--wait"],
        "all workers were restarted\n",
    );
    assert_eq!(states(&home), ["halted", "ready"]);
    assert_eq!(home.ctl(&["scale", "3", "--wait"]).code, 0);
    assert_eq!(states(&home), ["halted", "ready", "ready"]);
    let line = runtime.wait_for_line(|line| line.contains("cause=halt"));
    assert_eq!(field(&line, "slot"), "0");
    assert!(line.contains("rpmctl start"), "{line}");
    runtime.wait_for_line(|line| line.contains("command=\"stop 0\""));
    // `restart` of this slot alone starts it.
    let said = home.ctl(&["restart", "0", "--wait"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(states(&home), ["ready", "ready", "ready"]);
    let refused = home.ctl(&["stop", "7"]);
    assert!(refused.err.contains("there is no slot 7"), "{refused:?}");
    stop(runtime);
}

/// The process that leaves, as soon as there is one.
pub fn leaving(home: &Home) -> i32 {
    until_some("a worker leaves", || {
        let listed = home.json(&["list"]);
        let mut workers = listed["workers"].as_array().unwrap().iter();
        let leaving = workers.find(|worker| worker["place"] == "leaving")?;
        i32::try_from(leaving["pid"].as_i64()?).ok()
    })
}

#[test]
fn a_second_start_names_the_old_worker_that_is_waited_for() {
    let home = Home::new("halt-twice");
    let go = home.path().join("go");
    let script = format!(
        "trap 'test -e {} && exit 0' TERM; echo armed; while :; do sleep 0.05; done",
        go.display()
    );
    let runtime = Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .env("RPM_PORTS", "off")
        .env("RPM_STOP_TIMEOUT", "1h")
        .env("RPM_LOG_FORMAT", "prefix")
        .program(["sh", "-c", &script])
        .start();
    runtime.wait_for_lines(1, |line| line.ends_with("armed"));
    done(&home, &["stop", "0"], "slot 0 stops\n");
    let old = leaving(&home);
    done(&home, &["start", "0"], "slot 0 starts\n");
    let waits = format!("slot 0 gets its worker when process {old} has left\n");
    done(&home, &["start", "0"], &waits);
    done(&home, &["start", "all"], &waits);
    assert_eq!(states(&home), ["backoff"]);
    fs::write(&go, "").unwrap();
    send(old, Signal::SIGTERM);
    runtime.wait_for_lines(2, |line| line.ends_with("armed"));
    done(
        &home,
        &["start", "0", "--wait"],
        "slot 0 has a worker already\n",
    );
    stop(runtime);
}

/// Two workers that exit with 3 at once while the file is there.
fn breakable(home: &Home) -> (Builder, PathBuf) {
    let mark = home.path().join("broken");
    let script = format!("if [ -e {} ]; then exit 3; fi; exec \"$0\"", mark.display());
    let program = Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .env("RPM_INSTANCES", "2")
        .env("PORT", free_port().to_string())
        .program(["sh", "-c", &script])
        .arg(example("echo_server"));
    (program, mark)
}

#[test]
fn a_start_whose_worker_ends_fails_with_the_reason() {
    let home = Home::new("halt-fails");
    let (program, mark) = breakable(&home);
    let runtime = program
        // It is not started again before the client has looked.
        .env("RPM_BACKOFF_MIN", "1h")
        .env("RPM_BACKOFF_MAX", "1h")
        .start();
    runtime.wait_for_status("/startupz", 200);
    done(&home, &["stop", "1", "--wait"], "slot 1 is stopped\n");
    fs::write(&mark, "").unwrap();
    let failed = home.ctl(&["start", "1", "--wait"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.err.contains(
            "the new worker of slot 1 did not stay (exit code 3); the next one starts in "
        ),
        "{failed:?}"
    );
    // A start during the back-off does not wait for its end.
    fs::remove_file(&mark).unwrap();
    done(&home, &["start", "1", "--wait"], "slot 1 is started\n");
    stop(runtime);
}

#[test]
fn a_start_or_restart_whose_worker_stays_down_fails_with_its_exit() {
    let home = Home::new("halt-down");
    let (program, mark) = breakable(&home);
    let runtime = program.env("RPM_RESTART", "never").start();
    runtime.wait_for_status("/startupz", 200);
    done(&home, &["stop", "1", "--wait"], "slot 1 is stopped\n");
    fs::write(&mark, "").unwrap();
    for command in ["start", "restart"] {
        let failed = home.ctl(&[command, "1", "--wait"]);
        assert_eq!(
            (failed.code, failed.out.as_str()),
            (1, ""),
            "{command}: {failed:?}"
        );
        let why = "the new worker of slot 1 did not stay (exit code 3); the slot stays empty";
        assert!(failed.err.contains(why), "{command}: {failed:?}");
    }
    fs::remove_file(&mark).unwrap();
    done(&home, &["start", "1", "--wait"], "slot 1 is started\n");
    stop(runtime);
}
