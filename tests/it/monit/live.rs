//! Keys, against a live runtime.

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
    let shown = screen.wait_for("! slot 1: exit code 3");
    assert!(shown.contains("2 of 3 ready"), "{shown}");
    let rows = shown.lines().skip_while(|line| !line.starts_with(" SLOT"));
    let first = rows.clone().nth(1).unwrap();
    assert!(first.starts_with(">   1 backoff"), "{shown}");
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
