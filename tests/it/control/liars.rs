//! Runtimes that are none, and those that say no: what `rpmctl` makes of their answers.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use serde_json::{Value, json};

use super::{Home, apart, said};

/// Answers every question in this directory with one line, until the test ends.
fn liar(home: &Home, reply: &Value) {
    let path = home.path().join("1-5.sock");
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(path).unwrap();
    // As others write JSON: only what must be escaped is.
    let line = format!("{reply}\n");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut question = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut question).is_ok_and(|read| read > 0) {
                if stream.write_all(line.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
}

/// A title, a cleared screen in one letter, a changed direction, and a line that looks like one of ours.
const HOSTILE: &str = "a\x1b]0;x\x07\u{9b}2J\u{202e}b\u{7f}\r\nrpmctl: forged";

fn is_harmless(text: &str) -> bool {
    let harmful = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
    !text.contains(harmful) && !text.lines().any(|line| line.starts_with("rpmctl: forged"))
}

fn health() -> Value {
    json!({
        "state": HOSTILE, "ready": true, "started": false, "desired": 1, "generation": 0,
        "workers": {
            "ready": 1, "current": 1, "starting": 0, "backoff": 0, "stopped": 0, "draining": 0, "retiring": 0,
        },
        "reloads": [{
            "number": 1, "generation": 1, "workers": 1, "replaced": 0, "result": "failure", "why": HOSTILE,
            "seconds": 1.0,
        }],
        "failures": 1, "last_failure": HOSTILE, "failed": [{ "number": 1, "slot": 0, "why": HOSTILE }],
    })
}

#[test]
fn texts_of_a_hostile_runtime_steer_no_terminal() {
    let version = json!({ "version": HOSTILE, "revision": HOSTILE, "pid": 1, "app": HOSTILE });
    let worker = json!({
        "slot": 0, "place": "slot", "pid": 7, "generation": 0, "state": HOSTILE, "ready": true, "restarts": 0,
        "last_exit": HOSTILE, "last_cause": HOSTILE, "status": HOSTILE,
    });
    let list = json!({
        "runtime": version, "uptime_seconds": 1.0, "health": health(), "workers": [worker],
    });
    let variable = json!({ "name": HOSTILE, "value": HOSTILE, "source": HOSTILE, "note": HOSTILE });
    let table = [
        (&["version"][..], version),
        (&["list"], list.clone()),
        (&["health"], health()),
        (&["env"], json!({ "variables": [variable] })),
        (&["wait", "--started", "--timeout", "10ms"], health()),
    ];
    for (words, result) in table {
        let home = Home::new("liar");
        liar(&home, &json!({ "v": 1, "result": result }));
        let told = home.ctl(words);
        assert!(
            told.out.contains('?') || told.err.contains('?'),
            "{words:?}: {told:?}"
        );
        assert!(
            is_harmless(&told.out) && is_harmless(&told.err),
            "{words:?}: {told:?}"
        );
        if words.len() == 1 {
            assert_eq!(home.json(words)["rpmctl"].is_null(), words != ["version"]);
            let told = home.ctl(&[words, &["--json"]].concat());
            assert!(is_harmless(&told.out), "{words:?}: {told:?}");
            assert_eq!(told.out.lines().count(), 1, "{words:?}: {told:?}");
            let read: Value = serde_json::from_str(&told.out).unwrap();
            let read = if words == ["version"] {
                &read["runtime"]
            } else {
                &read
            };
            assert_eq!(*read, result, "the escapes change nothing");
        }
    }
}

#[test]
fn a_refusal_steers_no_terminal_and_wait_goes_on_only_if_it_may_pass() {
    let refusal = |kind: &str| json!({ "v": 1, "error": { "kind": kind, "text": HOSTILE } });
    let table = [
        ("busy", 1, 2),
        ("refused", 1, 1),
        ("unknown", 1, 1),
        ("not-allowed", 77, 77),
        ("one of later", 1, 1),
    ];
    for (kind, code, of_wait) in table {
        let home = Home::new("refusal");
        liar(&home, &refusal(kind));
        for words in [
            &["list"][..],
            &["reload"],
            &["restart", "all"],
            &["scale", "2"],
            &["reopen"],
        ] {
            let told = home.ctl(words);
            assert_eq!(told.code, code, "{kind} {words:?}: {told:?}");
            assert!(
                told.err.starts_with("rpmctl: a?]0;x?"),
                "{kind} {words:?}: {told:?}"
            );
            assert!(is_harmless(&told.err), "{kind} {words:?}: {told:?}");
        }
        let waited = home.ctl(&["wait", "--timeout", "300ms"]);
        assert_eq!(waited.code, of_wait, "{kind}: {waited:?}");
        assert!(is_harmless(&waited.err), "{kind}: {waited:?}");
        // Without a choice, it may be the runtime of another container, and ours may come.
        let mut elsewhere = apart(&["wait", "--timeout", "300ms"]);
        elsewhere.env("RPM_HOME", home.path());
        let passes = matches!(kind, "busy" | "not-allowed");
        assert_eq!(said(elsewhere).code, if passes { 2 } else { 1 }, "{kind}");
    }
}

#[test]
fn the_directory_may_stand_in_a_file() {
    let home = Home::new("file");
    liar(&home, &json!({ "v": 1, "result": health() }));
    let file = home.path().join("home");
    fs::write(&file, format!("{}\n", home.path().display())).unwrap();
    let ask = |file: &std::path::Path| {
        let mut command = apart(&["health", "--json"]);
        command.env("RPM_HOME_FILE", file);
        said(command)
    };
    let seen = ask(&file);
    assert_eq!(seen.code, 0, "{seen:?}");
    let wrong = ask(&home.path().join("none"));
    assert_eq!(wrong.code, 64, "{wrong:?}");
    assert!(wrong.err.contains("RPM_HOME_FILE="), "{wrong:?}");
}

#[test]
fn rpmctl_has_a_version_without_a_runtime() {
    let home = Home::new("alone");
    let own = format!("rpmctl {}\n", env!("CARGO_PKG_VERSION"));
    let alone = |words: &[&str]| {
        let mut command = apart(words);
        command.env("RPM_HOME", home.path());
        said(command)
    };
    let told = alone(&["version"]);
    assert_eq!(
        (told.code, told.out.as_str(), told.err.as_str()),
        (0, own.as_str(), "")
    );
    let told = alone(&["version", "--json"]);
    let read: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(read["runtime"], Value::Null);
    let told = alone(&["--version"]);
    assert_eq!((told.code, told.out.as_str()), (0, own.as_str()));
    // One that was chosen must be there.
    let told = home.ctl(&["version"]);
    assert_eq!(told.code, 69, "{told:?}");
}
