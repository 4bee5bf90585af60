//! A runtime that always answers the same.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use crate::harness::source;

/// Listens in a directory, and answers `list` with `tests/snapshots/monit/NAME.json`. A stream stays open and is empty.
pub fn fake_runtime(home: &Path, name: &str) {
    let stored = source("tests/snapshots/monit").join(format!("{name}.json"));
    let answer = fs::read_to_string(stored).unwrap();
    let listener = UnixListener::bind(home.join("1-1.sock")).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, answer) = (stream.unwrap(), answer.clone());
            thread::spawn(move || serve(&stream, answer.trim_end()));
        }
    });
}

fn serve(stream: &UnixStream, answer: &str) {
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let request: serde_json::Value = serde_json::from_str(&line).unwrap();
        if request["command"] == "logs" {
            continue;
        }
        assert_eq!(request["command"], "list", "{line}");
        let mut stream = stream;
        if writeln!(stream, "{{\"v\":1,\"result\":{answer}}}").is_err() {
            return;
        }
    }
}
