//! The state in which a worker starts, however the runtime was started; and what happens if it cannot start.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::harness::shared_port::field;
use crate::harness::{self, Builder, Runtime, Signal, Stream, example, scratch};

/// A service with this number of workers and without a shared port.
fn service(workers: u16) -> Builder {
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_LOG_FORMAT", "prefix")
        .env("RPM_LOG_TIMESTAMP", "none")
        .env("RPM_APP_NAME", "app")
        .env("RPM_INSTANCES", workers.to_string())
}

/// The output of `show_process` in each slot.
fn shown(runtime: &Runtime, workers: u16) -> Vec<Vec<String>> {
    (0..workers)
        .map(|slot| {
            let prefix = format!("[app:{slot}] ");
            runtime.wait_for_line(|line| line == format!("{prefix}end: show_process"));
            let texts = runtime.texts();
            let own = texts.iter().filter_map(|line| line.strip_prefix(&prefix));
            own.map(str::to_owned).collect()
        })
        .collect()
}

fn value<'a>(lines: &'a [String], name: &str) -> &'a str {
    let found = lines.iter().find_map(|line| line.strip_prefix(name));
    let found = found.and_then(|rest| rest.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {name} in {lines:?}"))
}

fn descriptors(lines: &[String]) -> Vec<&str> {
    let open = lines.iter().filter_map(|line| line.strip_prefix("fd "));
    open.collect()
}

fn staying(builder: Builder) -> Runtime {
    builder.arg(example("show_process")).arg("--stay").start()
}

#[test]
fn a_worker_has_no_signal_blocked_or_ignored_though_its_parent_had_all() {
    for (workers, ports) in [(1, "off"), (2, "off"), (2, "auto")] {
        let runtime = staying(service(workers).env("RPM_PORTS", ports).under([
            example("hostile").into(),
            OsStr::new("blocked,ignored").to_owned(),
        ]));
        for lines in shown(&runtime, workers) {
            assert_eq!(value(&lines, "SigBlk"), "0000000000000000");
            assert_eq!(value(&lines, "SigIgn"), "0000000000000000");
        }
        runtime.signal(Signal::SIGTERM);
        let mut runtime = runtime;
        assert_eq!(runtime.wait_exit().code(), Some(0));
    }
}

#[test]
fn a_worker_leads_a_group_of_its_own_in_our_session() {
    let runtime = staying(service(2));
    for lines in shown(&runtime, 2) {
        assert_eq!(value(&lines, "group"), value(&lines, "pid"));
        assert_eq!(value(&lines, "parent"), runtime.pid().to_string());
        let ours = harness::process(runtime.pid()).unwrap();
        assert_eq!(value(&lines, "session"), ours.session.to_string());
    }
}

#[test]
fn a_worker_has_only_its_three_descriptors_though_stray_ones_were_inherited() {
    for (workers, ports) in [(1, "off"), (1, "auto"), (2, "off"), (2, "auto")] {
        let runtime = staying(
            service(workers)
                .env("RPM_PORTS", ports)
                .under([example("hostile").into(), OsStr::new("stray").to_owned()]),
        );
        for lines in shown(&runtime, workers) {
            let open = descriptors(&lines);
            assert_eq!(open.len(), 3, "{workers} {ports}: {open:?}");
            assert_eq!(open[0], "0: /dev/null");
            assert!(open[1].starts_with("1: pipe:"), "{open:?}");
            assert!(open[2].starts_with("2: pipe:"), "{open:?}");
        }
    }
}

#[test]
fn one_worker_reads_our_stdin() {
    let mut runtime = service(1).stdin(Stdio::piped()).program(["cat"]).start();
    let mut stdin = runtime.stdin();
    stdin.write_all(b"through\n").unwrap();
    runtime.wait_for_line(|line| line == "[app:0] through");
}

#[test]
fn several_workers_read_dev_null() {
    let mut runtime = service(2)
        .stdin(Stdio::piped())
        .arg(example("show_process"))
        .arg("--stay")
        .start();
    for lines in shown(&runtime, 2) {
        assert_eq!(descriptors(&lines)[0], "0: /dev/null");
    }
    drop(runtime.stdin());
}

