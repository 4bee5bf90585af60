//! The end: stop signal, grace, SIGKILL; left-over processes; and no unnecessary waiting.

use crate::harness::{
    self, Builder, Runtime, Signal, example, free_port, http_get, process, until,
};
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// Longer than any test: no test may wait for it.
const NEVER: &str = "1h";

fn service(workers: u16) -> Builder {
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_INSTANCES", workers.to_string())
        .env("RPM_STOP_TIMEOUT", NEVER)
}

fn printing(builder: Builder, workers: usize, until: &str) -> Runtime {
    let runtime = builder
        .arg(example("print_signals"))
        .program(["--until", until])
        .start();
    runtime.wait_for_lines(workers, |line| line.starts_with("ready"));
    runtime
}

fn deaf(builder: Builder) -> Runtime {
    let runtime = builder.arg(example("deaf")).arg("--all").start();
    runtime.wait_for_line(|line| line.starts_with("deaf ready"));
    runtime
}

fn alive(pid: i32) -> bool {
    process(pid).is_some_and(|process| !process.is_zombie())
}

/// The number after `child `, as printed by `leaver`.
fn left_child(runtime: &Runtime) -> i32 {
    runtime.wait_for_line(|line| line.starts_with("ready"));
    let line = runtime.wait_for_line(|line| line.starts_with("child "));
    line["child ".len()..].parse().unwrap()
}

#[test]
fn a_stop_reaches_every_worker_and_ends_with_0_the_moment_all_are_gone() {
    for pid1 in [false, true] {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
            let builder = if pid1 { service(3).pid1() } else { service(3) };
            let mut runtime = printing(builder, 3, "TERM");
            runtime.signal(signal);
            assert_eq!(runtime.wait_exit().code(), Some(0));
            let texts = runtime.texts();
            let told = texts
                .iter()
                .filter(|line| line.starts_with("got TERM 15 from"));
            assert_eq!(told.count(), 3, "{}", runtime.shown());
        }
    }
}

#[test]
fn workers_without_a_handler_stop_as_well() {
    for pid1 in [false, true] {
        let builder = service(2).program(["sleep", "1000"]);
        let mut runtime = if pid1 { builder.pid1() } else { builder }.start();
        runtime.wait_for_lines(2, |line| line.contains("worker started"));
        runtime.signal(Signal::SIGTERM);
        assert_eq!(runtime.wait_exit().code(), Some(0));
    }
}

#[test]
fn a_worker_that_ignores_the_stop_is_killed_after_the_grace_and_the_code_says_so() {
    let mut runtime = deaf(service(1).env("RPM_STOP_TIMEOUT", "300ms"));
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(1));
    runtime.wait_for_line(|line| {
        line.contains("did not stop in time") && line.contains("grace=300ms")
    });
    runtime
        .wait_for_line(|line| line.contains("worker ended") && line.contains("cause=stop_timeout"));
}

/// A process may move to any group of its session; its PID stays its own.
#[test]
fn a_worker_that_went_to_another_group_is_killed_as_well() {
    let program = "import os, signal, time\n\
        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
        reader, writer = os.pipe()\n\
        child = os.fork()\n\
        if child == 0:\n\
        \x20   os.setpgid(0, 0)\n\
        \x20   os.write(writer, b'x')\n\
        \x20   time.sleep(1000)\n\
        os.read(reader, 1)\n\
        os.setpgid(0, child)\n\
        print('moved', flush=True)\n\
        time.sleep(1000)\n";
    let mut runtime = service(1)
        .allow_leftovers()
        .env("RPM_STOP_TIMEOUT", "300ms")
        .program(["python3", "-c", program])
        .start();
    runtime.wait_for_line(|line| line == "moved");
    let worker = runtime.wait_workers(1)[0].pid;
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(1), "{}", runtime.shown());
    assert!(!alive(worker));
    let shown = runtime.shown();
    assert!(!shown.contains("does not end"), "{shown}");
}

