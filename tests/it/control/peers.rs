//! Who may use it, and what clients can do to it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{Home, begun, ended, said};
use crate::harness::shared_port::stop;
use crate::harness::{patience, until};

/// The only socket of the directory.
fn socket(home: &Home) -> PathBuf {
    let files = home.files();
    assert_eq!(files.len(), 1, "{files:?}");
    home.path().join(&files[0])
}

fn connect(home: &Home) -> UnixStream {
    let stream = UnixStream::connect(socket(home)).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    stream
}

const FOREIGN: [&str; 4] = ["--reuid=61234", "--regid=61234", "--clear-groups", "--"];

#[test]
fn a_foreign_user_is_refused_told_and_logged_once() {
    let home = Home::new("foreign");
    let runtime = home.start(1);
    // A copy that everybody may execute, wherever the build is.
    let program = std::env::temp_dir().join(format!("rpmctl-{}", std::process::id()));
    fs::copy(env!("CARGO_BIN_EXE_rpmctl"), &program).unwrap();
    // Let it come as far as the check of the peer: else the modes of the files keep it away.
    let place = std::env::temp_dir().join(format!("rpm-foreign-{}", std::process::id()));
    let _ = fs::remove_dir_all(&place);
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(socket(&home), place.join("1-1.sock")).unwrap();
    fs::set_permissions(place.join("1-1.sock"), fs::Permissions::from_mode(0o666)).unwrap();
    let ask = || {
        let mut command = Command::new("setpriv");
        command.args(FOREIGN).arg(&program).args(["list", "--home"]);
        command.arg(&place).env_clear();
        command.env("PATH", "/usr/bin:/bin");
        said(command)
    };
    for _ in 0..3 {
        let refused = ask();
        assert_eq!(refused.code, 77, "{refused:?}");
        assert!(
            refused
                .err
                .contains("user 61234 may not use the control socket"),
            "{refused:?}"
        );
    }
    let series = "rpm_control_commands_total{command=\"connect\",result=\"refused\"}";
    assert_eq!(runtime.metric(series), Some(3.0));
    let lines = runtime.texts();
    let told = lines
        .iter()
        .filter(|line| line.contains("a peer of the control socket was refused"));
    let told: Vec<&String> = told.collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("61234"), "{told:?}");
    // With the modes as they are, it does not come so far.
    fs::set_permissions(place.join("1-1.sock"), fs::Permissions::from_mode(0o600)).unwrap();
    let kept_out = ask();
    assert_eq!(kept_out.code, 77, "{kept_out:?}");
    assert_eq!(runtime.metric(series), Some(3.0));
    stop(runtime);
    fs::remove_dir_all(&place).unwrap();
    fs::remove_file(&program).unwrap();
}

#[test]
fn the_user_of_the_runtime_and_root_may_use_it() {
    let place = std::env::temp_dir().join(format!("rpm-own-{}", std::process::id()));
    let _ = fs::remove_dir_all(&place);
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
    let program = place.join("rpmctl");
    fs::copy(env!("CARGO_BIN_EXE_rpmctl"), &program).unwrap();
    let runtime = place.join("rpm-runtime");
    fs::copy(env!("CARGO_BIN_EXE_rpm-runtime"), &runtime).unwrap();
    let under = ["setpriv"].into_iter().chain(FOREIGN);
    let service = crate::harness::Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", place.join("home"))
        .env("RPM_PORTS", "off")
        .under(under)
        .binary(&runtime)
        .program(["sleep", "1000"])
        .start();
    service.wait_workers(1);
    for foreign in [true, false] {
        // Root, and the user of the runtime.
        let mut command = Command::new("setpriv");
        command
            .args(FOREIGN.iter().filter(|_| foreign))
            .arg(&program);
        command
            .args(["list", "--json", "--home"])
            .arg(place.join("home"));
        command.env_clear().env("PATH", "/usr/bin:/bin");
        let answer = said(command);
        assert_eq!(answer.code, 0, "{answer:?}");
    }
    stop(service);
    fs::remove_dir_all(&place).unwrap();
}

#[test]
fn malformed_endless_and_silent_clients_do_no_harm() {
    let home = Home::new("hostile");
    let runtime = home.start(1);
    // They say nothing, or half a word, and hold their places.
    let mut silent: Vec<UnixStream> = (0..60).map(|_| connect(&home)).collect();
    for stream in &mut silent[..30] {
        stream.write_all(b"{\"v\":1,\"comm").unwrap();
    }
    for bytes in [
        &b"nonsense\n"[..],
        b"\0\0\0\n",
        b"{}\n",
        b"[[[[[[[[[[[[[[[[[[\n",
        b"\xff\n",
    ] {
        let mut stream = connect(&home);
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\"kind\":\"malformed\""), "{answer}");
    }
    let mut endless = connect(&home);
    let piece = [b'x'; 8192];
    // The runtime closes the connection; it reads a limited part.
    let cut = (0..10_000).any(|_| endless.write_all(&piece).is_err());
    assert!(cut, "80 MB were read");
    // Nested deeper than any parser should follow.
    let mut deep = connect(&home);
    let nested = format!(
        "{{\"v\":1,\"command\":\"list\",\"x\":{}\n",
        "[".repeat(15_000)
    );
    deep.write_all(nested.as_bytes()).unwrap();
    let mut answer = String::new();
    deep.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"kind\":\"malformed\""), "{answer}");

    assert_eq!(home.json(&["list"])["health"]["ready"], true);
    assert_eq!(runtime.get("/livez").status, 200);
    drop(silent);
    stop(runtime);
}

#[test]
fn more_clients_than_there_are_places_are_told_and_the_places_come_free() {
    let home = Home::new("crowd");
    let runtime = home.start(1);
    let crowd: Vec<UnixStream> = (0..200).map(|_| connect(&home)).collect();
    let told = home.ctl(&["health"]);
    assert_eq!(told.code, 1, "{told:?}");
    assert!(
        told.err.contains("there are 128 clients already"),
        "{told:?}"
    );
    drop(crowd);
    until("the places are free", || home.ctl(&["health"]).code == 0);
    stop(runtime);
}

#[test]
fn fifty_clients_at_once_are_all_answered() {
    let home = Home::new("fifty");
    let runtime = home.start(2);
    let all: Vec<_> = (0..50)
        .map(|_| begun(home.command(&["list", "--json"])))
        .collect();
    for child in all {
        let answer = ended(child);
        assert_eq!(answer.code, 0, "{answer:?}");
        let list: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
        assert_eq!(list["workers"].as_array().unwrap().len(), 2);
    }
    stop(runtime);
}

#[test]
fn requests_without_a_pause_are_slowed_down_and_the_probes_are_answered() {
    let home = Home::new("greedy");
    let runtime = home.start(1);
    let mut greedy = connect(&home);
    let line = b"{\"v\":1,\"command\":\"list\"}\n";
    let count = 60;
    // The first answers are made while the last requests are written.
    let begin = std::time::Instant::now();
    for _ in 0..count {
        greedy.write_all(line).unwrap();
    }
    assert_eq!(runtime.get("/livez").status, 200);
    let mut reader = BufReader::new(greedy);
    for _ in 0..count {
        let mut answer = String::new();
        reader.read_line(&mut answer).unwrap();
        assert!(answer.starts_with("{\"v\":1,\"result\":"), "{answer}");
    }
    // Some 28 of them had to wait for 50 ms each.
    assert!(begin.elapsed() >= Duration::from_secs(1));
    stop(runtime);
}
