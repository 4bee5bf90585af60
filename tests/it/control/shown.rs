//! Commands that read.

use std::process::Command;

use super::{Home, begun, ended, rpmctl, said};
use crate::harness::shared_port::{stop, v4};
use crate::harness::{Runtime, Signal, until};

#[test]
fn list_shows_every_worker_as_status_does() {
    let home = Home::new("list");
    let runtime = home.start(2);
    let listed = home.json(&["list"]);
    let status = runtime.get("/status").json();
    assert_eq!(listed["runtime"]["pid"], runtime.pid());
    assert_eq!(listed["runtime"]["app"], "echo_server");
    assert_eq!(listed["health"]["ready"], true);
    let workers = listed["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2);
    for (worker, slot) in workers.iter().zip(status["slots"].as_array().unwrap()) {
        for field in ["slot", "pid", "generation", "state", "restarts"] {
            assert_eq!(worker[field], slot[field], "{field}");
        }
        assert_eq!(worker["place"], "slot");
        assert_eq!(worker["in_rotation"], true);
        assert_eq!(worker["queue"], 0);
        assert!(worker["memory_bytes"].as_u64().unwrap() > 0);
        assert!(worker["cpu_percent"].as_f64().unwrap() >= 0.0);
        assert!(worker["uptime_seconds"].as_f64().unwrap() > 0.0);
    }

    let table = home.ctl(&["ls"]);
    assert_eq!((table.code, table.err.as_str()), (0, ""));
    let lines: Vec<&str> = table.out.lines().collect();
    assert!(lines[0].starts_with("echo_server: running, 2 of 2 ready, generation 0, up "));
    assert!(lines[1].starts_with("SLOT"), "{}", table.out);
    assert_eq!(lines.len(), 4, "{}", table.out);
    for (line, worker) in lines[2..].iter().zip(workers) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1], worker["pid"].to_string(), "{line}");
        assert_eq!(words[3], "ready");
    }
    stop(runtime);
}

#[test]
fn list_counts_open_connections_and_shows_how_the_last_worker_ended() {
    let home = Home::new("conn");
    let port = crate::harness::free_port();
    let runtime = home.serving(1).env("PORT", port.to_string()).start();
    runtime.wait_for_status("/startupz", 200);
    let first = home.json(&["list"])["workers"][0]["pid"].clone();
    let _kept = std::net::TcpStream::connect(v4(port)).unwrap();
    until("the connection is counted", || {
        home.json(&["list"])["workers"][0]["connections"] == 1
    });
    let pid = first.as_i64().unwrap().try_into().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    until("its successor is ready", || {
        let worker = &home.json(&["list"])["workers"][0];
        worker["pid"] != first && worker["ready"] == true
    });
    let worker = &home.json(&["list"])["workers"][0];
    assert_eq!(worker["last_exit"], "SIGKILL");
    assert_eq!(worker["last_cause"], "signal");
    assert_eq!(worker["restarts"], 1);
    assert!(home.ctl(&["list"]).out.contains("SIGKILL"));
    stop(runtime);
}

#[test]
fn health_tells_by_its_exit_code_whether_the_service_is_ready() {
    let home = Home::new("health");
    let runtime = home.start(2);
    let good = home.ctl(&["health"]);
    assert_eq!(good.code, 0);
    assert_eq!(good.out, "ready: running, 2 of 2 ready, generation 0\n");
    assert_eq!(home.json(&["health"])["workers"]["ready"], 2);
    stop(runtime);

    let never = home.serving(1).env("RPM_READY", "notify").start();
    never.wait_for_line(|line| line.contains("control socket"));
    let bad = home.ctl(&["health"]);
    assert_eq!((bad.code, bad.err.as_str()), (1, ""));
    assert!(
        bad.out.starts_with("not ready: starting, 0 of 1 ready"),
        "{bad:?}"
    );
    stop(never);
}

