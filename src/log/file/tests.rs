//! Opening and writing with real files. Rotation is tested in `rotate_tests.rs`, full disks in `full_tests.rs`.

mod full;
mod rotate;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::testing::{Dir, at, by_size, log_file, never, put, read};
use super::{Counters, Failed, FileError, FileEvent};
use crate::sys::testing::as_nobody;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    u32::from_str_radix(line.unwrap().trim(), 8).unwrap()
}

#[test]
fn the_first_line_opens_the_file_and_makes_its_directories() {
    let dir = Dir::new("first");
    let path = dir.path("a/b/app.log");
    let mut file = log_file(&path, never());
    assert_eq!(file.write(&[b"", b""], at(0)), Ok(()));
    file.reopen(at(0));
    assert!(dir.names().is_empty());
    put(&mut file, "one\n", 0);
    assert_eq!(read(&path), "one\n");
    assert_eq!(mode(&path), 0o640 & !umask());
    for made in ["a", "a/b"] {
        assert_eq!(mode(&dir.path(made)), 0o750 & !umask());
    }
    assert_eq!(file.events(), []);
}

#[test]
fn the_descriptor_appends_blocks_and_is_not_inherited() {
    let dir = Dir::new("flags");
    let path = dir.path("app.log");
    let mut file = log_file(&path, never());
    put(&mut file, "one\n", 0);
    let flags: Vec<i32> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == path))
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{name}")).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            i32::from_str_radix(flags.unwrap().trim(), 8).unwrap()
        })
        .collect();
    let [flags] = flags[..] else {
        panic!("{flags:?}");
    };
    let flags = OFlag::from_bits_retain(flags);
    assert!(flags.contains(OFlag::O_APPEND | OFlag::O_CLOEXEC | OFlag::O_WRONLY));
    assert!(!flags.intersects(OFlag::O_NONBLOCK | OFlag::O_TRUNC | OFlag::O_RDWR));
}

#[test]
fn parts_are_written_in_their_order_however_many() {
    let dir = Dir::new("parts");
    let path = dir.path("app.log");
    fs::write(&path, "before\n").unwrap();
    let mut file = log_file(&path, never());
    let lines: Vec<String> = (0..3000).map(|number| format!("{number}\n")).collect();
    let mut parts: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
    parts.insert(5, b"");
    file.write(&parts, at(0)).unwrap();
    assert_eq!(read(&path), format!("before\n{}", lines.concat()));
    let bytes = lines.concat().len() as u64;
    let counters = Counters {
        bytes,
        ..Counters::default()
    };
    assert_eq!(file.counters(), counters);
}

#[test]
fn what_an_earlier_life_left_torn_is_ended_first() {
    for (before, after) in [
        ("half a", "half a\none\n"),
        ("whole\n", "whole\none\n"),
        ("", "one\n"),
    ] {
        let dir = Dir::new("torn");
        let path = dir.path("app.log");
        fs::write(&path, before).unwrap();
        put(&mut log_file(&path, never()), "one\n", 0);
        assert_eq!(read(&path), after);
    }
}

