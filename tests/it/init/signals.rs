//! The effect of each signal to the runtime, and of the runtime's own death.

use std::os::unix::process::ExitStatusExt;

use crate::harness::shared_port::send;
use crate::harness::{self, Builder, Runtime, Signal, example, until};

/// Signals without a default meaning for the runtime, by number: ALRM, STKFLT, CONT, TSTP, URG, XCPU, XFSZ, VTALRM,
/// PROF, IO, PWR, USR1, USR2 and the real-time signals, without RTMIN+3.
fn forwarded() -> impl Iterator<Item = i32> {
    [10, 12, 14, 16, 18, 20, 23, 24, 25, 26, 27, 29, 30]
        .into_iter()
        .chain((34..=64).filter(|number| *number != RTMIN_3))
}

const WINCH: i32 = 28;
const RTMIN_3: i32 = 37;

fn service(workers: u16) -> Builder {
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_LOG_FORMAT", "prefix")
        .env("RPM_LOG_TIMESTAMP", "none")
        .env("RPM_APP_NAME", "app")
        .env("RPM_INSTANCES", workers.to_string())
}

fn printing(builder: Builder, workers: usize) -> Runtime {
    let runtime = builder
        .arg(example("print_signals"))
        .program(["--until", "TERM"])
        .start();
    runtime.wait_for_lines(workers, |line| line.contains("ready pid"));
    runtime
}

/// The signals that the worker of slot 0 received, by number.
fn got(runtime: &Runtime) -> Vec<i32> {
    let texts = runtime.texts();
    let lines = texts
        .iter()
        .filter_map(|line| line.strip_prefix("[app:0] got "));
    lines
        .map(|line| line.split(' ').nth(1).unwrap().parse().unwrap())
        .collect()
}

fn wait_got(runtime: &Runtime, slot: usize, number: i32) {
    let (start, end) = (
        format!("[app:{slot}] got "),
        format!(" {number} from {}", runtime.pid()),
    );
    runtime.wait_for_line(|line| line.starts_with(&start) && line.ends_with(&end));
}

/// The highest number: when it arrives, every signal that was sent before and is forwarded has been forwarded.
const LAST: i32 = 64;

#[test]
fn every_other_signal_is_forwarded_to_every_worker() {
    let runtime = printing(service(2), 2);
    for number in forwarded() {
        runtime.signal_number(number);
        for slot in 0..2 {
            wait_got(&runtime, slot, number);
        }
    }
    assert_eq!(got(&runtime), forwarded().collect::<Vec<_>>());
}

#[test]
fn signals_that_would_end_or_suspend_workers_by_surprise_are_not_passed() {
    // By default the first three are commands to the runtime.
    let ignored = "HUP=ignore,TTIN=ignore,TTOU=ignore";
    let runtime = printing(service(1).env("RPM_SIGNALS", ignored), 1);
    for signal in [
        Signal::SIGHUP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGPIPE,
        Signal::SIGCHLD,
    ] {
        runtime.signal(signal);
    }
    runtime.signal_number(LAST);
    wait_got(&runtime, 0, LAST);
    assert_eq!(got(&runtime), [LAST]);
    for name in ["SIGHUP", "SIGTTIN", "SIGTTOU"] {
        runtime.wait_for_line(|line| line.contains("ignoring") && line.contains(name));
    }
}

/// Images inherit a STOPSIGNAL: WINCH from httpd's, RTMIN+3 from one with systemd. The engine sends it from outside.
#[test]
fn the_stop_signal_of_an_inherited_image_stops() {
    for number in [WINCH, RTMIN_3] {
        let mut runtime = printing(service(2), 2);
        runtime.signal_number(number);
        assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
        assert_eq!(got(&runtime), [15]);
    }
    // One who wants it otherwise can say so.
    let own = "WINCH=forward,RTMIN+3=forward";
    let runtime = printing(service(1).env("RPM_SIGNALS", own), 1);
    for number in [WINCH, RTMIN_3] {
        runtime.signal_number(number);
        wait_got(&runtime, 0, number);
    }
    assert_eq!(got(&runtime), [WINCH, RTMIN_3]);
}

/// In the role of tini it is the program's.
#[test]
fn a_lonely_program_gets_a_winch_that_was_sent() {
    let runtime = printing(
        service(1)
            .env("RPM_RESTART", "never")
            .env("RPM_LOG_LEVEL", "info"),
        1,
    );
    runtime.signal_number(WINCH);
    wait_got(&runtime, 0, WINCH);
}