#[test]
fn env_shows_what_check_shows() {
    let home = Home::new("env");
    let runtime = home.serving(1).env("RPM_STOP_TIMEOUT", "7s").start();
    runtime.wait_for_line(|line| line.contains("control socket"));
    let shown = home.json(&["env"]);
    let variables = shown["variables"].as_array().unwrap();
    let of = |name: &str| variables.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("RPM_STOP_TIMEOUT")["value"], "7s");
    assert_eq!(of("RPM_STOP_TIMEOUT")["source"], "environment");
    assert_eq!(of("RPM_DRAIN_TIMEOUT")["source"], "default");

    let mut check = Command::new(env!("CARGO_BIN_EXE_rpm-runtime"));
    check.args(["--check", "true"]).env_clear();
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("RPM_"));
        lines
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    let checked = names(&said(check).out);
    assert!(checked.len() > 50);
    assert_eq!(names(&home.ctl(&["env"]).out), checked);
    stop(runtime);
}

#[test]
fn version_names_both_and_is_there_without_a_runtime_too() {
    let home = Home::new("version");
    let own = concat!("rpmctl ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(said(rpmctl(&["--version"])).out, own);
    let runtime = home.start(1);
    let both = home.ctl(&["version"]);
    assert!(both.out.starts_with(own), "{both:?}");
    assert!(both.out.contains("rpm-runtime "), "{both:?}");
    assert_eq!(home.json(&["version"])["runtime"]["pid"], runtime.pid());
    stop(runtime);
}

#[test]
fn wait_begins_before_the_runtime_and_ends_when_it_is_ready() {
    let home = Home::new("wait");
    let waiting = begun(home.command(&["wait", "--started", "--timeout", "10m"]));
    let runtime = home.serving(2).start();
    let waited = ended(waiting);
    assert_eq!(waited.code, 0, "{waited:?}");
    assert_eq!(runtime.get("/startupz").status, 200);
    assert_eq!(home.json(&["wait"])["ready"], true);
    stop(runtime);

    let late = home.ctl(&["wait", "--timeout", "1ms"]);
    assert_eq!(late.code, 2, "{late:?}");
    assert!(
        late.err.starts_with("rpmctl: after 1ms: no runtime"),
        "{late:?}"
    );
}

#[test]
fn wrong_words_get_the_nearest_ones_and_the_exit_code_of_usage() {
    for (words, expected) in [
        (&["helth"][..], "'health'"),
        (&["wait", "--timeout", "5"], "needs a unit"),
        (&["wait", "--ready", "--started"], "cannot be used with"),
        (&[], "Usage: rpmctl"),
    ] {
        let wrong = said(rpmctl(words));
        assert_eq!(wrong.code, 64, "{wrong:?}");
        assert!(wrong.err.contains(expected), "{words:?}: {wrong:?}");
    }
    let help = said(rpmctl(&["list", "--help"]));
    assert_eq!(help.code, 0);
    assert!(help.out.contains("Example:"), "{help:?}");
}

#[test]
fn questions_are_counted_and_logged_only_for_those_who_look_closely() {
    let home = Home::new("count");
    let runtime = home.serving(1).env("RPM_LOG_LEVEL", "debug").start();
    runtime.wait_for_status("/startupz", 200);
    home.json(&["list"]);
    home.json(&["list"]);
    let series = "rpm_control_commands_total{command=\"list\",result=\"ok\"}";
    assert_eq!(runtime.metric(series), Some(2.0));
    let other = "rpm_control_commands_total{command=\"connect\",result=\"refused\"}";
    assert_eq!(runtime.metric(other), Some(0.0));
    let line = runtime.wait_for_line(|line| line.contains("control command"));
    assert!(
        line.contains("command=list") || line.contains("command=\"list\""),
        "{line}"
    );
    stop(runtime);
}

#[test]
fn a_program_without_a_port_is_listed_without_connections() {
    let home = Home::new("noport");
    let runtime = Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .env("RPM_PORTS", "off")
        .program(["sleep", "1000"])
        .start();
    runtime.wait_workers(1);
    let worker = &home.json(&["list"])["workers"][0];
    for field in ["connections", "queue", "in_rotation"] {
        assert!(worker[field].is_null(), "{field}: {worker}");
    }
    let table = home.ctl(&["list"]).out;
    assert!(
        table.lines().last().unwrap().trim_end().ends_with('-'),
        "{table}"
    );
    stop(runtime);
}
