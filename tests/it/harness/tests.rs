//! Tests of the harness itself, on a minimal init, so that a bug of the runtime cannot hide one of the harness.

use std::sync::atomic::{AtomicBool, Ordering};
use std::{panic, thread};

use crate::harness::load::{Load, Style};
use crate::harness::{
    self, Builder, Ledger, Runtime, SetOnDrop, Signal, Stream, account, children, example,
    free_ports, http_get, tally, until,
};

fn init() -> Builder {
    Runtime::builder()
        .binary("/usr/bin/tini")
        .program(["-s", "--"])
}

#[test]
fn lines_and_exit_status_arrive() {
    let mut runtime = init()
        .program(["sh", "-c", "echo one; echo two >&2; printf open; exit 42"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(42));
    assert_eq!(runtime.wait_for_line(|line| line.starts_with("tw")), "two");
    assert_eq!(runtime.bytes(Stream::Out), b"one\nopen");
    let mut texts = runtime.texts();
    texts.sort();
    assert_eq!(texts, ["one", "open", "two"]);
}

#[test]
fn environment_is_empty_but_for_what_is_asked() {
    let mut runtime = init()
        .env("ASKED", "yes")
        .arg(example("show_process"))
        .start();
    runtime.wait_exit();
    let names: Vec<_> = runtime
        .texts()
        .into_iter()
        .filter(|line| line.starts_with("env: "))
        .collect();
    let of_the_harness = ["HARNESS_MARK", "PATH", "RPM_ADMIN_ADDR", "RPM_CONTROL"];
    assert_eq!(names.len(), 1 + of_the_harness.len(), "{names:?}");
    assert!(names.contains(&"env: ASKED=yes".into()));
}

#[test]
fn signals_reach_the_runtime() {
    let mut runtime = init()
        .arg(example("print_signals"))
        .program(["--until", "TERM", "--code", "7"])
        .start();
    runtime.wait_for_line(|line| line.starts_with("ready"));
    runtime.signal(Signal::SIGUSR1);
    runtime.wait_for_line(|line| line.starts_with("got USR1"));
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(7));
}

#[test]
fn a_server_answers() {
    let port = free_ports(1);
    let runtime = init()
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
        .start();
    runtime.wait_for_line(|line| line.starts_with("listening"));
    let reply = http_get(("127.0.0.1", port), "/").unwrap();
    assert_eq!(
        (reply.status, reply.pid()),
        (200, i64::from(runtime.workers()[0].pid))
    );
}

#[test]
fn clients_count_answers_and_failures() {
    let port = free_ports(1);
    let runtime = init()
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
        .start();
    runtime.wait_for_line(|line| line.starts_with("listening"));
    for style in [Style::Short, Style::KeepAlive] {
        let load = Load::start(([127, 0, 0, 1], port), 2, style);
        load.wait_answers(100);
        let report = load.stop();
        assert_eq!((report.failures.len(), report.resent), (0, 0), "{report:?}");
        assert_eq!(report.by_pid.len(), 1, "{report:?}");
    }
    let load = Load::start(([127, 0, 0, 1], port), 2, Style::KeepAlive);
    load.wait_answers(1);
    drop(runtime);
    assert!(!load.stop().failures.is_empty());
}

#[test]
fn the_unended_is_killed_with_all_it_started() {
    let runtime = init()
        .arg(example("leaver"))
        .program(["--deaf", "--session"])
        .start();
    runtime.wait_for_line(|line| line.starts_with("ready"));
    let before = runtime.alive();
    assert_eq!(before.len(), 3, "{before:?}");
    drop(runtime);
    until("all are gone", || {
        before
            .iter()
            .all(|process| harness::process(process.pid).is_none_or(|p| p.is_zombie()))
    });
}

#[test]
fn what_is_left_behind_fails_the_test() {
    let result = panic::catch_unwind(|| {
        let mut runtime = init()
            .arg(example("leaver"))
            .program(["--deaf", "--session", "--exit"])
            .start();
        runtime.wait_exit();
    });
    let why = *result.unwrap_err().downcast::<String>().unwrap();
    assert!(why.starts_with("left behind: [Process"), "{why}");
}