/// The kernel sends WINCH when a terminal gets another size. httpd, for example, would take it for an order to stop.
#[test]
fn a_terminal_of_another_size_stops_nothing_and_is_told_to_the_owner_of_the_terminal_alone() {
    // In the role of tini the worker is the foreground of the terminal.
    for (restart, told) in [("always", &[64, 15][..]), ("never", &[28, 64, 15])] {
        let mut runtime = service(1)
            .env("RPM_RESTART", restart)
            .env("RPM_LOG_LEVEL", "info")
            .env("NO_COLOR", "1")
            .under([
                "/usr/bin/python3".into(),
                harness::source("tests/payloads/resized.py").into_os_string(),
            ])
            .arg(example("print_signals"))
            .program(["--until", "TERM"])
            .start();
        assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
        let texts = runtime.texts();
        let lines = texts.iter().filter(|line| line.contains("] got "));
        let numbers: Vec<i32> = lines
            .map(|line| line.split(' ').nth(3).unwrap().parse().unwrap())
            .collect();
        assert_eq!(numbers, told, "{texts:?}");
        // Both write to the same pipe, so the word may stand behind a line that is not complete yet.
        let resized = |line: &String| line.ends_with("resized");
        assert!(texts.iter().any(resized), "{texts:?}");
    }
}

