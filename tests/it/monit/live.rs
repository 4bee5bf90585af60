//! Keys, against a live runtime.

use std::process::Command;

use super::Home;
use crate::harness::shared_port::stop;
use crate::harness::{Runtime, example, free_port};

/// The pids of the slots on a wide screen.
fn pids(screen: &str) -> Vec<String> {
    let rows = screen
        .lines()
        .skip_while(|line| !line.trim_start().starts_with("SLOT"));
    let rows = rows
        .skip(1)
        .take_while(|line| !line.is_empty() && !line.starts_with('─'));
    let cells = rows.map(|line| line.trim_start_matches('>').split_whitespace().nth(1));
    cells.flatten().map(str::to_owned).collect()
}

#[test]
fn keys_scale_reload_restart_filter_and_explain() {
    let home = Home::new("keys");
    let runtime = home.serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    let screen = home.screen("keys", (200, 50));
    screen.wait_for("shop  running  2 of 2 ready  generation 0");

    screen.keys(&["+"]);
    screen.wait_for("3 workers instead of 2");
    screen.wait_for("running  3 of 3 ready");
    screen.keys(&["-"]);
    screen.wait_for("2 workers instead of 3? y: yes");
    screen.keys(&["n"]);
    screen.wait_for("nothing was done");
    screen.keys(&["-", "y"]);
    screen.wait_for("2 workers instead of 3");
    let two = |shown: &str| shown.contains("running  2 of 2 ready") && pids(shown).len() == 2;
    let before = pids(&screen.wait("two are left", two));

    screen.keys(&["r"]);
    screen.wait_for("Replace all 2 workers, one by one? y: yes");
    screen.keys(&["y"]);
    screen.wait_for("reload 1 has begun");
    let screen_after = screen.wait("both are replaced", |shown| {
        let after = pids(shown);
        shown.contains("running  2 of 2 ready  generation 1")
            && after.len() == 2
            && after.iter().all(|pid| !before.contains(pid))
    });
    let before = pids(&screen_after);

    screen.keys(&["j"]);
    screen.wait_for(">   1 ");
    screen.keys(&["R"]);
    screen.wait_for("Replace the worker of slot 1? y: yes");
    screen.keys(&["y"]);
    screen.wait_for("the worker of slot 1 is replaced");
    screen.wait("one is replaced", |shown| {
        let after = pids(shown);
        after.len() == 2 && after.contains(&before[0]) && !after.contains(&before[1])
    });

    screen.keys(&["/", "0", "Enter"]);
    let filtered = screen.wait_for("filter: 0  1 of 2 shown");
    assert!(
        filtered.contains(">   0 ") && !filtered.contains("\n    1 "),
        "{filtered}"
    );
    screen.keys(&["?"]);
    screen.wait_for("replace all workers, one by one");
    screen.keys(&["x"]);
    screen.wait_for("QUEUE");
    screen.keys(&["q"]);
    screen.wait_for("ended with 0");
    for command in ["scale +1", "scale -1", "restart 1"] {
        runtime.wait_for_line(|line| line.contains(&format!("command=\"{command}\"")));
    }
    runtime.wait_for_line(|line| line.contains("command=reload"));
    stop(runtime);
}

#[test]
fn what_is_pasted_gives_no_command() {
    let home = Home::new("paste");
    let runtime = home.serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    let screen = home.screen("paste", (80, 24));
    screen.wait_for("2 of 2 ready");
    screen.paste("retry+y-y");
    // What comes later is a key again.
    screen.keys(&["+"]);
    screen.wait_for("3 workers instead of 2");
    screen.keys(&["q"]);
    screen.wait_for("ended with 0");
    runtime.wait_for_line(|line| line.contains("command=\"scale +1\""));
    let commands = runtime.texts();
    let commands = commands.iter().filter(|line| line.contains("command="));
    assert_eq!(commands.count(), 1);
    stop(runtime);
}

#[test]
fn what_the_runtime_refuses_is_told() {
    let home = Home::new("refused");
    let runtime = home.serving(1).start();
    runtime.wait_for_status("/startupz", 200);
    let screen = home.screen("refused", (80, 24));
    screen.wait_for("1 of 1 ready");
    screen.keys(&["-", "y"]);
    screen.wait_for("there can be 1 to ");
    screen.keys(&["q"]);
    screen.wait_for("ended with 0");
    stop(runtime);
}

