//! Workers that cannot stay up: the back-off, the limit, the exit code, and the termination message.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use crate::harness::{Builder, Runtime, example, scratch, until};

fn service() -> Builder {
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_BACKOFF_MIN", "20ms")
        .env("RPM_MAX_RESTARTS", "4")
}

fn crasher(builder: Builder, how: &str) -> Builder {
    builder.arg(example("crasher")).arg(how)
}

/// The announced waits: milliseconds and streak.
fn waits(runtime: &Runtime) -> Vec<(u64, u64)> {
    let texts = runtime.texts();
    let told = texts
        .iter()
        .filter_map(|line| line.split_once("restart in "));
    told.map(|(_, rest)| {
        let (wait, rest) = rest.split_once("ms (short life ").unwrap();
        let streak = rest.split(' ').next().unwrap();
        (wait.parse().unwrap(), streak.parse().unwrap())
    })
    .collect()
}

#[test]
fn each_short_life_doubles_the_wait_up_to_the_limit_of_restarts() {
    let mut runtime = crasher(service(), "3").start();
    assert_eq!(runtime.wait_exit().code(), Some(3));
    let waits = waits(&runtime);
    assert_eq!(waits.len(), 3, "{}", runtime.shown());
    for ((wait, streak), least) in waits.into_iter().zip([20, 40, 80]) {
        assert!(
            (least..=least * 11 / 10).contains(&wait),
            "{wait} after {streak}"
        );
    }
    runtime.wait_for_line(|line| {
        line.contains("giving up") && line.contains("streak=4") && line.contains("code=3")
    });
    let lives = runtime
        .texts()
        .iter()
        .filter(|line| *line == "crashing")
        .count();
    assert_eq!(lives, 4);
}

#[test]
fn the_longest_wait_is_bounded() {
    let builder = service()
        .env("RPM_MAX_RESTARTS", "7")
        .env("RPM_BACKOFF_MAX", "50ms");
    let mut runtime = crasher(builder, "1").start();
    assert_eq!(runtime.wait_exit().code(), Some(1));
    assert!(
        waits(&runtime).iter().all(|(wait, _)| *wait <= 50),
        "{}",
        runtime.shown()
    );
    assert_eq!(waits(&runtime).len(), 6);
}

#[test]
fn a_death_by_signal_is_128_more() {
    for (signal, code) in [("SEGV", 139), ("KILL", 137), ("TERM", 143), ("ABRT", 134)] {
        let builder = service().env("RPM_MAX_RESTARTS", "2");
        let mut runtime = crasher(builder, &format!("signal:{signal}")).start();
        assert_eq!(
            runtime.wait_exit().code(),
            Some(code),
            "{}",
            runtime.shown()
        );
        runtime.wait_for_line(|line| {
            line.contains("worker ended") && line.contains(&format!("SIG{signal}"))
        });
    }
}

#[test]
fn codes_that_are_fine_are_reported_as_0() {
    for (how, fine) in [("3", "3"), ("signal:TERM", "143"), ("9", "1,9")] {
        let builder = service()
            .env("RPM_RESTART", "on-failure")
            .env("RPM_EXIT_OK", fine);
        let mut runtime = crasher(builder, how).start();
        assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
    }
}

#[test]
fn giving_up_is_never_a_success() {
    for (how, fine) in [("0", ""), ("3", "3"), ("signal:TERM", "143")] {
        let builder = service()
            .env("RPM_MAX_RESTARTS", "2")
            .env("RPM_EXIT_OK", fine);
        let mut runtime = crasher(builder, how).start();
        assert_eq!(runtime.wait_exit().code(), Some(1), "{}", runtime.shown());
        runtime.wait_for_line(|line| line.contains("giving up") && line.contains("code=1"));
    }
}

#[test]
fn without_a_limit_it_never_gives_up() {
    let builder = service()
        .env("RPM_MAX_RESTARTS", "0")
        .env("RPM_BACKOFF_MIN", "1ms")
        .env("RPM_BACKOFF_MAX", "5ms");
    let runtime = crasher(builder, "1").start();
    runtime.wait_for_lines(40, |line| line == "crashing");
    assert!(!runtime.has_ended());
    runtime.wait_for_line(|line| line.contains("short life 20 in a row"));
}

#[test]
fn a_good_life_ends_the_streak_and_is_followed_at_once() {
    let builder = service()
        .env("RPM_MIN_UPTIME", "50ms")
        .env("RPM_MAX_RESTARTS", "2");
    let runtime = builder
        .arg(example("crasher"))
        .program(["1", "200"])
        .start();
    runtime.wait_for_lines(4, |line| line == "crashing");
    runtime.wait_for_line(|line| line.contains("restart now"));
    assert!(
        !runtime.shown().contains("short life"),
        "{}",
        runtime.shown()
    );
}

#[test]
fn other_workers_are_stopped_before_it_gives_up() {
    let mut runtime = service()
        .env("RPM_INSTANCES", "3")
        .program([
            "sh",
            "-c",
            "[ $RPM_INSTANCE = 1 ] && exit 9; exec sleep 1000",
        ])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(9), "{}", runtime.shown());
}

