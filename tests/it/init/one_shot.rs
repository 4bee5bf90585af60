//! The role of tini (RPM_RESTART=never, one instance), compared with the real tini.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::harness::{Builder, Runtime, Signal, Stream, example, scratch, threads};

/// The compared programs.
const PLAYERS: [&str; 2] = ["rpm-runtime", "tini"];

fn player(name: &str) -> Builder {
    match name {
        "tini" => Runtime::builder()
            .binary("/usr/bin/tini")
            .program(["-s", "--"]),
        _ => Runtime::builder().env("RPM_RESTART", "never"),
    }
}

fn end_of<'a>(name: &str, words: impl IntoIterator<Item = &'a str>) -> Option<i32> {
    let mut runtime = player(name).program(words).start();
    runtime.wait_exit().code()
}

#[test]
fn exit_codes_are_passed_through() {
    for code in [
        0, 1, 2, 3, 42, 63, 64, 65, 70, 71, 100, 125, 126, 127, 128, 129, 130, 137, 143, 200, 254,
        255,
    ] {
        for name in PLAYERS {
            assert_eq!(
                end_of(name, ["sh", "-c", &format!("exit {code}")]),
                Some(code),
                "{name}"
            );
        }
    }
}

#[test]
fn deaths_by_every_signal_are_128_more() {
    let crasher = example("crasher");
    let crasher = crasher.to_str().unwrap();
    let names = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "XCPU", "XFSZ", "VTALRM", "PROF", "IO", "PWR", "SYS",
    ];
    for name in names {
        let number = format!("SIG{name}").parse::<Signal>().unwrap() as i32;
        for player in PLAYERS {
            assert_eq!(
                end_of(player, [crasher, &format!("signal:{name}")]),
                Some(128 + number),
                "{player} {name}"
            );
        }
    }
    for number in [34, 35, 50, 63, 64] {
        for player in PLAYERS {
            let script = format!("kill -{number} $$; sleep 1000");
            assert_eq!(
                end_of(player, ["bash", "-c", &script]),
                Some(128 + number),
                "{player} {number}"
            );
        }
    }
}

/// The signals that arrive, of those that can be sent without ending or stopping the receiver.
fn passed(name: &str) -> BTreeSet<i32> {
    let runtime = player(name).arg(example("print_signals")).start();
    runtime.wait_for_line(|line| line.starts_with("ready"));
    // Faults end a runtime; KILL and STOP cannot be forwarded; 32 and 33 belong to the C library.
    let unsafe_ones = [4, 5, 6, 7, 8, 9, 11, 19, 31, 32, 33];
    for number in (1..64).filter(|number| !unsafe_ones.contains(number)) {
        runtime.signal_number(number);
        // The highest number is delivered last of all pending signals.
        let mark = runtime.mark();
        runtime.signal_number(64);
        runtime.wait_for_line_after(mark, |line| line.starts_with("got RT30 64 "));
    }
    let texts = runtime.texts();
    let got = texts.iter().filter_map(|line| line.strip_prefix("got "));
    got.map(|line| line.split(' ').nth(1).unwrap().parse().unwrap())
        .collect()
}

#[test]
fn the_same_signals_are_passed_as_by_tini() {
    let (ours, mut tinis) = (passed("rpm-runtime"), passed("tini"));
    // SIGPIPE is raised by our own writes to a closed stdout; nobody sends it to an init process.
    assert!(tinis.remove(&(Signal::SIGPIPE as i32)));
    assert_eq!(ours, tinis);
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGWINCH,
        Signal::SIGTSTP,
    ] {
        assert!(ours.contains(&(signal as i32)), "{signal}");
    }
}

#[test]
fn what_cannot_be_executed_ends_with_the_same_codes() {
    let directory = scratch("one-shot-exec");
    let closed = directory.join("closed");
    fs::write(&closed, "").unwrap();
    let cases = [
        ("no-such-program", 127),
        ("/no/such/program", 127),
        (closed.to_str().unwrap(), 126),
        (directory.to_str().unwrap(), 126),
    ];
    for (program, code) in cases {
        for name in PLAYERS {
            let mut runtime = player(name).program([program]).start();
            assert_eq!(runtime.wait_exit().code(), Some(code), "{name} {program}");
            assert_eq!(runtime.texts().len(), 1, "{name}: {}", runtime.shown());
            assert!(runtime.bytes(Stream::Out).is_empty(), "{name}");
        }
    }
}

