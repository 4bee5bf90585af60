//! `rpmctl logs`.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;

use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;

use super::follower::Follower;
use super::{Home, ended, json_lines};
use crate::harness::shared_port::stop;
use crate::harness::{Builder, Runtime, Signal, terminal, until};

/// A shell script as the program, without ports.
fn script(home: &Home, text: &str) -> Builder {
    Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .env("RPM_PORTS", "off")
        .env("RPM_MIN_UPTIME", "100ms")
        .program(["sh", "-c", text])
}

/// A file, and a script that waits until it is there.
fn gate(home: &Home, name: &str) -> (PathBuf, String) {
    let file = home.path().join(name);
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", file.display());
    (file, wait)
}

fn texts(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["text"].as_str().unwrap())
        .collect()
}

#[test]
fn the_last_lines_are_shown_with_their_slot_and_can_be_chosen() {
    let home = Home::new("logs");
    let text = "echo one-$RPM_INSTANCE; echo two-$RPM_INSTANCE >&2; printf 'three\\nfour\\n'; exec sleep 1000";
    let runtime = script(&home, text).env("RPM_INSTANCES", "2").start();
    runtime.wait_for_status("/startupz", 200);
    runtime.wait_for_lines(2, |line| line == "four");
    let shown = |words: &[&str]| {
        let said = home.ctl(&[&["logs"], words].concat());
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{words:?}");
        said.out
    };
    let all = shown(&[]);
    for line in [
        "  0 | one-0",
        "  0 ! two-0",
        "  1 | one-1",
        "  1 ! two-1",
        "  1 | four",
    ] {
        assert!(all.lines().any(|shown| shown == line), "{line}: {all}");
    }
    let own = all
        .lines()
        .filter(|line| line.starts_with("rpm | info: worker ready slot="));
    assert_eq!(own.count(), 2, "{all}");
    assert_eq!(shown(&["--stderr", "--slot", "1"]), "  1 ! two-1\n");
    // Each stream has its order; "three" and "four" are of one.
    let last = ["--slot", "0", "--grep", "r", "--lines", "1"];
    assert_eq!(shown(&last), "  0 | four\n");
    assert_eq!(shown(&["--grep", "one-1"]), "  1 | one-1\n");
    assert_eq!(shown(&["--grep", "one-1", "-n", "0"]), "");
    assert_eq!(
        shown(&["--since", "1h", "--grep", "two-0"]),
        "  0 ! two-0\n"
    );
    let items = json_lines(&shown(&["--json", "--slot", "0"]));
    assert_eq!(texts(&items).len(), 4);
    let first = items.iter().find(|item| item["text"] == "two-0").unwrap();
    assert_eq!(
        (&first["stream"], &first["slot"]),
        (&"stderr".into(), &0.into())
    );
    let pids: Vec<i32> = runtime.workers().iter().map(|worker| worker.pid).collect();
    let pid = first["pid"].as_i64().unwrap();
    assert!(
        pids.iter().any(|one| i64::from(*one) == pid),
        "{pid} {pids:?}"
    );
    stop(runtime);
}

#[test]
fn lines_are_kept_before_they_get_their_format_and_what_is_not_utf8_is_replaced() {
    let home = Home::new("format");
    let text = "printf 'a\\377b\\n'; printf '\\033[31mred\\n'; exec sleep 1000";
    let runtime = script(&home, text).env("RPM_LOG_FORMAT", "json").start();
    runtime.wait_for_line(|line| line.contains("red"));
    // A pipe may lead to a terminal: `kubectl exec` without -t.
    let said = home.ctl(&["logs", "--slot", "0"]);
    assert_eq!(said.out, "  0 | a\u{fffd}b\n  0 | red\n");
    let said = home.ctl(&["logs", "--slot", "0", "--raw"]);
    assert_eq!(said.out, "  0 | a\u{fffd}b\n  0 | \u{1b}[31mred\n");
    let said = home.ctl(&["logs", "--slot", "0", "--json"]);
    assert!(said.out.contains("\\u001b[31mred"), "{said:?}");
    stop(runtime);
}

#[test]
fn on_a_terminal_no_line_steers_it() {
    let home = Home::new("terminal");
    let text = "printf '\\033[31mred\\033[0m \\033[2J\\033]0;title\\007end\\n'; exec sleep 1000";
    let runtime = script(&home, text).start();
    // Not the line of the runtime that tells the command.
    runtime.wait_for_line(|line| line.ends_with("\u{7}end"));
    let shown = |vars: &[(&str, &str)]| {
        let (mut person, program) = terminal();
        let mut command = home.command(&["logs", "--slot", "0"]);
        command.envs(vars.iter().copied()).stdout(program);
        let said = ended(command.stderr(Stdio::piped()).spawn().unwrap());
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        drop(command);
        let mut text = Vec::new();
        // It ends with an error when nobody has the other side any more (EIO).
        let _ = person.read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    };
    let line = "red ?[2J?]0;title?end\r\n";
    assert_eq!(shown(&[("NO_COLOR", "1")]), format!("  0 | {line}"));
    assert_eq!(shown(&[]), format!("\x1b[32m  0 |\x1b[0m {line}"));
    stop(runtime);
}

