//! Who may use it, and what clients can do to it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{Home, begun, ended, said};
use crate::harness::shared_port::stop;
use crate::harness::{Runtime, patience, until};

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

pub const FOREIGN: [&str; 4] = ["--reuid=61234", "--regid=61234", "--clear-groups", "--"];

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
            refused.err.contains("may not use the control socket"),
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
fn silent_clients_that_take_every_place_leave_for_the_operator() {
    let home = Home::new("crowd");
    let runtime = home.start(1);
    let mut crowd: Vec<UnixStream> = (0..200).map(|_| connect(&home)).collect();
    // The operator, of another process.
    for _ in 0..3 {
        let told = home.ctl(&["health"]);
        assert_eq!(told.code, 0, "{told:?}");
    }
    let mut rest = String::new();
    crowd[0].read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "the oldest was closed");
    let last = crowd.last_mut().unwrap();
    last.write_all(b"{\"v\":1,\"command\":\"version\"}\n")
        .unwrap();
    let mut answer = String::new();
    BufReader::new(last).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("{\"v\":1,\"result\":"), "{answer}");
    stop(runtime);
}

#[test]
fn the_places_are_fewer_where_few_descriptors_can_be_open() {
    let home = Home::new("places");
    let runtime = home
        .serving(1)
        .under(["sh", "-c", "ulimit -n 256; exec \"$@\"", "sh"])
        .start();
    runtime.wait_for_status("/startupz", 200);
    let crowd: Vec<UnixStream> = (0..60).map(|_| connect(&home)).collect();
    let end = |stream: &UnixStream| {
        stream.set_nonblocking(true).unwrap();
        let seen = (&mut &*stream).read(&mut [0]);
        matches!(seen, Ok(0))
    };
    // 256 / 16; all clients here are of one user, and root has none to itself if that user is root.
    until("all but 16 were closed", || {
        crowd.iter().filter(|stream| end(stream)).count() >= 60 - 16
    });
    assert_eq!(home.json(&["health"])["ready"], true);
    stop(runtime);
}

#[test]
fn a_process_outside_of_the_container_may_not_use_an_abstract_socket() {
    let runtime = Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", "/proc/nowhere")
        .env("RPM_PORTS", "off")
        .pid1()
        .program(["sleep", "1000"])
        .start();
    let line = runtime.wait_for_line(|line| line.contains("control socket: rpmctl"));
    let name = line.split("@rpm-runtime/").nth(1).unwrap();
    let name = name.split([' ', '"']).next().unwrap();
    let address = SocketAddr::from_abstract_name(format!("rpm-runtime/{name}")).unwrap();
    let ask = || {
        let mut stream = UnixStream::connect_addr(&address).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = ask();
    assert!(answer.contains("\"kind\":\"not-allowed\""), "{answer}");
    assert!(
        answer.contains("a process outside of the container"),
        "{answer}"
    );
    let told = runtime.wait_for_line(|line| line.contains("not visible in our PID namespace"));
    assert!(
        told.contains("peer_pid=0") || told.contains("\"peer_pid\":0"),
        "{told}"
    );
    // One in its PID namespace may.
    let target = runtime.pid().to_string();
    let mut inside = Command::new("nsenter");
    inside.args(["--target", &target, "--pid", "--mount", "--"]);
    inside.arg(env!("CARGO_BIN_EXE_rpmctl"));
    inside
        .args(["version", "--pid", "1"])
        .env("RPM_HOME", "/proc/nowhere");
    let seen = said(inside);
    assert_eq!(seen.code, 0, "{seen:?}");
    stop(runtime);
}

#[test]
fn what_cannot_be_obeyed_is_counted_by_its_reason() {
    let home = Home::new("faults");
    let runtime = home.start(1);
    for (line, reason) in [
        (&b"nonsense\n"[..], "malformed"),
        (b"{\"v\":1,\"command\":\"dance\"}\n", "unknown"),
        (b"{\"v\":9,\"command\":\"list\"}\n", "unknown"),
    ] {
        let mut stream = connect(&home);
        stream.write_all(line).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(
            answer.contains(&format!("\"kind\":\"{reason}\"")),
            "{answer}"
        );
    }
    let count = |result: &str| {
        let series = format!("rpm_control_commands_total{{command=\"other\",result=\"{result}\"}}");
        runtime.metric(&series)
    };
    assert_eq!(
        (count("malformed"), count("unknown")),
        (Some(1.0), Some(2.0))
    );
    let busy = "rpm_control_commands_total{command=\"connect\",result=\"busy\"}";
    assert_eq!(runtime.metric(busy), Some(0.0));
    stop(runtime);
}

#[test]
fn lists_that_are_asked_for_at_once_are_read_from_the_system_once_for_many() {
    let home = Home::new("once");
    let runtime = home.serving(1).env("RPM_LOG_LEVEL", "debug").start();
    runtime.wait_for_status("/startupz", 200);
    let mut stream = connect(&home);
    let count = 30;
    for _ in 0..count {
        stream
            .write_all(b"{\"v\":1,\"command\":\"list\"}\n")
            .unwrap();
    }
    let mut reader = BufReader::new(stream);
    for _ in 0..count {
        let mut answer = String::new();
        reader.read_line(&mut answer).unwrap();
        assert!(answer.starts_with("{\"v\":1,\"result\":"), "{answer}");
    }
    let read = |runtime: &Runtime| {
        let lines = runtime.texts();
        let lines = lines.iter();
        lines
            .filter(|line| line.contains("read the workers' processes"))
            .count()
    };
    until("the reading is logged", || read(&runtime) > 0);
    assert!(read(&runtime) < count, "one reading for each question");
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