#[test]
fn pid_1_reaps_orphans() {
    let mut runtime = init()
        .pid1()
        .arg(example("orphaner"))
        .program(["50", "--stay"])
        .start();
    runtime.wait_for_line(|line| line == "done 50");
    until("all orphans are reaped", || {
        children(runtime.pid()).len() == 1
    });
    assert_eq!(runtime.zombies(), 0);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(143));
}

#[test]
fn written_lines_are_checked() {
    let mut runtime = init()
        .arg(example("writer"))
        .program(["500", "--id", "a", "--seed", "1", "--open-end"])
        .start();
    runtime.wait_exit();
    let texts = runtime.texts();
    let tallies = tally(texts.iter().map(String::as_str), false);
    assert_eq!(tallies.len(), 2);
    assert!(
        tallies.values().all(harness::Tally::is_complete),
        "{tallies:?}"
    );
    let missing = texts.iter().skip(1).map(String::as_str);
    assert!(panic::catch_unwind(|| tally(missing.collect::<Vec<_>>(), false)).is_err());
}

#[test]
fn lines_of_the_killed_are_checked() {
    let ledger = Ledger::new("itself");
    let mut runtime = init()
        .arg(example("writer"))
        .program(["--forever", "--id", "a.1", "--only", "out", "--ledger"])
        .arg(ledger.path())
        .start();
    until("it writes", || ledger.total() > 100);
    runtime.signal(Signal::SIGTERM);
    runtime.wait_exit();
    let texts = runtime.texts();
    let written = ledger.written();
    let check = |texts: &[&str]| {
        let result = panic::catch_unwind(|| account(texts.iter().copied(), &written));
        result.is_ok()
    };
    let mut whole: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert!(check(&whole));
    let lines = written[&("a.1".to_owned(), "out".to_owned())];
    whole.truncate(usize::try_from(lines).unwrap());
    assert!(check(&whole));
    // One line missing, one duplicated, two exchanged, the last missing.
    let mut bad = whole.clone();
    bad.remove(50);
    assert!(!check(&bad));
    bad.insert(50, whole[49]);
    assert!(!check(&bad));
    let mut bad = whole.clone();
    bad.swap(50, 51);
    assert!(!check(&bad));
    assert!(!check(&whole[..whole.len() - 1]));
    // One line torn in two, and its second half missing.
    let half = whole[50].char_indices().nth(30).unwrap().0;
    let mut bad = whole.clone();
    bad[50] = &whole[50][..half];
    assert!(!check(&bad));
    bad.insert(51, &whole[50][half..]);
    assert!(!check(&bad));
    // The first part of the next line may follow, once; a part of another line may not.
    let next = format!("w a.1 out {lines} 1");
    let with = |more: &[&str]| check(&[&whole[..], more].concat());
    assert!(with(&[&next]) && with(&["w"]) && with(&["w a.1 out"]));
    assert!(!with(&[&next, "w a.1 out"]));
    assert!(!with(&["w a.1 out 1 "]) && !with(&["x"]));
}

#[test]
fn the_threads_of_a_test_that_panics_end() {
    let [over, waiting, ended] = [false; 3].map(AtomicBool::new);
    let said = panic::catch_unwind(|| {
        thread::scope(|scope| {
            let _over = SetOnDrop(&over);
            scope.spawn(|| {
                waiting.store(true, Ordering::SeqCst);
                until("the end", || over.load(Ordering::SeqCst));
                ended.store(true, Ordering::SeqCst);
            });
            until("the thread waits", || waiting.load(Ordering::SeqCst));
            panic!("a test fails");
        });
    });
    assert_eq!(said.unwrap_err().downcast_ref(), Some(&"a test fails"));
    assert!(ended.load(Ordering::SeqCst));
}