#[test]
fn a_signal_may_be_rewritten() {
    let mut runtime = printing(
        service(1).env("RPM_SIGNALS", "QUIT=forward:USR2,INT=forward:34"),
        1,
    );
    runtime.signal(Signal::SIGQUIT);
    wait_got(&runtime, 0, 12);
    runtime.signal(Signal::SIGINT);
    wait_got(&runtime, 0, 34);
    assert_eq!(got(&runtime), [12, 34]);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn a_rewritten_stop_ends_the_worker_and_it_is_started_again() {
    let runtime = printing(service(1).env("RPM_SIGNALS", "QUIT=forward:TERM"), 1);
    runtime.signal(Signal::SIGQUIT);
    wait_got(&runtime, 0, 15);
    runtime.wait_for_lines(2, |line| line.contains("ready pid"));
}

#[test]
fn a_signal_may_be_ignored() {
    let runtime = printing(service(1).env("RPM_SIGNALS", "USR1=ignore,*=forward"), 1);
    runtime.signal(Signal::SIGUSR1);
    runtime.signal_number(LAST);
    wait_got(&runtime, 0, LAST);
    assert_eq!(got(&runtime), [LAST]);
}

#[test]
fn log_files_are_reopened_and_the_signal_is_forwarded_to_those_that_handle_it() {
    let handles = "trap 'echo got it' USR1 USR2; echo ready pid; while :; do sleep 0.05; done";
    for (signal, number) in [(None, 10), (Some("USR2=reopen"), 12)] {
        let mut builder = service(2).env("RPM_LOG_FILE", "/dev/null");
        if let Some(entries) = signal {
            builder = builder.env("RPM_SIGNALS", entries);
        }
        // The first worker has no handler: the signal would end it.
        let script =
            format!("[ $NODE_APP_INSTANCE = 0 ] && echo ready pid && exec sleep 1000; {handles}");
        let runtime = builder.program(["sh", "-c", &script]).start();
        let ready = |line: &str| line.starts_with("[app:") && line.ends_with("ready pid");
        runtime.wait_for_lines(2, ready);
        let before = runtime.wait_workers(2);
        runtime.signal_number(number);
        runtime.wait_for_line(|line| line.contains("reopening log files"));
        runtime.wait_for_line(|line| line == "[app:1] got it");
        let after = runtime.wait_workers(2);
        assert!(
            before
                .iter()
                .zip(&after)
                .all(|(old, new)| old.pid == new.pid)
        );
    }
}

#[test]
fn without_log_files_a_reopen_is_only_forwarded() {
    let runtime = printing(service(2), 2);
    runtime.signal_number(10);
    for slot in 0..2 {
        wait_got(&runtime, slot, 10);
    }
    let says = |line: &String| line.contains("reopening log files");
    assert!(!runtime.texts().iter().any(says));
}

#[test]
fn a_signal_may_restart_every_worker() {
    let runtime = printing(service(3).env("RPM_SIGNALS", "HUP=restart"), 3);
    let before = runtime.wait_workers(3);
    runtime.signal(Signal::SIGHUP);
    runtime.wait_for_lines(6, |line| line.contains("ready pid"));
    let after = runtime.wait_workers(3);
    assert!(
        after
            .iter()
            .all(|new| before.iter().all(|old| old.pid != new.pid))
    );
    runtime.wait_for_lines(3, |line| {
        line.contains("worker ended") && line.contains("cause=restart")
    });
}

/// Two processes send as fast as they can, and the number of each signal is or is not below that of TERM and CHLD. The
/// queue of real-time signals is always full.
#[test]
fn a_flood_of_signals_keeps_the_runtime_neither_from_answers_nor_from_its_stop() {
    let program = "import os, signal, sys, time\n\
        runtime, worker = os.getppid(), os.getpid()\n\
        floods = [signal.SIGUSR2, signal.SIGRTMIN + 1]\n\
        for one in floods: signal.signal(one, signal.SIG_IGN)\n\
        def flood(one):\n\
        \x20   sent = 0\n\
        \x20   while os.getppid() == worker:\n\
        \x20       os.kill(runtime, one)\n\
        \x20       sent += 1\n\
        \x20       if sent == 10000: print('flooding', flush=True)\n\
        \x20   os._exit(0)\n\
        for one in floods:\n\
        \x20   if os.fork() == 0: flood(one)\n\
        time.sleep(1000)\n";
    let mut runtime = service(1)
        .under(["prlimit", "--sigpending=1024", "--"])
        .program(["/usr/bin/python3", "-c", program])
        .start();
    runtime.wait_for_lines(2, |line| line.contains("flooding"));
    assert_eq!(runtime.wait_for_status("/livez", 200).status, 200);
    // The end of a worker is seen, and it is replaced.
    let before = runtime.wait_workers(1);
    send(before[0].pid, Signal::SIGKILL);
    runtime.wait_for_lines(4, |line| line.contains("flooding"));
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
}

#[test]
fn any_signal_may_stop_the_service() {
    for signal in [Signal::SIGUSR2, Signal::SIGHUP, Signal::SIGWINCH] {
        let name = signal.as_str();
        let mut runtime = printing(service(1).env("RPM_SIGNALS", format!("{name}=stop")), 1);
        runtime.signal(signal);
        assert_eq!(runtime.wait_exit().code(), Some(0), "{name}");
        assert_eq!(got(&runtime), [15]);
    }
}

#[test]
fn faults_of_the_runtime_are_neither_passed_nor_survived() {
    for signal in [
        Signal::SIGABRT,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGSYS,
    ] {
        let mut runtime = printing(service(1), 1);
        runtime.signal(signal);
        assert_eq!(runtime.wait_exit().signal(), Some(signal as i32));
        assert_eq!(got(&runtime), [0_i32; 0], "{signal}");
    }
}

#[test]
fn forwarded_signals_reach_the_process_or_its_whole_group() {
    for (scope, count) in [("process", 1), ("group", 2)] {
        let payload = example("print_signals");
        let payload = payload.to_str().unwrap();
        let runtime = service(1)
            .env("RPM_SIGNAL_SCOPE", scope)
            .program([
                "sh",
                "-c",
                &format!("{payload} & exec {payload} --until TERM"),
            ])
            .start();
        runtime.wait_for_lines(2, |line| line.contains("ready pid"));
        runtime.signal(Signal::SIGUSR1);
        runtime.wait_for_lines(count, |line| line.contains("got USR1"));
        runtime.signal_number(LAST);
        runtime.wait_for_lines(count, |line| line.contains(&format!(" {LAST} from")));
        let all = runtime.texts();
        assert_eq!(
            all.iter().filter(|line| line.contains("got USR1")).count(),
            count,
            "{scope}"
        );
    }
}

#[test]
fn signals_are_counted() {
    let runtime = printing(service(1).env("RPM_SIGNALS", "HUP=ignore"), 1);
    runtime.signal(Signal::SIGUSR1);
    wait_got(&runtime, 0, 10);
    runtime.signal(Signal::SIGHUP);
    runtime.wait_for_line(|line| line.contains("ignoring"));
    let page = runtime.get("/metrics").text();
    for name in ["USR1", "HUP"] {
        let counted = page.lines().any(|line| {
            line.starts_with("rpm_signals") && line.contains(name) && line.ends_with(" 1")
        });
        assert!(counted, "{name}: {page}");
    }
}

#[test]
fn workers_die_with_a_runtime_that_is_killed() {
    let mut runtime = printing(service(3), 3);
    let workers = runtime.wait_workers(3);
    runtime.signal(Signal::SIGKILL);
    assert_eq!(runtime.wait_exit().signal(), Some(9));
    until("the workers are gone", || {
        workers
            .iter()
            .all(|one| harness::process(one.pid).is_none_or(|one| one.is_zombie()))
    });
}

#[test]
fn workers_get_the_death_signal_that_was_asked_for() {
    let mut runtime = printing(service(1).env("RPM_PDEATHSIG", "TERM"), 1);
    runtime.signal(Signal::SIGKILL);
    runtime.wait_exit();
    until("the worker ended by TERM", || runtime.alive().is_empty());
}

#[test]
fn workers_survive_a_killed_runtime_if_that_was_asked_for() {
    let mut runtime = printing(service(2).env("RPM_PDEATHSIG", "off").allow_leftovers(), 2);
    let workers = runtime.wait_workers(2);
    runtime.signal(Signal::SIGKILL);
    runtime.wait_exit();
    until("the workers have another parent", || {
        workers
            .iter()
            .all(|one| harness::process(one.pid).is_some_and(|now| now.parent != runtime.pid()))
    });
    assert_eq!(runtime.alive().len(), 2);
}
