//! Screens of fixed states, as tmux shows them: the same letters as the stored ones.

use std::fs;

use super::Home;
use super::fake::fake_runtime;
use crate::harness::source;

/// Without the empty lines at the end, which tmux may cut.
fn trimmed(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

#[track_caller]
fn same(name: &str, keys: &[&str], size: (u16, u16)) {
    let home = Home::new(&format!("x-{name}-{}", size.0));
    fake_runtime(home.path(), name);
    let screen = home.screen(&format!("x-{name}-{}", size.0), size);
    screen.wait_for(" ready");
    for key in keys {
        screen.keys(&[key]);
    }
    let file = format!("tests/snapshots/monit/{name}-{}x{}.txt", size.0, size.1);
    let stored = trimmed(&fs::read_to_string(source(&file)).unwrap());
    let shown = screen.wait(&file, |shown| trimmed(shown) == stored);
    assert_eq!(trimmed(&shown), stored);
    // It stays so: nothing on it depends on the time that passed here.
    screen.keys(&["C-l"]);
    screen.keys(&["?"]);
    screen.wait_for("replace all workers");
    screen.keys(&["?"]);
    screen.wait(&file, |shown| trimmed(shown) == stored);
    screen.keys(&["q"]);
    screen.wait_for("ended with 0");
}

#[test]
fn fixed_states_are_shown_as_stored_in_a_usual_terminal() {
    for name in ["healthy", "ill", "reload", "failed", "slots64"] {
        same(name, &[], (80, 24));
    }
}

#[test]
fn fixed_states_are_shown_as_stored_in_a_large_terminal() {
    for name in ["healthy", "ill", "reload", "failed", "slots64"] {
        same(name, &[], (200, 50));
    }
}

#[test]
fn fixed_states_are_shown_as_stored_in_a_small_terminal() {
    for name in ["ill", "reload"] {
        same(name, &[], (40, 10));
    }
}

#[test]
fn of_512_workers_those_that_are_asked_for_are_shown() {
    let home = Home::new("x-512");
    fake_runtime(home.path(), "slots512");
    let screen = home.screen("x-512", (80, 24));
    screen.wait_for("505 of 512 ready");
    screen.keys(&["/backoff"]);
    let stored = fs::read_to_string(source("tests/snapshots/monit/slots512-80x24.txt")).unwrap();
    screen.wait("the filtered screen", |shown| {
        trimmed(shown) == trimmed(&stored)
    });
    screen.keys(&["Enter", "G"]);
    screen.wait("the last one is selected", |shown| {
        shown.contains("> 511 ") && shown.contains("log of slot 511")
    });
    screen.keys(&["Escape"]);
    screen.wait_for(">   3 ");
    screen.keys(&["C-c"]);
    screen.wait_for("ended with 0");
}