#[test]
fn a_worker_that_crashes_is_shown_first_with_its_reason() {
    let home = Home::new("crash");
    let runtime = Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .env("RPM_INSTANCES", "3")
        .env("RPM_MIN_READY", "0s")
        .env("RPM_BACKOFF_MIN", "10m")
        .env("RPM_BACKOFF_MAX", "10m")
        .env("PORT", free_port().to_string())
        .program([
            "sh",
            "-c",
            "if [ $RPM_INSTANCE = 1 ]; then exit 3; fi; exec \"$0\"",
        ])
        .arg(example("echo_server"))
        .start();
    runtime.wait_for_line(|line| line.contains("control socket"));
    let screen = home.screen("crash", (80, 24));
    let shown = screen.wait("the crash, beside those that serve", |shown| {
        shown.contains("! slot 1: exit code 3") && shown.contains("2 of 3 ready")
    });
    let rows = shown.lines().skip_while(|line| !line.starts_with(" SLOT"));
    let first = rows.clone().nth(1).unwrap();
    assert!(first.starts_with(">   1 backoff"), "{shown}");
    assert!(shown.contains("log of slot 1"), "{shown}");
    screen.keys(&["q"]);
    screen.wait_for("ended with 0");
    stop(runtime);
}

#[test]
fn another_size_of_the_terminal_is_followed() {
    let home = Home::new("size");
    let runtime = home.serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    let screen = home.screen("size", (200, 50));
    screen.wait_for("RESTARTS LAST EXIT");
    screen.resize((80, 24));
    screen.wait("the usual columns", |shown| {
        shown.contains("UPTIME LAST EXIT") && !shown.contains("RESTARTS")
    });
    screen.resize((30, 8));
    screen.wait_for("30x8\nneeds 40x10");
    screen.resize((40, 10));
    screen.wait_for("CONN QUEUE\n");
    screen.resize((200, 50));
    screen.wait_for("RESTARTS LAST EXIT");
    screen.keys(&["q"]);
    screen.wait_for("ended with 0");
    stop(runtime);
}

#[test]
fn the_log_of_the_selected_worker_is_followed_and_cannot_steer_the_terminal() {
    let home = Home::new("log");
    let runtime = Runtime::builder()
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .env("RPM_INSTANCES", "2")
        .env("RPM_PORTS", "off")
        .program([
            "sh",
            "-c",
            "printf 'before \\033[2J\\033[31m %s\\n' $RPM_INSTANCE; \
             trap 'echo signal in $RPM_INSTANCE >&2' USR2; \
             while :; do sleep 0.05; done",
        ])
        .start();
    runtime.wait_for_lines(2, |line| line.contains("before"));
    let screen = home.screen("log", (80, 24));
    let shown = screen.wait_for("before ?[2J?[31m 0");
    assert!(shown.contains("log of slot 0"), "{shown}");
    let send = |slot: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rpmctl"));
        command.arg("--home").arg(home.path());
        let output = command.args(["signal", "USR2", slot]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    send("all");
    screen.wait_for("signal in 0");
    screen.keys(&["j"]);
    let shown = screen.wait("that of the other one", |shown| {
        shown.contains("log of slot 1") && shown.contains("signal in 1")
    });
    assert!(!shown.contains("signal in 0"), "{shown}");
    screen.keys(&["l"]);
    screen.wait("the log has the screen", |shown| {
        shown.contains("signal in 1") && !shown.contains("QUEUE")
    });
    screen.keys(&["l"]);
    screen.wait_for("QUEUE");
    screen.keys(&["q"]);
    screen.wait_for("ended with 0");
    stop(runtime);
}

#[test]
fn without_a_log_in_memory_the_screen_has_no_place_for_it() {
    let home = Home::new("ring");
    let runtime = home.serving(1).env("RPM_LOG_RING", "0").start();
    runtime.wait_for_status("/startupz", 200);
    let screen = home.screen("ring", (80, 24));
    screen.wait("there is none", |shown| {
        shown.contains("1 of 1 ready") && !shown.contains("log of slot")
    });
    screen.keys(&["l"]);
    let shown = screen.wait_for("there is no log: ");
    assert!(shown.contains("RPM_LOG_RING"), "{shown}");
    screen.keys(&["q"]);
    screen.wait_for("ended with 0");
    stop(runtime);
}
