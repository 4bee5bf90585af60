//! Full disks: a small tmpfs in a mount namespace of its own, in which the test runs again.
#![allow(
    clippy::disallowed_methods,
    reason = "a test starts itself again and asks its environment where it is"
)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;

use crate::log::file::testing::{Dir, at, by_size, log_file, names, never, put, read};
use crate::log::file::{FileError, FileEvent};

const DISK: &str = "RPM_TEST_DISK";
const FULL: FileError = FileError::Os(Errno::ENOSPC);

/// The small disk; `None` in the outer test process, which only starts the inner one.
fn disk(test: &str, options: &str) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(DISK) {
        return Some(disk.into());
    }
    let dir = Dir::new(test);
    let script = "mount -t tmpfs -o \"$1\" none \"$2\" && exec \"$3\" --exact \"$4\" --nocapture";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .args(["sh", "-c", script, "sh", options])
        .arg(&dir.0)
        .arg(std::env::current_exe().unwrap())
        .arg(format!("log::file::tests::full::{test}"))
        .env(DISK, &dir.0)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let passed = String::from_utf8_lossy(&output.stdout);
    assert!(passed.contains("1 passed"), "{passed}");
    None
}

/// Fills the disk except for `left` bytes.
fn fill(disk: &Path, left: u64) -> PathBuf {
    let path = disk.join("ballast");
    let mut ballast = File::create(&path).unwrap();
    while ballast.write_all(&[0; 4096]).is_ok() {}
    let size = ballast.metadata().unwrap().len();
    ballast.set_len(size - left).unwrap();
    path
}

/// `count` numbered lines of different lengths.
fn batch(first: usize, count: usize) -> String {
    let line = |number: usize| format!("{number} {}\n", "x".repeat(number * 7 % 90));
    let lines: Vec<String> = (first..first + count).map(line).collect();
    lines.concat()
}

#[test]
fn a_full_disk_takes_whole_lines_and_the_rest_is_counted() {
    let Some(disk) = disk(
        "a_full_disk_takes_whole_lines_and_the_rest_is_counted",
        "size=256k",
    ) else {
        return;
    };
    let path = disk.join("app.log");
    let mut file = log_file(&path, never());
    put(&mut file, "first\n", 0);
    let ballast = fill(&disk, 3 * 4096);
    let (mut expected, mut lost, mut short) = ("first\n".to_owned(), 0, 0);
    for turn in 0..40_usize {
        let lines = batch(turn * 20, 20);
        let (head, tail) = lines.split_at(lines.len() / 3);
        match file.write(&[head.as_bytes(), tail.as_bytes()], at(turn as u64)) {
            Ok(()) => expected.push_str(&lines),
            Err(failed) => {
                let (there, missing) = lines.split_at(failed.written);
                assert!(there.is_empty() || there.ends_with('\n'));
                assert_eq!(failed.lost, missing.lines().count() as u64);
                assert_eq!(failed.why, FULL);
                expected.push_str(there);
                lost += failed.lost;
                short += usize::from(failed.written > 0);
            }
        }
        assert_eq!(read(&path), expected, "{turn}");
    }
    assert!(lost > 0 && short > 0, "{lost} {short}");
    assert_eq!(file.counters().lost_lines, lost);
    assert_eq!(file.counters().bytes, expected.len() as u64);
    let path_of = || path.clone();
    let told = FileEvent::Failed {
        path: path_of(),
        why: FULL,
    };
    assert_eq!(file.events(), [told]);

    // There is room again: the next line is whole, and after a second this is reported.
    fs::remove_file(ballast).unwrap();
    put(&mut file, "room\n", 500);
    assert_eq!(file.events(), []);
    put(&mut file, "calm\n", 5000);
    let told = FileEvent::Works {
        path: path_of(),
        lost,
    };
    assert_eq!(file.events(), [told]);
    assert_eq!(read(&path), expected + "room\ncalm\n");
}

