//! `rpmctl describe`: everything of one slot.

use super::Home;
use crate::harness::shared_port::stop;
use crate::harness::{Runtime, Signal, example, free_port, until};

#[test]
fn describe_shows_the_worker_its_command_its_ports_and_the_names_of_its_variables() {
    let home = Home::new("describe");
    let port = free_port();
    let runtime = home
        .serving(2)
        .env("PORT", port.to_string())
        .env("A_SECRET", "open sesame")
        .start();
    runtime.wait_for_status("/startupz", 200);
    let told = home.json(&["describe", "1"]);
    let listed = home.json(&["list"]);
    for field in ["slot", "pid", "state", "generation", "restarts"] {
        assert_eq!(
            told["workers"][0][field], listed["workers"][1][field],
            "{field}"
        );
    }
    let server = example("echo_server");
    assert_eq!(told["command"], serde_json::json!([server]));
    let names = told["environment"].as_array().unwrap();
    for name in ["PORT", "A_SECRET", "RPM_GENERATION", "NODE_APP_INSTANCE"] {
        assert!(names.contains(&name.into()), "{name}: {told}");
    }
    assert_eq!(told["handover"]["handover"], "intercept");
    let listener = &told["listeners"][0];
    assert!(
        listener["address"]
            .as_str()
            .unwrap()
            .ends_with(&format!(":{port}")),
        "{told}"
    );
    for field in ["in_rotation", "taken"] {
        assert_eq!(listener[field], true, "{told}");
    }
    assert_eq!(told["exits"], serde_json::json!([]));

    let shown = home.ctl(&["describe", "1"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    for part in [
        "COMMAND\n  ",
        "echo_server",
        "hand-over intercept, steering ",
        "LAST EXITS\n  none\n",
        "ENVIRONMENT (names)\n",
        "  A_SECRET\n",
    ] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    assert!(!shown.out.contains("sesame") && !told.to_string().contains("sesame"));

    let wrong = home.ctl(&["describe", "2"]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(
        wrong.err.contains("there is no slot 2; slots are 0 to 1"),
        "{wrong:?}"
    );
    stop(runtime);
}

#[test]
fn describe_keeps_how_the_last_workers_ended_and_what_they_said_last() {
    let home = Home::new("exits");
    let script = "echo life $RPM_GENERATION >&2; echo out; sleep 0.05; echo 'the disk is full' >&2; \
                  echo \"\u{1b}[31mred\" >&2; exit 4";
    let runtime = Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .env("RPM_BACKOFF_MAX", "100ms")
        .env("RPM_MAX_RESTARTS", "100")
        .program(["sh", "-c", script])
        .start();
    runtime.wait_for_line(|line| line.contains("control socket"));
    let mut told = home.json(&["describe", "0"]);
    until("more ends than are kept", || {
        told = home.json(&["describe", "0"]);
        told["workers"][0]["restarts"].as_u64().unwrap() > 7
    });
    let exits = told["exits"].as_array().unwrap();
    assert_eq!(exits.len(), 5, "{told}");
    for exit in exits {
        assert_eq!(
            (&exit["exit"], &exit["cause"]),
            (&"exit code 4".into(), &"exit".into())
        );
        assert!(exit["time"].as_u64().unwrap() > 1_000_000_000, "{exit}");
    }
    // All but the latest are complete: their streams have ended.
    for exit in &exits[..4] {
        assert_eq!(
            exit["lines"],
            serde_json::json!(["life 0", "the disk is full", "\u{1b}[31mred"])
        );
    }
    let times: Vec<u64> = exits
        .iter()
        .map(|exit| exit["time"].as_u64().unwrap())
        .collect();
    assert!(times.is_sorted(), "the latest is at the end: {told}");
    let shown = home.ctl(&["describe", "0"]).out;
    assert!(shown.contains("exit code 4 (exit) after "), "{shown}");
    assert!(shown.contains("    the disk is full\n"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
    stop(runtime);
}

#[test]
fn a_worker_that_served_for_long_has_its_last_lines_too() {
    let home = Home::new("served");
    let script =
        "trap 'echo so long >&2; exit 0' TERM; echo hello >&2; while :; do sleep 0.1; done";
    let runtime = Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .env("RPM_PORTS", "off")
        .env("RPM_MIN_UPTIME", "1ms")
        .env("RPM_MIN_READY", "0s")
        .program(["sh", "-c", script])
        .start();
    runtime.wait_for_status("/startupz", 200);
    let first = home.json(&["list"])["workers"][0]["pid"].clone();
    runtime.signal(Signal::SIGHUP);
    until("the old worker has ended, and said so", || {
        let exit = &home.json(&["describe", "0"])["exits"][0];
        exit["pid"] == first
            && exit["cause"] == "reload"
            && exit["lines"] == serde_json::json!(["hello", "so long"])
    });
    stop(runtime);
}
