//! `rpmctl` by the engine's `exec`, in an image with nothing but programs.

use super::engine::{Container, Engine};
use super::image::payloads;
use crate::harness::{Tmux, static_runtime};

/// The user has no name, no HOME and no shell. With a tmpfs the socket is a file, without one nothing can be written.
#[test]
fn rpmctl_works_in_an_empty_read_only_image_as_any_user() {
    let engine = Engine::new();
    let image = payloads(&engine);
    let tool = static_runtime().with_file_name("rpmctl");
    let volume = format!("{}:/rpmctl:ro", tool.display());
    for (tmpfs, abstract_name) in [
        ("--read-only-tmpfs=true", false),
        ("--read-only-tmpfs=false", true),
    ] {
        let words = [
            "--env",
            "RPM_INSTANCES=2",
            "--env",
            "RPM_MIN_READY=0s",
            "--user",
            "12345:54321",
            "--volume",
            &volume,
            tmpfs,
            image,
            "/app/echo_server",
        ];
        let container = Container::start(&engine, "rpmctl", &words.map(str::to_owned));
        let said = |words: &[&str]| {
            let output = container.exec(&[&["/rpmctl"], words].concat());
            assert!(
                output.status.success(),
                "{words:?}: {output:?}\n{}",
                container.logs()
            );
            String::from_utf8(output.stdout).unwrap()
        };
        said(&["wait", "--started"]);
        let listed: serde_json::Value = serde_json::from_str(&said(&["list", "--json"])).unwrap();
        assert_eq!(listed["runtime"]["pid"], 1);
        assert_eq!(listed["workers"].as_array().unwrap().len(), 2);
        let reloaded = said(&["reload", "--wait"]);
        assert!(
            reloaded.starts_with("reload 1 finished: 2 of 2"),
            "{reloaded}"
        );
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
    let tool = static_runtime().with_file_name("rpmctl");
    let volume = format!("{}:/rpmctl:ro", tool.display());
    let words = [
        "--env",
        "RPM_INSTANCES=2",
        "--env",
        "RPM_MIN_READY=0s",
        "--user",
        "12345:54321",
        "--volume",
        &volume,
        image,
        "/app/echo_server",
    ];
    let container = Container::start(&engine, "monit", &words.map(str::to_owned));
    let ready = container.exec(&["/rpmctl", "wait", "--started"]);
    assert!(ready.status.success(), "{ready:?}");
    let script = format!(
        "{}; echo ended with $?; cat",
        container.exec_line("-it", "/rpmctl monit")
    );
    let screen = Tmux::start("container", (80, 24), &script);
    let shown = screen.wait_for("2 of 2 ready");
    assert!(shown.contains("pid 1\n") && shown.contains('─'), "{shown}");
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