#[test]
fn a_second_stop_hurries() {
    let mut runtime = deaf(service(1));
    runtime.signal(Signal::SIGTERM);
    runtime.wait_for_line(|line| line.contains("stopping"));
    assert!(!runtime.has_ended());
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(1));
}

#[test]
fn during_the_shutdown_delay_readiness_is_gone_and_the_service_goes_on() {
    let port = free_port();
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", port.to_string())
        .env("RPM_INSTANCES", "2")
        .env("RPM_SHUTDOWN_DELAY", NEVER)
        .arg(example("echo_server"))
        .arg(format!("0.0.0.0:{port}"))
        .start();
    runtime.wait_for_status("/startupz", 200);
    assert_eq!(runtime.get("/readyz").status, 200);
    runtime.signal(Signal::SIGTERM);
    runtime.wait_for_status("/readyz", 503);
    assert_eq!(runtime.get("/livez").status, 200);
    for _ in 0..20 {
        assert_eq!(http_get(("127.0.0.1", port), "/").unwrap().status, 200);
    }
    assert_eq!(runtime.workers().len(), 2);
    // The second signal ends the delay and does not kill.
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn the_shutdown_delay_ends_by_itself() {
    let mut runtime = printing(service(1).env("RPM_SHUTDOWN_DELAY", "200ms"), 1, "TERM");
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn a_worker_that_dies_in_the_shutdown_delay_is_replaced() {
    let mut runtime = printing(service(1).env("RPM_SHUTDOWN_DELAY", NEVER), 1, "TERM");
    runtime.signal(Signal::SIGTERM);
    runtime.wait_for_line(|line| line.contains("still serving"));
    kill(
        Pid::from_raw(runtime.wait_workers(1)[0].pid),
        Signal::SIGKILL,
    )
    .unwrap();
    runtime.wait_for_lines(2, |line| line.starts_with("ready"));
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn the_stop_signal_may_be_another() {
    for (setting, name) in [
        ("INT", "INT"),
        ("USR1", "USR1"),
        ("SIGQUIT", "QUIT"),
        ("RTMIN+3", "RT3"),
    ] {
        let mut runtime = printing(service(2).env("RPM_STOP_SIGNAL", setting), 2, name);
        runtime.signal(Signal::SIGTERM);
        assert_eq!(runtime.wait_exit().code(), Some(0), "{setting}");
        let got: Vec<String> = runtime
            .texts()
            .into_iter()
            .filter(|line| line.starts_with("got") && !line.starts_with("got CONT"))
            .collect();
        assert!(
            got.len() == 2 && got.iter().all(|line| line.contains(name)),
            "{got:?}"
        );
    }
}

#[test]
fn the_stop_signal_reaches_the_whole_group_if_that_was_asked_for() {
    let payload = example("print_signals");
    let payload = payload.to_str().unwrap();
    let mut runtime = service(1)
        .env("RPM_SIGNAL_SCOPE", "group")
        .program([
            "sh",
            "-c",
            &format!("{payload} --until TERM & exec {payload} --until INT"),
        ])
        .start();
    runtime.wait_for_lines(2, |line| line.starts_with("ready"));
    runtime.signal(Signal::SIGTERM);
    // The leader still lives, so this is not a signal to left-over processes.
    runtime.wait_for_lines(2, |line| line.starts_with("got TERM"));
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(1));
}

#[test]
fn a_group_that_was_told_is_not_told_again_when_its_leader_ends() {
    let payload = example("print_signals");
    let payload = payload.to_str().unwrap();
    let mut runtime = service(1)
        .env("RPM_SIGNAL_SCOPE", "group")
        .env("RPM_STOP_TIMEOUT", "1s")
        .program([
            "sh",
            "-c",
            &format!("{payload} --until USR2 & exec {payload} --until TERM"),
        ])
        .start();
    runtime.wait_for_lines(2, |line| line.starts_with("ready"));
    runtime.signal(Signal::SIGTERM);
    // The child waits for USR2, so it lives until SIGKILL and has printed every signal before that.
    assert_eq!(runtime.wait_exit().code(), Some(1));
    let told = runtime.texts();
    let told = told.iter().filter(|line| line.starts_with("got TERM"));
    assert_eq!(told.count(), 2, "{}", runtime.shown());
}

#[test]
fn a_suspended_worker_still_stops() {
    let mut runtime = service(2).program(["sleep", "1000"]).start();
    runtime.wait_for_lines(2, |line| line.contains("worker started"));
    for worker in runtime.wait_workers(2) {
        kill(Pid::from_raw(worker.pid), Signal::SIGSTOP).unwrap();
        until("it is suspended", || {
            process(worker.pid).is_some_and(|now| now.state == 'T')
        });
    }
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn what_a_worker_leaves_in_its_group_is_stopped_too() {
    for pid1 in [false, true] {
        let builder = if pid1 { service(1).pid1() } else { service(1) };
        let mut runtime = builder.arg(example("leaver")).start();
        runtime.wait_for_line(|line| line.starts_with("ready"));
        runtime.signal(Signal::SIGTERM);
        assert_eq!(runtime.wait_exit().code(), Some(0));
        runtime.wait_for_line(|line| line.contains("left processes, stopping them"));
    }
}

#[test]
fn what_is_left_and_does_not_stop_is_killed_within_the_same_grace() {
    for pid1 in [false, true] {
        let builder = if pid1 { service(1).pid1() } else { service(1) };
        let mut runtime = builder
            .env("RPM_STOP_TIMEOUT", "500ms")
            .arg(example("leaver"))
            .arg("--deaf")
            .start();
        let child = left_child(&runtime);
        runtime.signal(Signal::SIGTERM);
        assert_eq!(runtime.wait_exit().code(), Some(1));
        runtime.wait_for_line(|line| {
            line.contains("processes that a worker left did not stop in time")
        });
        assert!(pid1 || !alive(child));
    }
}

#[test]
fn what_a_crashed_worker_leaves_is_stopped_while_the_service_goes_on() {
    for (words, grace) in [(vec!["--exit"], NEVER), (vec!["--exit", "--deaf"], "200ms")] {
        let runtime = service(1)
            .env("RPM_STOP_TIMEOUT", grace)
            .env("RPM_BACKOFF_MIN", "2s")
            .env("RPM_MAX_RESTARTS", "0")
            .arg(example("leaver"))
            .program(words)
            .start();
        let child = left_child(&runtime);
        runtime.wait_for_line(|line| line.contains("left processes, stopping them"));
        until("the leftover is gone", || !alive(child));
        assert!(!runtime.has_ended());
        runtime.wait_for_lines(2, |line| line.contains("worker started"));
    }
}

#[test]
fn a_daemon_that_went_away_is_neither_touched_nor_waited_for() {
    let mut runtime = service(1)
        .allow_leftovers()
        .arg(example("leaver"))
        .arg("--session")
        .start();
    let daemon = left_child(&runtime);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    assert!(alive(daemon));
    assert!(
        !runtime.shown().contains("left processes"),
        "{}",
        runtime.shown()
    );
}

#[test]
fn a_daemon_does_not_hold_up_pid_1() {
    let mut runtime = service(1)
        .pid1()
        .arg(example("leaver"))
        .program(["--session", "--deaf"])
        .start();
    runtime.wait_for_line(|line| line.starts_with("ready"));
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn an_output_pipe_that_a_daemon_holds_open_does_not_hold_up_the_end() {
    let mut runtime = service(1)
        .allow_leftovers()
        .program([
            "sh",
            "-c",
            "setsid sleep 1000 & echo started; exec sleep 1000",
        ])
        .start();
    runtime.wait_for_line(|line| line == "started");
    until("the daemon is away", || {
        harness::descendants(runtime.pid())
            .iter()
            .any(|one| one.name == "sleep" && one.session == one.pid)
    });
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}
