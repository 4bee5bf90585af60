//! `rpmctl` by the engine's `exec`, in an image with nothing but programs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::engine::{Container, Engine, text};
use super::image::payloads;
use crate::harness::{Tmux, scratch, static_runtime};

/// Each command that needs a runtime, with words for one whose two workers are ready. In this order.
const COMMANDS: [&[&str]; 20] = [
    &["wait", "--started"],
    &["list"],
    &["health"],
    &["env"],
    &["version"],
    &["describe", "0"],
    &["events"],
    &["logs"],
    &["signal", "CONT", "all"],
    &["send", "all", "{}"],
    &["reopen"],
    &["flush"],
    &["reload", "--wait"],
    &["restart", "1", "--wait"],
    &["stop", "1", "--wait"],
    &["start", "1", "--wait"],
    &["restart", "all", "--wait"],
    &["scale", "3", "--wait"],
    &["scale", "-1", "--wait"],
    &["wait", "--ready"],
];

/// The service has no log files and is no program of Node: the runtime says so.
const REFUSED: [&str; 2] = ["reopen", "send"];

/// Commands that need no runtime, or a person at a terminal.
const OTHERS: [&str; 3] = ["from-pm2", "completion", "monit"];

/// The commands that the help names.
fn named(help: &str) -> BTreeSet<&str> {
    let section = help.split("Commands:\n").nth(1).unwrap();
    let section = section.split("\n\n").next().unwrap();
    let names = section.lines().map(|line| line.split_whitespace().next());
    names.map(Option::unwrap).collect()
}

/// The user has no name, no HOME and no shell. With a tmpfs the socket is a file, without one nothing can be written.
/// A container of the image at the end of `options`, with two workers, rpmctl, and a user that nobody knows.
fn serving<'a>(engine: &'a Engine, name: &str, options: &[&str]) -> Container<'a> {
    let tool = static_runtime().with_file_name("rpmctl");
    let volume = format!("{}:/rpmctl:ro", tool.display());
    let words = [
        &[
            "--env",
            "RPM_INSTANCES=2",
            "--env",
            "RPM_MIN_READY=0s",
            "--user",
            "12345:54321",
            "--volume",
            &volume,
        ],
        options,
        &["/app/echo_server"],
    ]
    .concat();
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    Container::start(engine, name, &words)
}

#[test]
fn rpmctl_works_in_an_empty_read_only_image_as_any_user() {
    let engine = Engine::new();
    let image = payloads(&engine);
    for (tmpfs, abstract_name) in [
        ("--read-only-tmpfs=true", false),
        ("--read-only-tmpfs=false", true),
    ] {
        let container = serving(&engine, "rpmctl", &[tmpfs, image]);
        let exec = |words: &[&str]| container.exec(&[&["/rpmctl"], words].concat());
        let said = |words: &[&str]| {
            let output = exec(words);
            let code = i32::from(REFUSED.contains(&words[0]));
            let logs = || container.logs();
            assert_eq!(
                output.status.code(),
                Some(code),
                "{words:?}: {output:?}\n{}",
                logs()
            );
            String::from_utf8(output.stdout).unwrap()
        };
        let help = said(&["--help"]);
        let commands = named(&help);
        let tested = COMMANDS.iter().map(|words| words[0]).chain(OTHERS);
        let tested: BTreeSet<&str> = tested.collect();
        let left: Vec<_> = commands.difference(&tested).collect();
        assert!(left.is_empty(), "{left:?} are not tested here");
        for words in COMMANDS.iter().filter(|words| commands.contains(words[0])) {
            said(words);
        }
        let listed: serde_json::Value = serde_json::from_str(&said(&["list", "--json"])).unwrap();
        assert_eq!(listed["runtime"]["pid"], 1);
        assert_eq!(listed["workers"].as_array().unwrap().len(), 2);

        for words in COMMANDS.iter().filter(|words| commands.contains(words[0])) {
            if matches!(words[0], "wait" | "version") {
                continue;
            }
            let foreign = ["exec", "--user", "23456:54321", &container.name, "/rpmctl"];
            let refused = engine.podman([&foreign[..], *words].concat());
            assert_eq!(refused.status.code(), Some(77), "{words:?}: {refused:?}");
            let why = String::from_utf8_lossy(&refused.stderr);
            assert!(why.contains("Only root and the user"), "{words:?}: {why}");
        }
        let logs = container.logs();
        assert_eq!(logs.contains("@rpm-runtime/1-"), abstract_name, "{logs}");
        assert_eq!(container.stop(20), 0, "{logs}");
    }
}

/// The image has no terminfo, no shell, no HOME and no locale; the engine gives the command a terminal.
#[test]
fn monit_is_shown_in_an_empty_image_as_any_user() {
    let engine = Engine::new();
    let image = payloads(&engine);
    let container = serving(&engine, "monit", &[image]);
    let ready = container.exec(&["/rpmctl", "wait", "--started"]);
    assert!(ready.status.success(), "{ready:?}");
    let script = format!(
        "{}; echo ended with $?; cat",
        container.exec_line("-it", "/rpmctl monit")
    );
    let screen = Tmux::start("container", (80, 24), &script);
    let shown = screen.wait_for("2 of 2 ready");
    assert!(
        shown.contains(" echo_server  running") && shown.contains("── log of slot"),
        "{shown}"
    );
    screen.keys(&["+"]);
    screen.wait_for("3 of 3 ready");
    screen.resize((120, 30));
    screen.wait("the size is told to the container", |shown| {
        shown
            .lines()
            .any(|line| line.starts_with('─') && line.chars().count() == 120)
    });
    screen.keys(&["q"]);
    screen.wait_for("ended with 0");
    drop(screen);
    assert_eq!(container.stop(20), 0);
}

/// As an init container of Kubernetes does it, with an emptyDir, and any user.
#[test]
fn an_init_container_brings_both_programs() {
    let engine = Engine::new();
    let image = payloads(&engine);
    let tool = static_runtime().with_file_name("rpmctl");
    let beside = format!("{}:/rpmctl:ro", tool.display());
    let directory = scratch("copy-to");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    let shared = format!("{}:/opt/rpm", directory.display());
    let mut init = vec!["run", "--rm", "--network", "none", "--cap-drop", "all"];
    init.extend(["--user", "12345", "--read-only", "--volume", &beside]);
    init.extend([
        "--volume",
        &shared,
        image,
        "--copy-to",
        "/opt/rpm/rpm-runtime",
    ]);
    engine.expect(init);
    for program in ["rpm-runtime", "rpmctl"] {
        let copy = directory.join(program);
        let built = static_runtime().with_file_name(program);
        assert!(
            fs::read(&copy).unwrap() == fs::read(built).unwrap(),
            "{program}"
        );
        let mode = fs::metadata(&copy).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "{program}");
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);

    let words = [
        "--user",
        "12345",
        "--volume",
        &shared,
        "--entrypoint",
        "/opt/rpm/rpm-runtime",
        image,
        "/app/echo_server",
    ];
    let container = Container::start(&engine, "injected", &words.map(str::to_owned));
    text(&container.exec(&["/opt/rpm/rpmctl", "wait"]));
    let listed = text(&container.exec(&["/opt/rpm/rpmctl", "list"]));
    assert!(
        listed.starts_with("echo_server: running, 1 of 1 ready"),
        "{listed}"
    );
    assert_eq!(container.stop(20), 0, "{}", container.logs());
    fs::remove_dir_all(directory).unwrap();
}
