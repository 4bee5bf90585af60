//! The file of the runtime's own lines (RPM_LOG_OWN_FILE).

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::files::{BROKEN, MENDED, small_disk};
use crate::harness::{
    Builder, Form, Runtime, Signal, Stream, is_time, lines_of, log_files, log_lines, scratch,
    terminal, until,
};

/// One line of the runtime, and none of a worker.
const NUDGE: Signal = Signal::SIGUSR2;

fn service(form: Form, file: &Path) -> Builder {
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_READY", "delay:1ms")
        .env("RPM_APP_NAME", "web")
        .env("RPM_LOG_FORMAT", form.name())
        .env("RPM_SIGNALS", "USR2=ignore,WINCH=reopen")
        .env("RPM_LOG_OWN_FILE", file)
}

fn stays(builder: Builder) -> Runtime {
    let runtime = builder
        .program(["sh", "-c", "echo up; exec sleep 1000"])
        .start();
    runtime.wait_for_status("/readyz", 200);
    runtime.wait_for_line(|line| line.trim_end_matches(['"', '}']).ends_with("up"));
    runtime
}

/// The time and the rest of a line of the file.
#[track_caller]
fn timed(form: Form, line: &str) -> (String, String) {
    if form == Form::Json {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        let time = value.as_object_mut().unwrap().remove("time").unwrap();
        return (time.as_str().unwrap().to_owned(), value.to_string());
    }
    let (time, rest) = line.split_once(' ').unwrap();
    (time.to_owned(), rest.to_owned())
}

/// The same for a line of the stream, which may have no time.
#[track_caller]
fn untimed(form: Form, line: &str) -> String {
    match form {
        Form::Raw => line.to_owned(),
        _ => timed(form, line).1,
    }
}

/// The runtime's own lines in its output, without their time.
#[track_caller]
fn own(form: Form, runtime: &Runtime) -> Vec<String> {
    let lines = lines_of(&runtime.bytes(Stream::Out));
    let own = lines.iter().filter(|line| form.entry(line).own.is_some());
    own.map(|line| untimed(form, line)).collect()
}

/// The lines of the file without their time, which each of them has.
#[track_caller]
fn kept(form: Form, lines: &[String]) -> Vec<String> {
    let rest = |line: &String| {
        let (time, rest) = timed(form, line);
        assert!(is_time(&time), "{line:?}");
        rest
    };
    lines.iter().map(rest).collect()
}

fn lost(runtime: &Runtime, reason: &str) -> u64 {
    let labels = [("reason", reason)];
    let name = "rpm_log_own_file_dropped_lines_total";
    runtime.metric_sum(name, &labels).unwrap()
}

/// Makes the runtime say one line, and waits until it is in the output.
#[track_caller]
fn nudge(runtime: &Runtime) {
    let mark = runtime.mark();
    runtime.signal(NUDGE);
    runtime.wait_for_line_after(mark, |line| line.contains("signal=SIGUSR2"));
}

#[track_caller]
fn stop(mut runtime: Runtime) -> Runtime {
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    runtime
}

#[test]
fn own_lines_are_in_the_stream_and_to_the_last_one_in_their_file() {
    for form in [Form::Raw, Form::Prefix, Form::Json] {
        let file = scratch(&format!("own-{}", form.name())).join("not/there/own.log");
        let runtime = stop(stays(service(form, &file).pid1()));
        let said = own(form, &runtime);
        assert!(said.last().unwrap().contains("stopped"), "{said:?}");
        let lines = log_lines(&file);
        assert_eq!(kept(form, &lines), said);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file) & !0o640, 0);
        assert_eq!(mode(file.parent().unwrap()) & !0o750, 0);
    }
}

