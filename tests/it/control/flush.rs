//! `rpmctl flush` empties the log files.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::Home;
use crate::harness::shared_port::stop;
use crate::harness::{Builder, Runtime, until};

/// A worker that writes a line to each stream at each SIGUSR2.
const SPEAKS: &str =
    "trap 'echo line-out; echo line-err >&2' USR2; echo armed; while :; do sleep 0.05; done";

fn speaking(home: &Home) -> Builder {
    Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .env("RPM_PORTS", "off")
        .program(["sh", "-c", SPEAKS])
}

/// The worker speaks, and this has come to the files.
#[track_caller]
fn speak(home: &Home, files: &[(&Path, &str)]) {
    assert_eq!(home.ctl(&["signal", "USR2", "all"]).code, 0);
    for (file, word) in files {
        until("the line is in its file", || text(file).contains(word));
    }
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

#[test]
fn the_log_files_and_the_lines_in_memory_are_empty_and_go_on() {
    for overflow in ["block", "drop"] {
        let home = Home::new(&format!("flush-{overflow}"));
        let of = |name: &str| home.path().join(name);
        let (out, err, own) = (of("out.log"), of("err.log"), of("own.log"));
        let runtime = speaking(&home)
            .env("RPM_LOG_FILE", &out)
            .env("RPM_LOG_ERROR_FILE", &err)
            .env("RPM_LOG_OWN_FILE", &own)
            .env("RPM_LOG_OVERFLOW", overflow)
            .start();
        runtime.wait_for_line(|line| line.contains("armed"));
        let files = [(&out, "line-out"), (&err, "line-err")];
        let files = files.map(|(file, word)| (file.as_path(), word));
        speak(&home, &files);
        until("the start is told", || text(&own).contains("starting"));
        // Another process appends to it too.
        let mut other = OpenOptions::new().append(true).open(&out).unwrap();
        other.write_all(b"foreign\n").unwrap();
        let said = home.ctl(&["flush"]);
        assert_eq!(
            (said.code, said.out.as_str()),
            (0, "log files: 3 emptied; the lines in memory are gone\n"),
            "{said:?}"
        );
        assert!(!text(&out).contains("line-out") && !text(&out).contains("foreign"));
        assert!(!text(&err).contains("line-err"));
        until("who asked is told", || text(&own).contains("command=flush"));
        assert!(!text(&own).contains("starting"), "{}", text(&own));
        assert!(!home.ctl(&["logs"]).out.contains("line-out"));
        other.write_all(b"foreign\n").unwrap();
        speak(&home, &files);
        let now = text(&out);
        assert_eq!(now.matches("line-out").count(), 1, "{now:?}");
        assert!(now.contains("foreign\n") && !now.contains('\0'), "{now:?}");
        assert!(home.ctl(&["logs"]).out.contains("line-out"));
        stop(runtime);
    }
}

#[test]
fn what_cannot_be_emptied_is_named() {
    let home = Home::new("flush-device");
    let out = home.path().join("out.log");
    let runtime = speaking(&home)
        .env("RPM_LOG_FILE", &out)
        .env("RPM_LOG_ERROR_FILE", "/dev/null")
        .start();
    runtime.wait_for_line(|line| line.contains("armed"));
    speak(&home, &[(&out, "line-out")]);
    runtime.wait_for_line(|line| line.contains("line-err"));
    let said = home.ctl(&["flush"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.err
            .contains("left as it is: /dev/null: it is a device"),
        "{said:?}"
    );
    assert!(said.out.starts_with("log files: 1 emptied"), "{said:?}");
    stop(runtime);
}

#[test]
fn without_log_files_the_lines_in_memory_are_forgotten() {
    let home = Home::new("flush-memory");
    let runtime = speaking(&home).start();
    runtime.wait_for_line(|line| line.contains("armed"));
    let told = home.json(&["flush"]);
    assert_eq!((&told["files"], &told["memory"]), (&0.into(), &true.into()));
    assert!(!home.ctl(&["logs"]).out.contains("armed"));
    stop(runtime);

    let home = Home::new("flush-nothing");
    let runtime = speaking(&home).env("RPM_LOG_RING", "0").start();
    runtime.wait_for_line(|line| line.contains("armed"));
    let refused = home.ctl(&["flush"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("there are no log files"),
        "{refused:?}"
    );
    stop(runtime);
}