#[test]
fn what_another_writer_appended_is_never_cut() {
    let Some(disk) = disk("what_another_writer_appended_is_never_cut", "size=256k") else {
        return;
    };
    let path = disk.join("app.log");
    let mut file = log_file(&path, never());
    put(&mut file, "first\n", 0);
    let ballast = fill(&disk, 4096);
    // Within the second between two checks, so the log file does not notice it.
    let mut other = File::options().append(true).open(&path).unwrap();
    other.write_all(b"other\n").unwrap();
    let lines = batch(0, 300);
    let failed = file.write(&[lines.as_bytes()], at(1)).unwrap_err();
    assert!(failed.written > 0, "{failed:?}");
    let there = read(&path);
    let torn = there.strip_prefix("first\nother\n").unwrap();
    assert!(lines.starts_with(torn) && !torn.ends_with('\n'));
    assert_eq!(failed.written, torn.rfind('\n').unwrap() + 1);
    // There is no room even for a newline, so it is written later.
    let mut written = 0;
    while other.write_all(b"x").is_ok() {
        written += 1;
    }
    file.write(&[b"no room\n"], at(2)).unwrap_err();
    fs::remove_file(ballast).unwrap();
    put(&mut file, "room\n", 3);
    let owed = format!("{there}{}\nroom\n", "x".repeat(written));
    assert_eq!(read(&path), owed);
}

#[test]
fn a_rotation_without_room_for_a_new_file_is_taken_back() {
    // Room for the root directory, the file, and one more.
    let Some(disk) = disk(
        "a_rotation_without_room_for_a_new_file_is_taken_back",
        "size=256k,nr_inodes=3",
    ) else {
        return;
    };
    let path = disk.join("app.log");
    let mut file = log_file(&path, by_size(4));
    put(&mut file, "one\n", 0);
    File::create(disk.join("last")).unwrap();
    put(&mut file, "two\n", 1);
    // The file that could not be opened was another file.
    file.reopen(at(2));
    put(&mut file, "three\n", 2);
    assert_eq!(names(&disk), ["app.log", "last"]);
    assert_eq!(read(&path), "one\ntwo\nthree\n");
    let told = FileEvent::RotationFailed {
        path: path.clone(),
        why: FULL,
    };
    assert_eq!(file.events(), [told]);
    assert_eq!(file.counters().rotations_failed, 1);
    fs::remove_file(disk.join("last")).unwrap();
    put(&mut file, "four\n", 10_001);
    assert_eq!(read(&path), "four\n");
    assert_eq!(file.counters().rotations, 1);
    assert_eq!(file.counters().lost_lines, 0);
}

#[test]
fn a_disk_that_goes_readonly_loses_lines_and_no_more() {
    let Some(disk) = disk(
        "a_disk_that_goes_readonly_loses_lines_and_no_more",
        "size=256k",
    ) else {
        return;
    };
    let remount = |how: &str| {
        let done = Command::new("mount")
            .args(["-o", &format!("remount,{how}"), "none"])
            .arg(&disk)
            .status();
        assert!(done.unwrap().success());
    };
    let path = disk.join("logs/app.log");
    remount("ro");
    let mut file = log_file(&path, never());
    let failed = file.write(&[b"one\n"], at(0)).unwrap_err();
    assert_eq!(failed.why, FileError::Os(Errno::EROFS));
    remount("rw");
    file.write(&[b"two\n"], at(999)).unwrap_err();
    put(&mut file, "three\n", 1000);
    assert_eq!(read(&path), "three\n");
    assert_eq!(file.counters().lost_lines, 2);
}

#[test]
fn a_torn_line_that_somebody_cut_off_is_no_debt() {
    let Some(disk) = disk("a_torn_line_that_somebody_cut_off_is_no_debt", "size=256k") else {
        return;
    };
    let path = disk.join("app.log");
    let mut file = log_file(&path, never());
    put(&mut file, "first\n", 0);
    fill(&disk, 4096);
    let mut other = File::options().append(true).open(&path).unwrap();
    other.write_all(b"other\n").unwrap();
    file.write(&[batch(0, 300).as_bytes()], at(1)).unwrap_err();
    assert!(!read(&path).ends_with('\n'));
    other.set_len(0).unwrap();
    put(&mut file, "room\n", 1500);
    assert_eq!(read(&path), "room\n");
}