#[test]
fn own_lines_are_only_in_their_file_if_that_is_wanted() {
    let directory = scratch("own-only");
    let (own, all) = (directory.join("own.log"), directory.join("all.log"));
    let builder = service(Form::Raw, &own)
        .env("RPM_LOG_OWN", "file")
        .env("RPM_LOG_FILE", &all);
    let runtime = stop(stays(builder));
    assert_eq!(runtime.bytes(Stream::Out), b"up\n");
    assert_eq!(fs::read(&all).unwrap(), b"up\n");
    let lines = kept(Form::Raw, &log_lines(&own));
    for words in ["worker ready", "signal received", "stopped"] {
        assert!(lines.iter().any(|line| line.contains(words)), "{lines:?}");
    }
}

#[test]
fn beside_a_program_with_our_own_output_the_runtime_can_be_silent() {
    let file = scratch("own-inherit").join("own.log");
    let mut runtime = Runtime::builder()
        .env("RPM_RESTART", "never")
        .env("RPM_LOG_LEVEL", "info")
        .env("RPM_LOG_OWN_FILE", &file)
        .env("RPM_LOG_OWN", "file")
        .program(["sh", "-c", "echo out; echo err >&2; exit 3"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(3));
    assert_eq!(runtime.bytes(Stream::Out), b"out\n");
    assert_eq!(runtime.bytes(Stream::Err), b"err\n");
    let lines = kept(Form::Raw, &log_lines(&file));
    assert!(lines.last().unwrap().contains("code=3"), "{lines:?}");
}

#[test]
fn the_file_of_yesterday_is_rotated_and_the_oldest_are_removed() {
    let file = scratch("own-rotation").join("own.log");
    let old = |day: u32| file.with_file_name(format!("own.log.202601{day:02}T000000Z"));
    for day in 1..=5 {
        fs::write(old(day), format!("{day}\n")).unwrap();
    }
    let other = file.with_file_name("own.log.toml");
    fs::write(&other, "").unwrap();
    fs::write(&file, "yesterday\n").unwrap();
    let yesterday = SystemTime::now() - Duration::from_hours(24);
    let before = File::options().write(true).open(&file).unwrap();
    before.set_modified(yesterday).unwrap();
    // The workers' files have other times, and these lines are rotated daily all the same.
    let builder = service(Form::Prefix, &file)
        .env("RPM_LOG_ROTATE_EVERY", "monthly")
        .env("RPM_LOG_FILE", "/dev/null")
        .env("RPM_LOG_RETAIN", "3");
    let runtime = stays(builder);
    until("the oldest are removed", || log_files(&file).len() == 4);
    let rotations = runtime.metric_sum("rpm_log_file_rotations_total", &[("result", "success")]);
    assert_eq!(rotations, Some(1));
    let runtime = stop(runtime);
    let files = log_files(&file);
    assert_eq!(files[..2], [old(4), old(5)]);
    assert_eq!(fs::read_to_string(&files[2]).unwrap(), "yesterday\n");
    let today = lines_of(&fs::read(&file).unwrap());
    assert_eq!(kept(Form::Prefix, &today), own(Form::Prefix, &runtime));
    assert!(other.exists());
}

#[test]
fn sigusr1_opens_it_anew_after_somebody_renamed_it() {
    let file = scratch("own-usr1").join("own.log");
    let runtime = stays(service(Form::Prefix, &file));
    let mut files = Vec::new();
    for turn in 0..3 {
        let away = file.with_file_name(format!("away-{turn}"));
        fs::rename(&file, &away).unwrap();
        files.push(away);
        runtime.signal(Signal::SIGUSR1);
        until("the file is there again", || file.exists());
    }
    let runtime = stop(runtime);
    files.push(file);
    let lines: Vec<String> = files.iter().flat_map(|file| log_lines(file)).collect();
    assert_eq!(kept(Form::Prefix, &lines), own(Form::Prefix, &runtime));
}

#[test]
fn a_directory_of_own_lines_that_vanishes_is_made_again() {
    let directory = scratch("own-vanishes");
    let file = directory.join("logs/own.log");
    let gone = directory.join("gone");
    let runtime = stays(service(Form::Prefix, &file));
    fs::rename(directory.join("logs"), &gone).unwrap();
    // It is noticed by itself within a second.
    until("the file is there again", || {
        nudge(&runtime);
        file.exists()
    });
    let runtime = stop(runtime);
    let mut lines = log_lines(&gone.join("own.log"));
    lines.extend(log_lines(&file));
    assert_eq!(kept(Form::Prefix, &lines), own(Form::Prefix, &runtime));
}

/// The lines on problems of the file, which are not in the file.
fn problems(said: &[String]) -> usize {
    let is = |line: &&String| line.contains(BROKEN) || line.contains(MENDED);
    said.iter().filter(is).count()
}

#[test]
fn what_is_in_the_way_of_own_lines_costs_these_and_is_told_once_even_if_they_go_nowhere_else() {
    for only in [false, true] {
        let directory = scratch(&format!("own-in-the-way-{only}"));
        let logs = directory.join("logs");
        let file = logs.join("own.log");
        let builder =
            service(Form::Prefix, &file).env("RPM_LOG_OWN", if only { "file" } else { "both" });
        let runtime = stays(builder);
        fs::rename(&logs, directory.join("gone")).unwrap();
        fs::write(&logs, "").unwrap();
        runtime.signal(Signal::SIGWINCH);
        runtime.wait_for_line(|line| line.contains(BROKEN));
        until("some lines are lost", || {
            runtime.signal(NUDGE);
            lost(&runtime, "write_error") > 3
        });
        assert_eq!(runtime.get("/readyz").status, 200);
        fs::remove_file(&logs).unwrap();
        until("it is written again", || {
            runtime.signal(NUDGE);
            runtime.texts().iter().any(|line| line.contains(MENDED))
        });
        let lost = lost(&runtime, "write_error");
        let runtime = stop(runtime);
        let said = own(Form::Prefix, &runtime);
        assert_eq!(problems(&said), 2, "{said:?}");
        if only {
            assert_eq!(said.len(), 2, "{said:?}");
        } else {
            let mut lines = log_lines(&directory.join("gone/own.log"));
            lines.extend(log_lines(&file));
            assert_eq!(lines.len() as u64 + lost, said.len() as u64 - 2);
        }
    }
}

#[test]
fn a_full_disk_costs_own_lines_that_are_counted_and_nothing_else() {
    let disk = scratch("own-full-disk");
    let file = disk.join("own.log");
    let builder = service(Form::Prefix, &file).under(small_disk(&disk));
    let runtime = stays(builder);
    let root = PathBuf::from(format!("/proc/{}/root", runtime.pid()));
    let seen = |path: &Path| root.join(path.strip_prefix("/").unwrap());
    let mut rest = File::create(seen(&disk.join("rest"))).unwrap();
    while rest.write_all(&[0; 4096]).is_ok() {}
    let count = |lines: &[String], words: &str| {
        let lines = lines.iter().filter(|line| line.contains(words));
        lines.count()
    };
    until("the disk is full", || {
        nudge(&runtime);
        lost(&runtime, "write_error") > 5
    });
    assert_eq!(runtime.get("/readyz").status, 200);
    assert_eq!(count(&runtime.texts(), BROKEN), 1);
    assert_eq!(count(&runtime.texts(), "error=ENOSPC"), 1);
    fs::remove_file(seen(&disk.join("filler"))).unwrap();
    until("the file takes lines again", || {
        nudge(&runtime);
        count(&runtime.texts(), MENDED) == 1
    });
    // Both lines on the problem are in the stream only.
    until("every other line is in the file or counted", || {
        let there = log_lines(&seen(&file)).len() as u64;
        let said = count(&runtime.texts(), "[rpm-runtime] ") as u64;
        there + lost(&runtime, "write_error") == said - 2
    });
    stop(runtime);
}

#[test]
fn a_disk_that_hangs_costs_own_lines_and_neither_the_service_nor_its_end_waits() {
    let directory = scratch("own-hangs");
    let last = directory.join("last-words");
    fs::write(&last, "").unwrap();
    // Nobody reads this terminal, so a write to it waits for ever, as one to a disk that is gone may do.
    let (master, slave) = terminal();
    let path = fs::read_link(format!("/proc/self/fd/{}", slave.as_raw_fd())).unwrap();
    let builder = service(Form::Prefix, &path)
        // Long lines fill the queue soon.
        .env("RPM_LOG_TIMESTAMP", "%+".repeat(50))
        .env("RPM_TERMINATION_LOG", &last);
    let runtime = stays(builder);
    until("lines are dropped", || {
        for _ in 0..50 {
            nudge(&runtime);
        }
        lost(&runtime, "buffer_full") > 0
    });
    for _ in 0..20 {
        nudge(&runtime);
    }
    assert!(lost(&runtime, "buffer_full") > 20);
    assert_eq!(runtime.get("/readyz").status, 200);
    let runtime = stop(runtime);
    let stuck = "RPM_LOG_OWN_FILE cannot be written fast enough";
    let told = runtime.texts();
    assert_eq!(told.iter().filter(|line| line.contains(stuck)).count(), 1);
    let words = fs::read_to_string(&last).unwrap();
    assert!(words.contains("RPM_LOG_OWN_FILE was stuck"), "{words}");
    drop(master);
}

#[track_caller]
fn refused(builder: Builder, why: &str) {
    let mut runtime = builder.program(["echo", "started"]).start();
    assert_eq!(runtime.wait_exit().code(), Some(64), "{}", runtime.shown());
    let lines = runtime.texts();
    assert!(lines.iter().any(|line| line.contains(why)), "{lines:?}");
    assert!(!lines.iter().any(|line| line == "started"), "{lines:?}");
}

#[test]
fn a_read_only_root_refuses_own_lines_there_and_takes_them_on_a_volume() {
    let volume = scratch("own-read-only");
    let script = format!(
        "for at in $(awk '{{print $2}}' /proc/self/mounts); do mount -o remount,bind,ro $at 2>/dev/null; done; mount -t tmpfs none {} && exec \"$@\"",
        volume.display()
    );
    let under = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let why = "RPM_LOG_OWN_FILE: /new/own.log cannot be written: EROFS; nothing was started";
    refused(
        service(Form::Raw, Path::new("/new/own.log")).under(under),
        why,
    );
    let file = volume.join("new/own.log");
    let runtime = stays(service(Form::Raw, &file).under(under));
    let seen = format!("/proc/{}/root{}", runtime.pid(), file.display());
    // The thread of the file writes when it comes to it.
    until("the line is in the file", || {
        fs::read_to_string(&seen).is_ok_and(|lines| lines.contains("worker ready"))
    });
    stop(runtime);
}

#[test]
fn a_link_that_another_user_made_is_not_followed() {
    let directory = scratch("own-link");
    let (file, target) = (directory.join("own.log"), directory.join("target"));
    fs::write(&target, "before\n").unwrap();
    symlink(&target, &file).unwrap();
    let runtime = stop(stays(service(Form::Raw, &file)));
    assert!(!own(Form::Raw, &runtime).is_empty());
    let before = fs::read(&target).unwrap();
    assert!(before.len() > 100, "our own link is followed");
    lchown(&file, Some(1234), None).unwrap();
    assert_eq!(fs::symlink_metadata(&file).unwrap().uid(), 1234);
    refused(
        service(Form::Raw, &file),
        "it is a symbolic link that user 1234 made, which is not followed",
    );
    assert_eq!(fs::read(&target).unwrap(), before);
}

#[test]
fn a_path_below_a_file_is_a_fault_of_the_configuration() {
    let directory = scratch("own-below");
    fs::write(directory.join("file"), "").unwrap();
    let path = directory.join("file/own.log");
    let why = format!(
        "RPM_LOG_OWN_FILE: {} cannot be written: ENOTDIR",
        path.display()
    );
    refused(service(Form::Raw, &path), &why);
}