#[test]
fn the_three_streams_are_the_programs_and_nobody_else_speaks() {
    for name in PLAYERS {
        let mut runtime = player(name)
            .stdin(Stdio::piped())
            .program([
                "sh",
                "-c",
                "cat; printf 'no newline'; printf '\\377\\0' >&2; exit 5",
            ])
            .start();
        let mut stdin = runtime.stdin();
        stdin.write_all(b"one\ntwo").unwrap();
        drop(stdin);
        assert_eq!(runtime.wait_exit().code(), Some(5), "{name}");
        assert_eq!(runtime.bytes(Stream::Out), b"one\ntwono newline", "{name}");
        assert_eq!(runtime.bytes(Stream::Err), b"\xff\0", "{name}");
    }
}

#[test]
fn inherited_descriptors_are_passed() {
    let file = scratch("one-shot-fd").join("file");
    fs::write(&file, "through five").unwrap();
    let outputs = PLAYERS.map(|name| {
        let open = format!("exec 5<{}; exec \"$@\"", file.display());
        let mut runtime = player(name)
            .under(["sh", "-c", &open, "sh"])
            .program(["sh", "-c", "cat <&5; ls /proc/self/fd | tr '\\n' ' '"])
            .start();
        assert_eq!(runtime.wait_exit().code(), Some(0), "{name}");
        String::from_utf8(runtime.bytes(Stream::Out)).unwrap()
    });
    assert!(outputs[0].starts_with("through five0 1 "), "{outputs:?}");
    // Including the descriptors of the test itself, but none of the runtime's own.
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn the_program_may_ignore_what_it_is_sent() {
    let runtime = player("rpm-runtime").arg(example("print_signals")).start();
    runtime.wait_for_line(|line| line.starts_with("ready"));
    for _ in 0..3 {
        let mark = runtime.mark();
        runtime.signal(Signal::SIGTERM);
        runtime.wait_for_line_after(mark, |line| line.starts_with("got TERM"));
    }
    assert!(!runtime.has_ended());
}

/// The words as one shell command; none of them contains a quote.
fn on_a_terminal(name: &str, words: &[&str]) -> Builder {
    let binary = match name {
        "tini" => "/usr/bin/tini -s --",
        _ => env!("CARGO_BIN_EXE_rpm-runtime"),
    };
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let command = format!("exec {binary} {}", quoted.join(" "));
    Runtime::builder()
        .env("RPM_RESTART", "never")
        .env("SHELL", "/bin/sh")
        .binary("/usr/bin/script")
        .program(["-qefc", &command, "/dev/null"])
        .stdin(Stdio::piped())
}

#[test]
fn the_terminal_is_handed_to_the_program() {
    let show = example("show_process");
    for name in PLAYERS {
        let mut runtime = on_a_terminal(name, &[show.to_str().unwrap()]).start();
        let _stdin = runtime.stdin();
        assert_eq!(
            runtime.wait_exit().code(),
            Some(0),
            "{name}: {}",
            runtime.shown()
        );
        let texts: Vec<String> = runtime
            .texts()
            .iter()
            .map(|line| line.trim().to_owned())
            .collect();
        let value = |name: &str| {
            let found = texts.iter().find_map(|line| line.strip_prefix(name));
            found
                .unwrap_or_else(|| panic!("no {name}: {texts:?}"))
                .to_owned()
        };
        assert_eq!(value("terminal-group: "), value("pid: "), "{name}");
        assert_eq!(value("group: "), value("pid: "), "{name}");
        assert!(value("fd 0: ").starts_with("/dev/pts/"), "{name}");
        assert!(value("fd 1: ").starts_with("/dev/pts/"), "{name}");
    }
}

/// A worker in the background that reads from the terminal would be stopped.
#[test]
fn a_service_on_a_terminal_reads_dev_null() {
    let script = "read line; echo read $? $(readlink /proc/self/fd/0); exec sleep 1000";
    for (format, reads) in [("raw", "read 1 /dev/null"), ("inherit", "read 0 /dev/pts/")] {
        let mut runtime = on_a_terminal("rpm-runtime", &["sh", "-c", script])
            .env("RPM_RESTART", "always")
            .env("RPM_PORTS", "off")
            .env("RPM_LOG_FORMAT", format)
            .start();
        let mut stdin = runtime.stdin();
        stdin.write_all(b"line\n").unwrap();
        runtime.wait_for_line(|line| line.contains(reads));
    }
}

#[test]
fn control_c_on_the_terminal_reaches_the_program_once() {
    for name in PLAYERS {
        let program = example("print_signals");
        let mut runtime = on_a_terminal(
            name,
            &[program.to_str().unwrap(), "--until", "QUIT", "--code", "9"],
        )
        .start();
        let mut stdin = runtime.stdin();
        runtime.wait_for_line(|line| line.starts_with("ready"));
        stdin.write_all(b"\x03").unwrap();
        // From 0: the kernel itself sent it.
        runtime.wait_for_line(|line| line.contains("got INT 2 from 0"));
        stdin.write_all(b"\x1c").unwrap();
        assert_eq!(
            runtime.wait_exit().code(),
            Some(9),
            "{name}: {}",
            runtime.shown()
        );
        let texts = runtime.texts();
        assert_eq!(
            texts.iter().filter(|line| line.contains("got INT")).count(),
            1,
            "{name}"
        );
    }
}

/// Nobody scrapes a program that ends at once, and the runtime says nothing about it, so the start needs no thread.
#[test]
fn the_start_makes_few_system_calls_no_thread_and_reads_no_file_twice() {
    let calls = scratch("one-shot-calls").join("calls");
    let mut runtime = player("rpm-runtime")
        .traced(&calls)
        .program(["/bin/true"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
    let text = fs::read_to_string(&calls).unwrap();
    let calls = text.lines().filter_map(|line| line.split_once(' '));
    let calls: Vec<(&str, &str)> = calls.map(|(pid, call)| (pid, call.trim_start())).collect();
    let threads = calls
        .iter()
        .filter(|(_, call)| call.contains("CLONE_THREAD"));
    assert_eq!(threads.count(), 0, "{text}");
    let (own, mut once) = (calls[0].0, BTreeSet::new());
    let ours = calls.iter().filter(|(pid, _)| *pid == own);
    for (_, call) in ours.filter(|(_, call)| call.starts_with("openat(")) {
        let path = call.split('"').nth(1).unwrap();
        // How many were killed is read again after the end of a worker.
        let counts = path.ends_with("memory.events") || path.ends_with("memory.oom_control");
        if (path.starts_with("/proc/") || path.starts_with("/sys/")) && !counts {
            assert!(once.insert(path), "{path} twice: {text}");
        }
    }
    // Of those, a hundred belong to the debug build and to the dynamic linking of both programs, and 62 set the disposition
    // of each signal once.
    assert!(calls.len() < 500, "{}: {text}", calls.len());
}

/// The first line of the runtime's own and the first scrape start their threads.
#[test]
fn what_starts_late_starts_when_it_is_needed() {
    let runtime = player("rpm-runtime")
        .env("RPM_LOG_LEVEL", "info")
        .program(["sleep", "1000"])
        .start();
    runtime.wait_for_line(|line| line.contains("starting"));
    assert_eq!(names(&runtime), ["log", "rpm-runtime"]);
    let quiet = player("rpm-runtime").program(["sleep", "1000"]).start();
    quiet.wait_for_status("/livez", 200);
    assert_eq!(names(&quiet), ["rpm-runtime"]);
    assert_eq!(quiet.get("/metrics").status, 200);
    assert_eq!(names(&quiet), ["metrics", "rpm-runtime"]);
}

/// The names of its threads, in order.
fn names(runtime: &Runtime) -> Vec<String> {
    let threads = threads(runtime.pid()).into_iter();
    threads.map(|(name, _)| name).collect()
}
