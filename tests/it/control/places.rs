//! Where the socket is, and how it is found.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::finding::Frozen;
use super::{Home, apart, rpmctl, said};
use crate::harness::shared_port::stop;
use crate::harness::{Runtime, Signal, until};

#[test]
fn the_directory_and_the_socket_are_private_and_go_with_the_runtime() {
    let home = Home::new("private");
    let inner = home.path().join("inner");
    let runtime = home.serving(1).env("RPM_HOME", &inner).start();
    runtime.wait_for_status("/startupz", 200);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    let sockets: Vec<_> = fs::read_dir(&inner)
        .unwrap()
        .map(|one| one.unwrap().path())
        .collect();
    assert_eq!(sockets.len(), 1, "{sockets:?}");
    assert_eq!(mode(&sockets[0]), 0o600);
    let name = sockets[0].file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(&format!("{}-", runtime.pid())), "{name}");
    stop(runtime);
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
}

#[test]
fn the_only_runtime_is_found_and_several_are_listed() {
    let home = Home::new("several");
    let nobody = home.ctl(&["list"]);
    assert_eq!(nobody.code, 69, "{nobody:?}");
    assert!(
        nobody.err.contains("no runtime can be reached"),
        "{nobody:?}"
    );

    let first = home.start(1);
    // By the variable, as in the container of the runtime.
    let mut by_variable = apart(&["health"]);
    by_variable.env("RPM_HOME", home.path());
    assert_eq!(said(by_variable).code, 0);

    let second = home.serving(2).env("RPM_APP_NAME", "another").start();
    second.wait_for_status("/startupz", 200);
    let unclear = home.ctl(&["health"]);
    assert_eq!(unclear.code, 64, "{unclear:?}");
    assert!(unclear.err.contains("there are 2 runtimes"), "{unclear:?}");
    for (runtime, app) in [(&first, "echo_server"), (&second, "another")] {
        let row = format!("--pid {} ", runtime.pid());
        let row = unclear
            .err
            .lines()
            .find(|line| line.contains(&row))
            .unwrap();
        assert!(row.contains(app), "{unclear:?}");
    }
    let pid = second.pid().to_string();
    let chosen = home.json(&["health", "--pid", &pid]);
    assert_eq!(chosen["desired"], 2);
    let wrong = home.ctl(&["health", "--pid", "1"]);
    assert_eq!(wrong.code, 69, "{wrong:?}");
    stop(first);
    stop(second);
}

#[test]
fn what_a_killed_runtime_left_is_removed_by_the_next_one_and_nothing_else_is() {
    let home = Home::new("stale");
    let mut killed = home.serving(1).allow_leftovers().start();
    killed.wait_for_line(|line| line.contains("control socket"));
    let stale = home.files();
    killed.signal(Signal::SIGKILL);
    killed.wait_exit();
    assert_eq!(home.files(), stale, "nobody could remove it");
    assert_eq!(home.ctl(&["list"]).code, 69);
    fs::write(home.path().join("note.txt"), "").unwrap();
    let other = UnixListener::bind(home.path().join("other.sock")).unwrap();
    drop(other);

    let alive = home.start(1);
    let next = home.start(1);
    let files = home.files();
    assert!(!files.contains(&stale[0]), "{files:?}");
    assert_eq!(files.len(), 4, "{files:?}");
    let pid = alive.pid().to_string();
    assert_eq!(home.json(&["health", "--pid", &pid])["ready"], true);
    stop(alive);
    stop(next);
}

#[test]
fn a_frozen_neighbour_with_a_full_queue_delays_no_start_and_keeps_its_socket() {
    let home = Home::new("frozen");
    let path = home.path().join("1-5.sock");
    let _frozen = Frozen::at(&path);
    let runtime = home.start(1);
    assert!(path.exists());
    assert_eq!(home.files().len(), 2);
    stop(runtime);
}

#[test]
fn a_directory_that_others_can_change_is_warned_of_and_one_made_in_it_is_private() {
    let home = Home::new("exposed");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let runtime = home.start(1);
    let told = runtime.wait_for_line(|line| line.contains("others can change the directory"));
    assert!(told.contains("0777"), "{told}");
    let socket = home.path().join(&home.files()[0]);
    let mode = fs::metadata(socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    stop(runtime);

    let inner = home.path().join("inner");
    let runtime = home.serving(1).env("RPM_HOME", &inner).start();
    runtime.wait_for_line(|line| line.contains("control socket: rpmctl"));
    let lines = runtime.texts();
    assert!(
        !lines.iter().any(|line| line.contains("others can change")),
        "{lines:?}"
    );
    stop(runtime);
}

#[test]
fn where_nothing_can_be_written_the_name_is_abstract_and_is_found_all_the_same() {
    let runtime = Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", "/proc/nowhere")
        .env("RPM_PORTS", "off")
        .program(["sleep", "1000"])
        .start();
    let told =
        runtime.wait_for_line(|line| line.contains("the control socket has an abstract name"));
    assert!(told.contains("/proc/nowhere cannot be used"), "{told}");
    let pid = runtime.pid().to_string();
    let mut seen = None;
    until("it is found", || {
        let mut again = rpmctl(&["version", "--json", "--pid", &pid]);
        again.env("RPM_HOME", "/proc/nowhere");
        let answer = said(again);
        seen = (answer.code == 0).then_some(answer.out);
        seen.is_some()
    });
    assert!(seen.unwrap().contains(&format!("\"pid\":{pid}")));
    // The directory that an option names is the only place.
    assert_eq!(
        said(rpmctl(&["health", "--home", "/proc/nowhere"])).code,
        69
    );
    stop(runtime);
}

#[test]
fn without_a_directory_of_its_own_it_is_found_in_the_usual_one() {
    let runtime = Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_PORTS", "off")
        .program(["sleep", "1000"])
        .start();
    let line = runtime.wait_for_line(|line| line.contains("control socket: rpmctl"));
    assert!(line.contains("/rpm-runtime"), "{line}");
    let pid = runtime.pid().to_string();
    let answer = said(rpmctl(&["version", "--json", "--pid", &pid]));
    assert_eq!(answer.code, 0, "{answer:?}");
    stop(runtime);
}

#[test]
fn there_is_no_socket_with_off_and_for_a_one_off_command_only_with_on() {
    let home = Home::new("off");
    let off = home.serving(1).env("RPM_CONTROL", "off").start();
    off.wait_for_status("/startupz", 200);
    assert_eq!(home.files(), [""; 0]);
    assert_eq!(home.ctl(&["list"]).code, 69);
    stop(off);

    let one_off = |control: Option<&str>| {
        let builder = Runtime::builder()
            .env("RPM_HOME", home.path())
            .env("RPM_RESTART", "never")
            .program(["sleep", "1000"]);
        match control {
            Some(control) => builder.env("RPM_CONTROL", control),
            // The harness says off.
            None => builder.env_remove("RPM_CONTROL"),
        }
    };
    let silent = one_off(None).start();
    // The socket would be open before the first worker starts.
    silent.wait_workers(1);
    assert_eq!(home.files(), [""; 0]);
    drop(silent);

    let asked = one_off(Some("on")).start();
    asked.wait_workers(1);
    assert_eq!(home.files().len(), 1);
    assert_eq!(home.json(&["list"])["workers"].as_array().unwrap().len(), 1);
}