#[test]
fn a_stop_exit_code_keeps_the_worker_down() {
    let mut runtime = crasher(service().env("RPM_STOP_EXIT_CODES", "3,7"), "7").start();
    assert_eq!(runtime.wait_exit().code(), Some(7), "{}", runtime.shown());
    assert_eq!(
        runtime
            .texts()
            .iter()
            .filter(|line| *line == "crashing")
            .count(),
        1
    );
    // The other workers continue.
    let runtime = service()
        .env("RPM_INSTANCES", "2")
        .env("RPM_STOP_EXIT_CODES", "0")
        .program([
            "sh",
            "-c",
            "[ $RPM_INSTANCE = 0 ] && exit 0; echo up; exec sleep 1000",
        ])
        .start();
    runtime.wait_for_line(|line| line.contains("worker ended") && line.contains("stays down"));
    runtime.wait_for_line(|line| line == "up");
    runtime.wait_for_status("/readyz", 200);
    assert_eq!(runtime.workers().len(), 1);
}

#[test]
fn on_failure_means_just_that() {
    let builder = service().env("RPM_RESTART", "on-failure");
    let mut runtime = builder.program(["true"]).start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    assert_eq!(
        runtime
            .texts()
            .iter()
            .filter(|line| line.contains("worker started"))
            .count(),
        1
    );
    let mut runtime = crasher(service().env("RPM_RESTART", "on-failure"), "6").start();
    assert_eq!(runtime.wait_exit().code(), Some(6));
    assert_eq!(
        runtime
            .texts()
            .iter()
            .filter(|line| *line == "crashing")
            .count(),
        4
    );
}

#[test]
fn never_with_several_workers_ends_with_the_first_failure() {
    for (script, code) in [
        ("exit 0", 0),
        ("[ $RPM_INSTANCE = 2 ] && exit 5; exit 0", 5),
        ("[ $RPM_INSTANCE = 1 ] && kill -KILL $$; exit 0", 137),
    ] {
        let mut runtime = service()
            .env("RPM_RESTART", "never")
            .env("RPM_INSTANCES", "3")
            .program(["sh", "-c", script])
            .start();
        assert_eq!(
            runtime.wait_exit().code(),
            Some(code),
            "{script}\n{}",
            runtime.shown()
        );
        let started = runtime
            .texts()
            .iter()
            .filter(|line| line.contains("worker started"))
            .count();
        assert_eq!(started, 3);
    }
}

#[test]
fn the_termination_log_tells_why() {
    let log = scratch("termination").join("log");
    fs::write(&log, "what was there before\n".repeat(500)).unwrap();
    let mut runtime = crasher(service().env("RPM_TERMINATION_LOG", &log), "3").start();
    assert_eq!(runtime.wait_exit().code(), Some(3));
    let text = fs::read_to_string(&log).unwrap();
    let mut lines = text.lines();
    let first = lines.next().unwrap();
    assert!(
        first.starts_with(
            "rpm-runtime: gave up: slot 0 cannot stay up (short lives in a row: 4), exit code 3"
        ),
        "{text}"
    );
    assert_eq!(
        lines
            .filter(|line| line.contains("exit code 3 after"))
            .count(),
        4,
        "{text}"
    );
}

#[test]
fn the_termination_log_names_a_program_that_is_not_there_in_at_most_4096_bytes() {
    let directory = scratch("termination-long");
    let log = directory.join("log");
    fs::write(&log, "").unwrap();
    let name = format!("x{}", "é".repeat(4000));
    let mut runtime = service().env("RPM_TERMINATION_LOG", &log).arg(name).start();
    assert_eq!(runtime.wait_exit().code(), Some(126));
    let text = fs::read(&log).unwrap();
    assert!((4000..=4096).contains(&text.len()), "{}", text.len());
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("cannot execute"), "{text}");

    let mut runtime = service()
        .env("RPM_TERMINATION_LOG", &log)
        .arg("no-such")
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(127));
    let text = fs::read_to_string(&log).unwrap();
    assert!(
        text.contains("cannot execute \"no-such\": not found"),
        "{text}"
    );
}

#[test]
fn the_termination_log_is_not_made_where_there_is_none() {
    let directory = scratch("termination-none");
    let mut runtime = crasher(
        service().env("RPM_TERMINATION_LOG", directory.join("log")),
        "1",
    )
    .start();
    assert_eq!(runtime.wait_exit().code(), Some(1));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn a_termination_log_that_is_no_file_does_not_hold_up_the_end() {
    let fifo = scratch("termination-fifo").join("log");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ends = || {
        let builder = service().env("RPM_TERMINATION_LOG", &fifo);
        let mut runtime = crasher(builder, "3").start();
        assert_eq!(runtime.wait_exit().code(), Some(3), "{}", runtime.shown());
    };
    ends();
    // A FIFO with a reader is not written to either.
    let mut reader = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(&fifo)
        .unwrap();
    ends();
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

#[test]
fn restarts_and_streaks_are_counted() {
    let builder = service()
        .env("RPM_MAX_RESTARTS", "0")
        .env("RPM_BACKOFF_MIN", "1h")
        .env("RPM_BACKOFF_MAX", "1h");
    let runtime = crasher(builder, "3").start();
    runtime.wait_for_line(|line| line.contains("restart in"));
    until("the end is counted", || {
        runtime
            .metric("rpm_worker_restarts_total{worker=\"0\"}")
            .is_some_and(|count| count > 0.0)
    });
    assert_eq!(runtime.get("/readyz").status, 503);
    assert_eq!(runtime.get("/livez").status, 200);
}