#[test]
fn the_environment_is_whole_in_order_and_untouched() {
    let odd = OsStr::from_bytes(b"\xff\xfe=\n\x80");
    let mut runtime = Runtime::builder()
        .env("RPM_RESTART", "never")
        .env("RPM_APP_NAME", "shop")
        .env("ODD", odd)
        .env("EMPTY", "")
        .env("pm_id", "17")
        .env("NODE_APP_INSTANCE", "17")
        .under(["env", "Z_FIRST=1", "A_SECOND=2", "WEB_CONCURRENCY=8"])
        .program(["sh", "-c", "cat /proc/self/environ"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
    let bytes = runtime.bytes(Stream::Out);
    let mut found: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    // `sh` adds PWD, and `cat` gets it.
    found.retain(|entry| {
        !entry.is_empty() && !entry.starts_with(b"PWD=") && !entry.starts_with(b"HARNESS")
    });
    let names: Vec<String> = found
        .iter()
        .map(|entry| {
            String::from_utf8_lossy(entry)
                .split('=')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    // `dash` may sort the environment, so the next test checks the order; here every entry must be unchanged and occur
    // once.
    for entry in [
        &b"ODD=\xff\xfe=\n\x80"[..],
        b"EMPTY=",
        b"Z_FIRST=1",
        b"A_SECOND=2",
        b"WEB_CONCURRENCY=8",
        b"pm_id=0",
        b"NODE_APP_INSTANCE=0",
        b"name=shop",
        b"RPM_RESTART=never",
    ] {
        assert_eq!(
            found.iter().filter(|one| **one == entry).count(),
            1,
            "{names:?}"
        );
    }
}

#[test]
fn the_environment_keeps_its_order_and_ours_comes_last() {
    let mut runtime = Runtime::builder()
        .env("RPM_RESTART", "never")
        .env("name", "before")
        .under(["env", "Z_FIRST=1", "A_SECOND=2"])
        .program(["env"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let texts = runtime.texts();
    let expected = [
        "PATH",
        "RPM_ADMIN_ADDR",
        "RPM_CONTROL",
        "RPM_RESTART",
        "name",
        "Z_FIRST",
        "A_SECOND",
        "NODE_APP_INSTANCE",
        "RPM_INSTANCE",
        "RPM_WORKERS",
        "RPM_GENERATION",
        "pm_id",
        "WEB_CONCURRENCY",
    ];
    let mut names: Vec<&str> = texts
        .iter()
        .map(|line| line.split('=').next().unwrap())
        .collect();
    names.retain(|name| *name != "HARNESS_MARK");
    assert_eq!(names, expected);
    assert!(
        texts.contains(&"name=before".to_owned()),
        "what is the same for all workers is set only where it is unset"
    );
}

#[test]
fn a_setting_that_lost_its_s_is_told_and_a_runtime_within_a_runtime_is_not() {
    const IGNORED: &str = "RPM_INSTANCE is set by the runtime for each worker";
    let mut outer = Runtime::builder()
        .env("RPM_RESTART", "never")
        .env("RPM_INSTANCE", "4")
        .arg(env!("CARGO_BIN_EXE_rpm-runtime"))
        .program(["sh", "-c", "echo inner ${RPM_INSTANCE}"])
        .start();
    assert_eq!(outer.wait_exit().code(), Some(0), "{}", outer.shown());
    let texts = outer.texts();
    let told: Vec<&String> = texts.iter().filter(|line| line.contains(IGNORED)).collect();
    assert_eq!(told.len(), 1, "{texts:?}");
    assert!(told[0].ends_with("is ignored; did you mean RPM_INSTANCES?"));
    assert!(texts.contains(&"inner 0".to_owned()), "{texts:?}");
}

#[test]
fn each_worker_is_told_who_it_is() {
    let runtime = staying(
        service(3)
            .env("RPM_INSTANCE_VAR", "CHAIR")
            .env("RPM_INCREMENT_VAR", "BASE")
            .env("BASE", "4000"),
    );
    for (slot, lines) in shown(&runtime, 3).iter().enumerate() {
        let raised = 4000 + slot;
        for entry in [
            format!("CHAIR={slot}"),
            format!("RPM_INSTANCE={slot}"),
            "RPM_WORKERS=3".to_owned(),
            "RPM_GENERATION=0".to_owned(),
            format!("pm_id={slot}"),
            "name=app".to_owned(),
            "WEB_CONCURRENCY=1".to_owned(),
            format!("BASE={raised}"),
        ] {
            assert!(
                lines.contains(&format!("env: {entry}")),
                "{entry}: {lines:?}"
            );
        }
        assert!(!lines.iter().any(|line| line.contains("NODE_APP_INSTANCE")));
    }
}

#[test]
fn a_worker_has_the_limit_of_descriptors_that_the_runtime_was_started_with() {
    for workers in [1, 2] {
        let runtime = service(workers)
            .under(["prlimit", "--nofile=300:1000", "--"])
            .program([
                "sh",
                "-c",
                "echo limits $(ulimit -Sn) $(ulimit -Hn); exec sleep 1000",
            ])
            .start();
        runtime.wait_for_lines(usize::from(workers), |line| {
            line.ends_with("limits 300 1000")
        });
    }
}

#[test]
fn a_worker_dies_with_a_runtime_that_is_not_pid_1_unless_told_otherwise() {
    for (setting, pid1, signal) in [
        ("", false, "9"),
        ("TERM", false, "15"),
        ("off", false, "0"),
        ("", true, "0"),
    ] {
        let builder = service(1).env("RPM_PDEATHSIG", setting);
        let runtime = staying(if pid1 { builder.pid1() } else { builder });
        let lines = &shown(&runtime, 1)[0];
        assert_eq!(
            value(lines, "pdeathsig"),
            signal,
            "{setting:?} pid1: {pid1}"
        );
    }
}

/// A file to execute, or one that cannot be executed.
fn file(directory: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_program_that_cannot_be_executed_ends_the_runtime_at_once_in_one_line() {
    let directory = scratch("exec-failures");
    let closed = file(&directory, "closed", b"#!/bin/sh\n", 0o644);
    let foreign = file(
        &directory,
        "foreign",
        b"\x7fELF\x02\x01\x01\0no machine\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        0o755,
    );
    let orphan = file(&directory, "orphan", b"#!/no/such/interpreter\n", 0o755);
    let cases: [(PathBuf, i32, &str); 7] = [
        ("no-such-program".into(), 127, "not found"),
        ("/no/such/program".into(), 127, "not found"),
        (closed.join("below-a-file"), 127, "not found"),
        (orphan, 127, "interpreter"),
        (closed, 126, "Permission denied"),
        (directory, 126, "Permission denied"),
        (foreign, 126, "Exec format error"),
    ];
    for workers in [1, 3] {
        for (program, code, why) in &cases {
            let mut runtime = service(workers).arg(program).start();
            assert_eq!(
                runtime.wait_exit().code(),
                Some(*code),
                "{}\n{}",
                program.display(),
                runtime.shown()
            );
            let texts = runtime.texts();
            let said: Vec<&String> = texts
                .iter()
                .filter(|line| line.contains("cannot execute"))
                .collect();
            assert!(
                !said.is_empty() && said.len() <= usize::from(workers),
                "{}",
                runtime.shown()
            );
            assert!(
                said[0].contains(why) && said[0].contains(program.to_str().unwrap()),
                "{said:?}"
            );
            assert!(
                !texts.iter().any(|line| line.contains("restart")),
                "{}",
                runtime.shown()
            );
        }
    }
}

#[test]
fn a_missing_interpreter_is_told_from_a_missing_program() {
    let directory = scratch("interpreter");
    let orphan = file(&directory, "orphan", b"#!/no/such/interpreter\n", 0o755);
    let mut runtime = service(1).arg(&orphan).start();
    assert_eq!(runtime.wait_exit().code(), Some(127));
    runtime.wait_for_line(|line| {
        line.contains("cannot execute") && line.contains("its interpreter or loader is not found")
    });
}

#[test]
fn programs_are_found_as_execvp_finds_them() {
    let directory = scratch("search");
    let script = file(&directory, "no-shebang", b"echo \"ran $0 $1\"\n", 0o755);
    fs::create_dir(directory.join("first")).unwrap();
    file(&directory.join("first"), "no-shebang", b"", 0o644);
    let path = std::env::var("PATH").unwrap();
    let name = "no-shebang".to_owned();
    let absolute = script.to_str().unwrap().to_owned();
    let local = "./no-shebang".to_owned();
    let table = [
        (absolute.clone(), path.clone(), absolute.clone()),
        (local.clone(), path.clone(), local.clone()),
        (
            name.clone(),
            format!("{path}:{}", directory.display()),
            absolute.clone(),
        ),
        // An empty entry means the working directory: at the start, in the middle, at the end.
        (name.clone(), format!(":{path}"), local.clone()),
        (name.clone(), format!("/nowhere::{path}"), local.clone()),
        (name.clone(), format!("{path}:"), local.clone()),
        // A file that may not be executed does not end the search.
        (
            name,
            format!("{0}/first:{0}", directory.display()),
            absolute,
        ),
    ];
    for (program, path, ran) in table {
        let mut runtime = Runtime::builder()
            .env("RPM_RESTART", "never")
            .env("PATH", &path)
            .directory(&directory)
            .program([program.as_str(), "word"])
            .start();
        assert_eq!(
            runtime.wait_exit().code(),
            Some(0),
            "{program} {path}\n{}",
            runtime.shown()
        );
        assert_eq!(
            runtime.texts(),
            [format!("ran {ran} word")],
            "{program} {path}"
        );
    }
}

#[test]
fn a_stop_during_the_start_is_heeded() {
    let port = harness::free_port();
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", port.to_string())
        .arg(example("slow_start"))
        .arg("1000000")
        .start();
    runtime.wait_for_line(|line| line.starts_with("starting"));
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn a_worker_that_takes_descriptors_is_told_that_they_are_its_own() {
    let port = harness::free_port();
    let runtime = Runtime::builder()
        .env("RPM_PORTS", port.to_string())
        .env("RPM_HANDOVER", "activation")
        .program([
            "sh",
            "-c",
            "echo \"$LISTEN_FDS $LISTEN_PID $$.\"; exec sleep 1000",
        ])
        .start();
    let line = runtime.wait_for_line(|line| line.ends_with('.'));
    let words: Vec<&str> = line.trim_end_matches('.').split(' ').collect();
    // Compared as text: with leading zeros libsystemd would read it as octal.
    assert_eq!((words[0], words[1]), ("1", words[2]), "{line}");
}

#[test]
fn what_we_were_told_about_descriptors_is_not_told_to_a_worker_that_lacks_them() {
    let port = harness::free_port().to_string();
    let told = |variables: &[(&str, &str)]| {
        let script =
            "tr '\\0' '\\n' </proc/$$/environ | grep ^LISTEN | sort; echo .; exec sleep 1000";
        let mut builder = Runtime::builder()
            .env("LISTEN_FDS", "7")
            .env("LISTEN_PID", "1")
            .env("LISTEN_FDNAMES", "ours")
            .program(["sh", "-c", script]);
        for (name, value) in variables {
            builder = builder.env(name, value);
        }
        let runtime = builder.start();
        runtime.wait_for_line(|line| line == ".");
        let mut lines = runtime.texts();
        lines.retain(|line| line.starts_with("LISTEN"));
        lines
    };
    assert_eq!(told(&[("RPM_PORTS", "off")]), [""; 0]);
    let activated = told(&[("RPM_PORTS", &port), ("RPM_HANDOVER", "activation")]);
    assert_eq!(activated.len(), 3, "{activated:?}");
    assert_eq!(activated[1], "LISTEN_FDS=1");
    assert_ne!(activated[0], "LISTEN_FDNAMES=ours");
    // In the role of tini, the descriptors and the variables about them are passed on.
    assert_eq!(
        told(&[("RPM_RESTART", "never")]),
        ["LISTEN_FDNAMES=ours", "LISTEN_FDS=7", "LISTEN_PID=1"]
    );
}

/// The stop is pending when the runtime begins: what executes it blocks the signal and sends it.
#[test]
fn pid_1_heeds_a_stop_that_comes_before_its_configuration_is_read() {
    let script = "import os, signal, sys\n\
         signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n\
         os.kill(os.getpid(), signal.SIGTERM)\n\
         os.execv(sys.argv[1], sys.argv[1:])";
    let mut runtime = Runtime::builder()
        .pid1()
        .under(["/usr/bin/python3", "-c", script])
        .env("RPM_PORTS", "off")
        .program(["sleep", "1000"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let pid_1 = runtime.wait_for_line(|line| line.contains("starting "));
    assert_eq!(field(&pid_1, "pid"), "1");
}
