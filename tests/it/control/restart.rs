//! `rpmctl restart SLOT` where something goes wrong.

use std::fs;
use std::os::unix::fs::symlink;

use super::{Home, begun, ended};
use crate::harness::shared_port::{Gate, stop};
use crate::harness::{Builder, Runtime, example, free_port};

/// Two workers. The next one of a slot ends with code 3 while a file `broken-SLOT` is in `home`, and waits for a line from the
/// file `gate-SLOT` if that is there.
fn breakable(home: &Home) -> Builder {
    let script = format!(
        "cd {}; if [ -e broken-$RPM_INSTANCE ]; then exit 3; fi; \
         if [ -e gate-$RPM_INSTANCE ]; then read line < gate-$RPM_INSTANCE; fi; exec \"$0\"",
        home.path().display()
    );
    Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .env("RPM_INSTANCES", "2")
        .env("PORT", free_port().to_string())
        .program(["sh", "-c", &script])
        .arg(example("echo_server"))
}

#[test]
fn a_restart_is_not_failed_by_the_fault_of_another_slot() {
    let home = Home::new("own-fault");
    let runtime = breakable(&home)
        .env("RPM_MIN_READY", "0s")
        .env("RPM_RELOAD_SURGE", "2")
        .start();
    runtime.wait_for_status("/startupz", 200);
    fs::write(home.path().join("broken-1"), "").unwrap();
    // The worker of slot 0 comes up only after the other one has failed.
    let mut gate = Gate::new("own-fault");
    symlink(&gate.path, home.path().join("gate-0")).unwrap();
    let first = begun(home.command(&["restart", "0", "--wait"]));
    runtime.wait_for_lines(3, |line| line.contains("worker started"));
    let failed = home.ctl(&["restart", "1", "--wait"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.err.contains(
            "the new worker of slot 1 did not come up: it exited with code 3; the old worker stays"
        ),
        "{failed:?}"
    );
    gate.open(1);
    let first = ended(first);
    assert_eq!(
        (first.code, first.out.as_str()),
        (0, "the worker of slot 0 was replaced\n"),
        "{first:?}"
    );
    let health = home.json(&["health"]);
    assert_eq!(health["failed"][0]["slot"], 1);
    stop(runtime);
}

#[test]
fn a_slot_in_back_off_gets_its_worker_now() {
    let home = Home::new("back-off");
    let runtime = breakable(&home)
        .env("RPM_MIN_READY", "0s")
        .env("RPM_BACKOFF_MIN", "1h")
        .env("RPM_BACKOFF_MAX", "1h")
        .start();
    runtime.wait_for_status("/startupz", 200);
    assert_eq!(home.ctl(&["signal", "KILL", "1"]).code, 0);
    runtime.wait_for_line(|line| line.contains("worker ended") && line.contains("restart in"));
    let said = home.ctl(&["restart", "1", "--wait"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(home.json(&["health"])["workers"]["ready"], 2);
    stop(runtime);
}