#[test]
fn what_is_no_file_is_refused_at_once_and_told_once() {
    let dir = Dir::new("odd");
    let path = dir.path("app.log");
    let fifo = || mkfifo(&path, Mode::S_IRWXU).unwrap();
    let socket = || drop(UnixListener::bind(&path).unwrap());
    let directory = || fs::create_dir(&path).unwrap();
    let table: [(&str, &dyn Fn()); 3] = [
        ("a FIFO", &fifo),
        ("a socket", &socket),
        ("a directory", &directory),
    ];
    for (what, make) in table {
        make();
        let mut file = log_file(&path, never());
        let why = FileError::NotAFile(what);
        for millis in [0, 500, 1500] {
            let failed = file.write(&[b"one\ntwo\n"], at(millis)).unwrap_err();
            let expected = Failed {
                written: 0,
                lost: 2,
                why,
            };
            assert_eq!(failed, expected);
        }
        let told = FileEvent::Failed {
            path: path.clone(),
            why,
        };
        assert_eq!(file.events(), [told]);
        assert_eq!(file.events(), []);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        put(&mut file, "three\n", 2500);
        put(&mut file, "four\n", 3500);
        assert_eq!(read(&path), "three\nfour\n");
        let told = FileEvent::Works {
            path: path.clone(),
            lost: 6,
        };
        assert_eq!(file.events(), [told]);
        assert_eq!(file.counters().lost_lines, 6);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn the_reader_of_a_fifo_notices_nothing() {
    let dir = Dir::new("fifo");
    let path = dir.path("app.log");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let reader = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(&path)
        .unwrap();
    let mut file = log_file(&path, never());
    file.write(&[b"one\n"], at(0)).unwrap_err();
    let mut fds = [PollFd::new(
        std::os::fd::AsFd::as_fd(&reader),
        PollFlags::POLLIN,
    )];
    // POLLHUP would mean that a writer was there.
    assert_eq!(poll(&mut fds, PollTimeout::ZERO), Ok(0));
}

#[test]
fn devices_take_what_they_take() {
    let mut file = log_file("/dev/null", by_size(10));
    for millis in 0..10 {
        put(&mut file, "one line\n", millis);
    }
    assert_eq!(file.counters().rotations_failed, 0);
    assert_eq!(file.events(), []);

    // Each write tries again, but only one report is made.
    let mut file = log_file("/dev/full", by_size(10));
    let why = FileError::Os(Errno::ENOSPC);
    for millis in 0..10 {
        let failed = file.write(&[b"one\ntw", b"o\n"], at(millis)).unwrap_err();
        assert_eq!((failed.written, failed.lost, failed.why), (0, 2, why));
    }
    let path = "/dev/full".into();
    assert_eq!(file.events(), [FileEvent::Failed { path, why }]);
    let counters = Counters {
        lost_lines: 20,
        ..Counters::default()
    };
    assert_eq!(file.counters(), counters);
}

#[test]
fn a_file_that_was_removed_or_replaced_is_noticed_within_a_second() {
    let dir = Dir::new("removed");
    let path = dir.path("app.log");
    let mut file = log_file(&path, never());
    put(&mut file, "one\n", 0);
    fs::rename(&path, dir.path("aside")).unwrap();
    put(&mut file, "two\n", 999);
    assert_eq!(dir.names(), ["aside"]);
    put(&mut file, "three\n", 1000);
    assert_eq!(read(&path), "three\n");
    assert_eq!(dir.read("aside"), "one\ntwo\n");

    fs::remove_file(&path).unwrap();
    fs::write(&path, "another\n").unwrap();
    put(&mut file, "four\n", 2000);
    assert_eq!(read(&path), "another\nfour\n");
    assert_eq!(file.events(), []);
    assert_eq!(file.counters().lost_lines, 0);
}

#[test]
fn a_directory_that_vanished_is_made_again() {
    let dir = Dir::new("vanished");
    let path = dir.path("a/b/app.log");
    let mut file = log_file(&path, never());
    for round in 0..3 {
        put(&mut file, "one\n", round * 1000);
        assert_eq!(read(&path), "one\n");
        fs::remove_dir_all(dir.path("a")).unwrap();
    }
    assert_eq!(file.events(), []);
}

#[test]
fn a_path_that_leads_nowhere_is_tried_once_a_second() {
    let dir = Dir::new("nowhere");
    let path = dir.path("a/app.log");
    fs::write(dir.path("a"), "in the way").unwrap();
    let mut file = log_file(&path, never());
    let why = FileError::Os(Errno::ENOTDIR);
    let failed = |file: &mut super::LogFile, millis| {
        assert_eq!(
            file.write(&[b"one\n"], at(millis)).unwrap_err().why,
            why,
            "{millis}"
        );
    };
    failed(&mut file, 0);
    fs::remove_file(dir.path("a")).unwrap();
    failed(&mut file, 1);
    failed(&mut file, 999);
    put(&mut file, "two\n", 1000);
    assert_eq!(read(&path), "two\n");
    assert_eq!(
        file.events(),
        [FileEvent::Failed {
            path: path.clone(),
            why
        }]
    );

    // Setting the clock back ends the pause.
    fs::remove_dir_all(dir.path("a")).unwrap();
    fs::write(dir.path("a"), "in the way").unwrap();
    failed(&mut file, 2000);
    fs::remove_file(dir.path("a")).unwrap();
    put(&mut file, "three\n", 1500);
    assert_eq!(read(&path), "three\n");
    assert_eq!(file.counters().lost_lines, 4);
}

#[test]
fn losses_in_a_row_are_one_spell() {
    let dir = Dir::new("spell");
    let path = dir.path("a/app.log");
    let blocked = |on: bool| {
        let _ = fs::remove_dir_all(dir.path("a")).or_else(|_| fs::remove_file(dir.path("a")));
        if on {
            fs::write(dir.path("a"), "in the way").unwrap();
        }
    };
    let mut file = log_file(&path, never());
    let why = FileError::Os(Errno::ENOTDIR);
    let mut told = Vec::new();
    for (millis, block) in [(0, true), (500, false), (900, true), (1800, false)] {
        blocked(block);
        // An open file is checked once a second.
        file.reopen(at(millis));
        let done = file.write(&[b"line\n"], at(millis));
        assert_eq!(done.is_err(), block, "{millis}");
        told.extend(file.events());
    }
    assert_eq!(told.len(), 1);
    put(&mut file, "line\n", 1900);
    told.extend(file.events());
    assert_eq!(
        told,
        [
            FileEvent::Failed {
                path: path.clone(),
                why
            },
            FileEvent::Works { path, lost: 2 }
        ]
    );
}

#[test]
fn usr1_after_an_outside_rotation() {
    let dir = Dir::new("reopen");
    let path = dir.path("app.log");
    let mut file = log_file(&path, never());
    put(&mut file, "one\n", 0);
    fs::rename(&path, dir.path("app.log.1")).unwrap();
    put(&mut file, "two\n", 1);
    file.reopen(at(2));
    // The file exists before the next line, for processes that wait for it.
    assert_eq!(read(&path), "");
    put(&mut file, "three\n", 3);
    assert_eq!(dir.read("app.log.1"), "one\ntwo\n");
    assert_eq!(read(&path), "three\n");

    // A file that cannot be opened is reported, and opening is tried again.
    fs::rename(&path, dir.path("app.log.2")).unwrap();
    fs::create_dir(&path).unwrap();
    file.reopen(at(4));
    let why = FileError::NotAFile("a directory");
    assert_eq!(
        file.events(),
        [FileEvent::Failed {
            path: path.clone(),
            why
        }]
    );
    assert!(file.write(&[b"four\n"], at(5)).is_err());
    fs::remove_dir(&path).unwrap();
    file.reopen(at(6));
    put(&mut file, "five\n", 7);
    assert_eq!(read(&path), "five\n");
    assert_eq!(file.counters().lost_lines, 1);
}

#[test]
fn a_directory_that_was_closed_to_us_does_not_matter_to_an_open_file() {
    let dir = Dir::new("closed");
    let path = dir.path("app.log");
    chown(&dir.0, Some(65534), None).unwrap();
    let close = |mode| fs::set_permissions(&dir.0, Permissions::from_mode(mode)).unwrap();
    close(0o700);
    let mut file = log_file(&path, never());
    as_nobody(|| put(&mut file, "one\n", 0));
    close(0);
    as_nobody(|| put(&mut file, "two\n", 5000));
    // It could not open a new file.
    let why = FileError::Os(Errno::EACCES);
    let other = dir.path("other.log");
    let failed = as_nobody(|| log_file(&other, never()).write(&[b"one\n"], at(0)));
    assert_eq!(failed.unwrap_err().why, why);
    close(0o700);
    assert_eq!(read(&path), "one\ntwo\n");
    assert_eq!(file.events(), []);
}

#[test]
fn files_can_be_written_where_only_others_may_read() {
    let dir = Dir::new("dropbox");
    let path = dir.path("app.log");
    // Without read permission, the last byte cannot be read.
    let before = Duration::from_secs(5);
    let mut old = File::create(&path).unwrap();
    old.write_all(b"before\n").unwrap();
    old.set_modified(at(0) - before).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o200)).unwrap();
    chown(&path, Some(65534), None).unwrap();
    as_nobody(|| put(&mut log_file(&path, never()), "one\n", 0));
    assert_eq!(read(&path), "before\none\n");
}
