//! Commands that change something.

use std::fs;

use serde_json::Value;

use super::{Home, begun, ended};
use crate::harness::shared_port::stop;
use crate::harness::{Runtime, Signal, example, until};

fn pids(home: &Home) -> Vec<i64> {
    let listed = home.json(&["list"]);
    let workers = listed["workers"].as_array().unwrap().clone();
    let slots = workers.iter().filter(|worker| worker["place"] == "slot");
    slots
        .map(|worker| worker["pid"].as_i64().unwrap_or(0))
        .collect()
}

#[test]
fn reload_waits_for_its_success_and_tells_who_asked() {
    let home = Home::new("reload");
    let runtime = home.start(2);
    let before = pids(&home);
    let said = home.ctl(&["reload", "--wait"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.out
            .starts_with("reload 1 finished: 2 of 2 workers replaced in "),
        "{said:?}"
    );
    // Plain lines, because there is no terminal.
    assert!(
        !said.err.contains('\r') && !said.err.contains('\x1b'),
        "{said:?}"
    );
    let after = pids(&home);
    assert!(
        after.iter().all(|pid| *pid != 0 && !before.contains(pid)),
        "{before:?} {after:?}"
    );
    let health = home.json(&["health"]);
    assert_eq!(health["generation"], 1);
    assert_eq!(health["reloads"][0]["result"], "success");

    let line = runtime.wait_for_line(|line| line.contains("control command"));
    assert!(
        line.contains("command=reload") && line.contains("peer_uid=0"),
        "{line}"
    );
    let series = "rpm_control_commands_total{command=\"reload\",result=\"ok\"}";
    assert_eq!(runtime.metric(series), Some(1.0));
    stop(runtime);
}

#[test]
fn reload_fails_with_the_reason_if_the_new_version_does_not_come_up() {
    let home = Home::new("broken");
    let mark = home.path().join("broken");
    let script = format!(
        "if [ -e {} ]; then echo no such module >&2; exit 3; fi; exec \"$0\"",
        mark.display()
    );
    let runtime = Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .env("RPM_INSTANCES", "2")
        .env("PORT", crate::harness::free_port().to_string())
        .program(["sh", "-c", &script])
        .arg(example("echo_server"))
        .start();
    runtime.wait_for_status("/startupz", 200);
    let before = pids(&home);
    fs::write(&mark, "").unwrap();
    let failed = home.ctl(&["reload", "--wait"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    for part in [
        "reload 1 failed, 0 of 2 workers replaced",
        "it exited with code 3",
        "no such module",
    ] {
        assert!(failed.err.contains(part), "{part}: {failed:?}");
    }
    assert_eq!(pids(&home), before);
    // The same as JSON, which is the whole of standard output.
    let failed = home.ctl(&["reload", "--wait", "--json"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    let told: Value = serde_json::from_str(&failed.out).unwrap();
    assert_eq!(
        (&told["number"], &told["result"]),
        (&2.into(), &"failure".into())
    );
    fs::remove_file(&mark).unwrap();
    assert_eq!(home.ctl(&["reload", "--wait"]).code, 0);
    stop(runtime);
}

#[test]
fn a_reload_during_a_reload_follows_it_and_is_waited_for() {
    let home = Home::new("follows");
    let runtime = home.serving(2).env("RPM_MIN_READY", "1s").start();
    runtime.wait_for_status("/startupz", 200);
    let first = home.json(&["reload"]);
    assert_eq!(
        (&first["reload"], &first["remembered"]),
        (&1.into(), &false.into())
    );
    let waiting = begun(home.command(&["reload", "--wait", "--json"]));
    let second = ended(waiting);
    assert_eq!(second.code, 0, "{second:?}");
    let told: Value = serde_json::from_str(&second.out).unwrap();
    assert_eq!(
        (&told["number"], &told["result"]),
        (&2.into(), &"success".into())
    );
    assert!(
        second.err.contains("reload 2 waits for reload 1"),
        "{second:?}"
    );
    assert_eq!(home.json(&["health"])["generation"], 2);
    stop(runtime);
}

#[test]
fn a_wait_that_takes_too_long_ends_with_what_is_missing() {
    let home = Home::new("late");
    let runtime = home.serving(1).env("RPM_MIN_READY", "1h").start();
    runtime.wait_for_status("/startupz", 200);
    let late = home.ctl(&["reload", "--wait", "--timeout", "300ms"]);
    assert_eq!(late.code, 2, "{late:?}");
    assert!(
        late.err
            .contains("rpmctl: after 300ms: reload 1: 0 of 1 workers replaced"),
        "{late:?}"
    );
    stop(runtime);
}

#[test]
fn scale_sets_adds_and_removes_and_stays_within_the_limits() {
    let home = Home::new("scale");
    let runtime = home.start(2);
    let number = || home.json(&["health"])["workers"]["ready"].as_u64().unwrap();
    let said = home.ctl(&["scale", "4", "--wait"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "4 workers instead of 2\n"),
        "{said:?}"
    );
    assert_eq!(number(), 4);
    let told = home.json(&["scale", "-3", "--wait"]);
    assert_eq!((&told["from"], &told["to"]), (&4.into(), &1.into()));
    assert_eq!(number(), 1);
    assert_eq!(home.ctl(&["scale", "+1", "--wait"]).code, 0);
    assert_eq!(number(), 2);
    assert_eq!(home.ctl(&["scale", "2"]).out, "2 workers, as before\n");
    for wrong in ["0", "-2", "60000"] {
        let refused = home.ctl(&["scale", wrong]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("there can be 1 to "), "{refused:?}");
    }
    assert_eq!(number(), 2);
    let series = "rpm_control_commands_total{command=\"scale\",result=\"refused\"}";
    assert_eq!(runtime.metric(series), Some(3.0));
    runtime.wait_for_line(|line| line.contains("command=\"scale +1\""));
    stop(runtime);
}

#[test]
fn restart_gives_every_slot_another_worker() {
    let home = Home::new("restart");
    let runtime = home.start(3);
    let before = pids(&home);
    let said = home.ctl(&["restart", "all", "--wait"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "all workers were restarted\n"),
        "{said:?}"
    );
    let after = pids(&home);
    assert!(
        after.iter().all(|pid| *pid != 0 && !before.contains(pid)),
        "{before:?} {after:?}"
    );
    assert_eq!(after.len(), 3);
    stop(runtime);
}

#[test]
fn signals_reach_the_worker_of_a_slot_or_all() {
    let home = Home::new("signal");
    let runtime = Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .env("RPM_PORTS", "off")
        .env("RPM_INSTANCES", "2")
        .env("RPM_LOG_FORMAT", "prefix")
        .program([
            "sh",
            "-c",
            "trap 'echo got USR2 in $RPM_INSTANCE' USR2; echo armed; while :; do sleep 0.05; done",
        ])
        .start();
    runtime.wait_for_lines(2, |line| line.ends_with("armed"));
    let said = home.ctl(&["signal", "SIGUSR2", "1"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "sent to 1 worker\n"),
        "{said:?}"
    );
    runtime.wait_for_line(|line| line.ends_with("got USR2 in 1"));
    assert!(
        !runtime
            .texts()
            .iter()
            .any(|line| line.ends_with("got USR2 in 0"))
    );
    assert_eq!(home.json(&["signal", "12", "all"])["workers"], 2);
    runtime.wait_for_line(|line| line.ends_with("got USR2 in 0"));
    for (words, why) in [
        (
            ["signal", "USR2", "7"],
            "there is no slot 7; slots are 0 to 1",
        ),
        (["signal", "NOPE", "all"], "there is no such signal"),
    ] {
        let refused = home.ctl(&words);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains(why), "{refused:?}");
    }
    stop(runtime);
}

#[test]
fn reopen_begins_a_new_log_file_and_is_refused_where_there_is_none() {
    let home = Home::new("reopen");
    let log = home.path().join("app.log");
    let runtime = home.serving(1).env("RPM_LOG_FILE", &log).start();
    runtime.wait_for_status("/startupz", 200);
    until("the file is there", || log.exists());
    fs::rename(&log, home.path().join("app.log.1")).unwrap();
    assert_eq!(home.ctl(&["reopen"]).code, 0);
    until("the file is there again", || log.exists());
    stop(runtime);

    let home = Home::new("nofile");
    let runtime = home.start(1);
    let refused = home.ctl(&["reopen"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("there are no log files"),
        "{refused:?}"
    );
    stop(runtime);
}

#[test]
fn nothing_is_steered_any_more_while_the_runtime_stops() {
    let home = Home::new("stopping");
    let runtime = home.serving(1).env("RPM_SHUTDOWN_DELAY", "1h").start();
    runtime.wait_for_status("/startupz", 200);
    runtime.signal(Signal::SIGTERM);
    runtime.wait_for_status("/readyz", 503);
    for words in [&["reload"][..], &["restart", "all"], &["scale", "3"]] {
        let refused = home.ctl(words);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused.err.contains("the runtime is stopping"),
            "{refused:?}"
        );
    }
    assert_eq!(home.ctl(&["health"]).code, 1);
    assert_eq!(home.ctl(&["wait"]).code, 1);
    // The second one ends the delay.
    stop(runtime);
}

#[test]
fn one_slot_gets_another_worker_and_the_others_keep_theirs() {
    let home = Home::new("slot");
    let runtime = home.start(3);
    let before = pids(&home);
    let said = home.ctl(&["restart", "1", "--wait"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "the worker of slot 1 was replaced\n"),
        "{said:?}"
    );
    let after = pids(&home);
    assert_eq!((before[0], before[2]), (after[0], after[2]));
    assert!(
        after[1] != 0 && after[1] != before[1],
        "{before:?} {after:?}"
    );
    assert_eq!(home.json(&["health"])["generation"], 0);
    runtime.wait_for_line(|line| line.contains("an operator asked for it"));
    let refused = home.ctl(&["restart", "3"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("there is no slot 3; slots are 0 to 2"),
        "{refused:?}"
    );
    stop(runtime);
}