#[test]
fn lines_are_followed_to_the_last_one_of_the_runtime() {
    let home = Home::new("follows");
    let (go, wait) = gate(&home, "go");
    let text = format!(
        "echo before; {wait}; echo after; trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done"
    );
    let runtime = script(&home, &text).start();
    runtime.wait_for_line(|line| line == "before");
    let mut follower = Follower::start(&home, &["logs", "-f", "--lines", "1", "--slot", "0"]);
    assert_eq!(follower.next(), "  0 | before");
    fs::write(go, "").unwrap();
    assert_eq!(follower.next(), "  0 | after");
    let mut whole = Follower::start(&home, &["logs", "--follow"]);
    whole.until("after");
    stop(runtime);
    assert_eq!(follower.rest(), "  0 | bye\n");
    assert_eq!(follower.code(), 0);
    let rest = whole.rest();
    assert!(
        // Lines of a worker and of the runtime have no order.
        rest.lines()
            .rfind(|line| line.starts_with("rpm | "))
            .unwrap()
            .starts_with("rpm | info: stopped"),
        "{rest}"
    );
    assert_eq!(whole.code(), 0);
}

#[test]
fn a_reader_that_is_stopped_loses_lines_that_are_counted_and_nobody_waits_for_it() {
    const LINES: u64 = 100_000;
    let home = Home::new("stopped");
    let (go, wait) = gate(&home, "go");
    let (last, wait_more) = gate(&home, "last");
    let done = home.path().join("done");
    let text = format!(
        "echo begin; {wait}; seq {LINES}; touch {}; {wait_more}; echo end; exec sleep 1000",
        done.display()
    );
    let runtime = script(&home, &text).start();
    runtime.wait_for_status("/startupz", 200);
    let shown = home.path().join("shown");
    let mut command = home.command(&["logs", "-f", "--json", "--lines", "1", "--slot", "0"]);
    let mut reader = command
        .stdout(File::create(&shown).unwrap())
        .spawn()
        .unwrap();
    let read = || fs::read_to_string(&shown).unwrap();
    until("it has begun", || read().contains("begin"));
    let pid = Pid::from_raw(reader.id().try_into().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", runtime.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib
    };
    let before = memory();
    fs::write(go, "").unwrap();
    until("the program has written all", || done.exists());
    let series = "rpm_log_lines_total{stream=\"stdout\"}";
    until("all lines are written", || {
        runtime.metric(series) >= Some(100_001.0)
    });
    let grown = memory().saturating_sub(before);
    assert!(grown < 4 << 10, "{grown} KiB");
    kill(pid, Signal::SIGCONT).unwrap();
    fs::write(last, "").unwrap();
    until("it has caught up", || read().contains("\"end\""));
    reader.kill().unwrap();
    reader.wait().unwrap();
    let items = json_lines(&read());
    let missing: u64 = items.iter().filter_map(|item| item["lost"].as_u64()).sum();
    let numbers: Vec<u64> = items
        .iter()
        .filter_map(|item| item["text"].as_str()?.parse().ok())
        .collect();
    assert!(missing > 0 && !numbers.is_empty());
    assert_eq!(missing + numbers.len() as u64, LINES);
    assert!(numbers.is_sorted());
    stop(runtime);
}

#[test]
fn fifty_readers_get_every_line() {
    let home = Home::new("fifty");
    let (go, wait) = gate(&home, "go");
    let text = format!("{wait}; seq 500; exec sleep 1000");
    let runtime = script(&home, &text).start();
    runtime.wait_for_status("/startupz", 200);
    let mut readers: Vec<Follower> = (0..50)
        .map(|_| Follower::start(&home, &["logs", "-f", "--slot", "0"]))
        .collect();
    let series = "rpm_control_commands_total{command=\"logs\",result=\"ok\"}";
    until("all follow", || runtime.metric(series) == Some(50.0));
    fs::write(go, "").unwrap();
    for reader in &mut readers {
        for number in 1..=500 {
            assert_eq!(reader.next(), format!("  0 | {number}"));
        }
    }
    // There is a place for others meanwhile.
    assert_eq!(home.ctl(&["health"]).code, 0);
    stop(runtime);
    for reader in &mut readers {
        assert_eq!((reader.rest(), reader.code()), (String::new(), 0));
    }
}

#[test]
fn without_the_ring_it_is_refused_and_a_reader_that_has_enough_ends_it_quietly() {
    let home = Home::new("none");
    let text = "seq 1000; exec sleep 1000";
    let runtime = script(&home, text).env("RPM_LOG_RING", "0").start();
    runtime.wait_for_line(|line| line == "1000");
    let said = home.ctl(&["logs"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("RPM_LOG_RING"), "{said:?}");
    stop(runtime);
    let runtime = script(&home, text).start();
    runtime.wait_for_line(|line| line == "1000");
    let mut command = home.command(&["logs"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer).stderr(Stdio::piped());
    let said = ended(command.spawn().unwrap());
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    stop(runtime);
}
