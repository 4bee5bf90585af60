//! Rotation, with real files and with times chosen by the tests.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::sync::Arc;

use nix::errno::Errno;

use crate::log::file::name::{Form, parse};
use crate::log::file::testing::{
    DAY, Dir, at, by_size, daily, kept, log_file, put, read, settled, unpacked,
};
use crate::log::file::{Every, FileError, FileEvent, Rotation};
use crate::sys::testing::as_nobody;

const AWAY: &str = "app.log.20261122T044012Z";
/// Milliseconds from the start to midnight.
const NIGHT: u64 = (DAY - (4 * 3600 + 40 * 60 + 12)) * 1000;

#[test]
fn a_file_that_would_grow_too_large_is_put_away_first() {
    let dir = Dir::new("size");
    let path = dir.path("app.log");
    let mut file = log_file(&path, by_size(10));
    put(&mut file, "aaaa\n", 0);
    put(&mut file, "bbbb\n", 0);
    // A file of exactly the limit is not above it.
    assert_eq!(dir.names(), ["app.log"]);
    put(&mut file, "c\n", 0);
    assert_eq!(dir.read(AWAY), "aaaa\nbbbb\n");
    assert_eq!(read(&path), "c\n");
    // A single write is never split, however large it is. The next write finds no room after it and rotates.
    put(&mut file, "0123456789\n0123456789\n", 0);
    assert_eq!(dir.read(&format!("{AWAY}.1")), "c\n");
    put(&mut file, "d\n", 1000);
    let third = "app.log.20261122T044013Z";
    assert_eq!(dir.read(third), "0123456789\n0123456789\n");
    assert_eq!(read(&path), "d\n");
    assert_eq!(file.counters().rotations, 3);
    assert_eq!(file.counters().bytes, 36);
    assert_eq!(file.events(), []);
}

#[test]
fn a_large_first_line_rotates_nothing() {
    let dir = Dir::new("size-first");
    let mut file = log_file(dir.path("app.log"), by_size(4));
    put(&mut file, "0123456789\n", 0);
    assert_eq!(dir.names(), ["app.log"]);
}

#[test]
fn a_file_of_an_earlier_life_counts() {
    let dir = Dir::new("size-earlier");
    fs::write(dir.path("app.log"), "12345678\n").unwrap();
    put(&mut log_file(dir.path("app.log"), by_size(10)), "a\n", 0);
    assert_eq!(dir.read(AWAY), "12345678\n");
    assert_eq!(dir.read("app.log"), "a\n");
}

#[test]
fn no_rotated_file_is_overwritten() {
    let dir = Dir::new("taken");
    fs::write(dir.path(AWAY), "plain").unwrap();
    fs::write(dir.path(&format!("{AWAY}.1.gz")), "packed").unwrap();
    fs::create_dir(dir.path(&format!("{AWAY}.2"))).unwrap();
    symlink("nowhere", dir.path(&format!("{AWAY}.3"))).unwrap();
    let mut file = log_file(dir.path("app.log"), by_size(4));
    put(&mut file, "one\n", 0);
    put(&mut file, "two\n", 999);
    assert_eq!(dir.read(&format!("{AWAY}.4")), "one\n");
    assert_eq!(dir.read(AWAY), "plain");
}

#[test]
fn the_order_holds_within_one_second() {
    let dir = Dir::new("order");
    let (path, retain) = (dir.path("app.log"), Some(3));
    let rotation = Rotation {
        retain,
        ..by_size(4)
    };
    let (mut file, sweeper) = kept(&path, rotation);
    for number in 0..25 {
        put(&mut file, &format!("{number:03}\n"), number);
        settled(&sweeper);
    }
    // Names that became free are not used again, because they would be the oldest.
    let last = [21, 22, 23].map(|number| format!("{AWAY}.{number}"));
    assert_eq!(
        dir.names()[1..],
        [last[0].clone(), last[1].clone(), last[2].clone()]
    );
    for (name, line) in last.iter().zip(["021\n", "022\n", "023\n"]) {
        assert_eq!(dir.read(name), line);
    }
}

#[test]
fn no_line_is_lost_or_split_when_it_rotates_at_every_turn() {
    let dir = Dir::new("lossless");
    let rotation = Rotation {
        compress: true,
        ..by_size(100)
    };
    let (mut file, sweeper) = kept(dir.path("app.log"), rotation);
    let mut expected = String::new();
    for number in 0..500 {
        let line = format!("{number} {}\n", "x".repeat(number % 90));
        put(&mut file, &line, number as u64 * 100);
        expected.push_str(&line);
    }
    settled(&sweeper);
    assert_eq!(file.events(), []);
    let mut names = dir.names();
    assert_eq!(names.remove(0), "app.log");
    // By number, not by character.
    let turn = |name: &String| parse("app.log".as_ref(), name.as_ref()).unwrap();
    names.sort_by_key(turn);
    let mut found = String::new();
    for name in &names {
        assert_eq!(turn(name).1, Form::Packed);
        let part = String::from_utf8(unpacked(&dir.path(name))).unwrap();
        assert!(part.ends_with('\n') && part.len() <= 100, "{part:?}");
        found.push_str(&part);
    }
    found.push_str(&dir.read("app.log"));
    assert_eq!(found, expected);
    assert_eq!(file.counters().rotations, names.len() as u64);
    assert!(names.len() > 100);
}

#[test]
fn the_first_line_after_midnight_rotates() {
    let dir = Dir::new("daily");
    let mut file = log_file(dir.path("app.log"), daily());
    put(&mut file, "one\n", 0);
    put(&mut file, "two\n", NIGHT - 1);
    put(&mut file, "three\n", NIGHT + 5000);
    put(&mut file, "four\n", NIGHT + 5001);
    // A clock that is set back causes no further rotation and does not stop rotation.
    put(&mut file, "five\n", NIGHT - 1);
    put(&mut file, "six\n", NIGHT + 6000);
    assert_eq!(dir.read("app.log.20261123T000005Z"), "one\ntwo\n");
    assert_eq!(dir.read("app.log"), "three\nfour\nfive\nsix\n");
    put(&mut file, "seven\n", NIGHT + DAY * 1000);
    assert_eq!(dir.names().len(), 3);
    assert_eq!(dir.read("app.log"), "seven\n");
}

#[test]
fn a_calendar_is_followed() {
    let dir = Dir::new("calendar");
    let rotation = Rotation {
        every: Some(Every::Points(Arc::new(|after| {
            (after < at(5000)).then(|| at(5000))
        }))),
        ..daily()
    };
    let mut file = log_file(dir.path("app.log"), rotation);
    for millis in [0, 4999, 5000, 5001, 1_000_000_000_000] {
        put(&mut file, "one\n", millis);
    }
    assert_eq!(dir.names(), ["app.log", "app.log.20261122T044017Z"]);
    assert_eq!(dir.read("app.log"), "one\none\none\n");
}

#[test]
fn a_restart_after_midnight_skips_nothing() {
    let dir = Dir::new("restart");
    let path = dir.path("app.log");
    fs::write(&path, "yesterday\n").unwrap();
    let old = File::options().append(true).open(&path).unwrap();
    old.set_modified(at(NIGHT - 60_000)).unwrap();
    put(&mut log_file(&path, daily()), "today\n", NIGHT + 60_000);
    assert_eq!(dir.read("app.log.20261123T000100Z"), "yesterday\n");
    assert_eq!(read(&path), "today\n");
    // A file of today is not due for yesterday's rotation.
    File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(at(NIGHT + 60_000))
        .unwrap();
    put(&mut log_file(&path, daily()), "later\n", NIGHT + 120_000);
    assert_eq!(read(&path), "today\nlater\n");
}

#[test]
fn an_empty_file_is_not_put_away() {
    let dir = Dir::new("empty");
    let path = dir.path("app.log");
    let mut file = log_file(&path, daily());
    put(&mut file, "one\n", 0);
    // When it is due, another process has emptied it.
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    put(&mut file, "two\n", NIGHT);
    // It is not rotated on the new day either, which has already begun.
    put(&mut file, "two\n", NIGHT + 1);
    assert_eq!(dir.names(), ["app.log"]);
    put(&mut file, "three\n", NIGHT + DAY * 1000);
    assert_eq!(dir.names().len(), 2);
    assert_eq!(read(&path), "three\n");
}

#[test]
fn what_others_do_to_the_size_is_noticed_when_it_matters() {
    let dir = Dir::new("copytruncate");
    let path = dir.path("app.log");
    let mut file = log_file(&path, by_size(10));
    put(&mut file, "12345678\n", 0);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    put(&mut file, "abcd\n", 1);
    assert_eq!(dir.names(), ["app.log"]);
    assert_eq!(read(&path), "abcd\n");
    // Within the second, writes of another process are in the old file too.
    let mut other = File::options().append(true).open(&path).unwrap();
    other.write_all(b"other\n").unwrap();
    put(&mut file, "x\n", 1001);
    assert_eq!(read(&path), "x\n");
    assert_eq!(dir.read("app.log.20261122T044013Z"), "abcd\nother\n");
}

#[test]
fn what_somebody_else_has_put_there_is_not_put_away() {
    let dir = Dir::new("others");
    let path = dir.path("app.log");
    let mut file = log_file(&path, by_size(4));
    put(&mut file, "one\n", 0);
    fs::rename(&path, dir.path("aside")).unwrap();
    fs::write(&path, "new\n").unwrap();
    put(&mut file, "two\n", 1);
    assert_eq!(dir.names(), ["app.log", "aside"]);
    assert_eq!(read(&path), "new\ntwo\n");
}

#[test]
fn a_link_is_followed() {
    let dir = Dir::new("link");
    let real = dir.path("disk");
    fs::create_dir(&real).unwrap();
    symlink("disk/real.log", dir.path("app.log")).unwrap();
    let mut file = log_file(dir.path("app.log"), by_size(4));
    put(&mut file, "one\n", 0);
    put(&mut file, "two\n", 1);
    assert_eq!(dir.names(), ["app.log", "disk"]);
    assert_eq!(dir.read("app.log"), "two\n");
    assert_eq!(dir.read("disk/real.log"), "two\n");
    assert_eq!(dir.read("disk/real.log.20261122T044012Z"), "one\n");
}

#[test]
fn a_link_that_another_user_made_is_not_followed() {
    let dir = Dir::new("foreign-link");
    fs::write(dir.path("target"), "kept\n").unwrap();
    symlink("target", dir.path("app.log")).unwrap();
    lchown(dir.path("app.log"), Some(1234), None).unwrap();
    let mut file = log_file(dir.path("app.log"), by_size(4));
    assert!(file.write(&[b"one\n".as_slice()], at(0)).is_err());
    assert_eq!(dir.read("target"), "kept\n");
    assert_eq!(file.events().len(), 1);
}

/// A name so long that no time stamp fits after it, so renaming fails even for root.
#[test]
fn a_rotation_that_fails_is_told_once_and_loses_nothing() {
    let dir = Dir::new("too-long");
    let path = dir.path(&"a".repeat(250));
    let mut file = log_file(&path, by_size(3));
    let mut expected = String::new();
    for (millis, tries) in [
        (0, 0),
        (1, 1),
        (5000, 1),
        (10_000, 1),
        (10_001, 2),
        (20_000, 2),
        (20_001, 3),
    ] {
        let mut line = String::new();
        writeln!(line, "{millis}").unwrap();
        put(&mut file, &line, millis);
        expected.push_str(&line);
        assert_eq!(file.counters().rotations_failed, tries, "{millis}");
    }
    assert_eq!(read(&path), expected);
    let why = FileError::Os(Errno::ENAMETOOLONG);
    assert_eq!(file.events(), [FileEvent::RotationFailed { path, why }]);
    assert_eq!(dir.names().len(), 1);
    assert_eq!(file.counters().rotations, 0);
}

#[test]
fn a_directory_that_cannot_be_written_to_is_tried_again() {
    let dir = Dir::new("readonly");
    let path = dir.path("app.log");
    chown(&dir.0, Some(65534), None).unwrap();
    let set = |mode| fs::set_permissions(&dir.0, Permissions::from_mode(mode)).unwrap();
    let mut file = log_file(&path, by_size(4));
    let mut turn = |line: &str, millis| {
        as_nobody(|| put(&mut file, line, millis));
        file.events()
    };
    assert_eq!(turn("one\n", 0), []);
    set(0o500);
    let why = FileError::Os(Errno::EACCES);
    let told = [FileEvent::RotationFailed {
        path: path.clone(),
        why,
    }];
    assert_eq!(turn("two\n", 1), told);
    assert_eq!(turn("three\n", 10_001), []);
    set(0o700);
    assert_eq!(turn("four\n", 20_000), []);
    assert_eq!(read(&path), "one\ntwo\nthree\nfour\n");
    assert_eq!(turn("five\n", 20_001), []);
    assert_eq!(read(&path), "five\n");
    // The rotation worked in between, so the failure is reported again.
    set(0o500);
    assert_eq!(turn("six\n", 20_002), told);
    set(0o700);
}

#[test]
fn rotated_files_are_kept_in_number_and_packed() {
    let dir = Dir::new("retain");
    let rotation = Rotation {
        retain: Some(2),
        compress: true,
        ..daily()
    };
    let (mut file, sweeper) = kept(dir.path("app.log"), rotation);
    for day in 0..5 {
        put(&mut file, &format!("day {day}\n"), day * DAY * 1000);
        settled(&sweeper);
    }
    let expected = [
        "app.log",
        "app.log.20261125T044012Z.gz",
        "app.log.20261126T044012Z.gz",
    ];
    assert_eq!(dir.names(), expected);
    assert_eq!(unpacked(&dir.path(expected[1])), b"day 2\n");
    assert_eq!(unpacked(&dir.path(expected[2])), b"day 3\n");
    assert_eq!(file.events(), []);
}

#[test]
fn trouble_of_the_keeper_is_told_by_the_file() {
    let dir = Dir::new("trouble");
    let rotation = Rotation {
        compress: true,
        ..by_size(4)
    };
    let (mut file, sweeper) = kept(dir.path("app.log"), rotation);
    put(&mut file, "one\n", 0);
    // A directory is not removed, even under one of our names.
    fs::create_dir(dir.path(&format!("{AWAY}.gz.tmp"))).unwrap();
    put(&mut file, "two\n", 1);
    settled(&sweeper);
    let why = FileError::Os(Errno::EEXIST);
    let path = dir.path(AWAY);
    assert_eq!(file.events(), [FileEvent::CompressFailed { path, why }]);
    assert_eq!(dir.read(AWAY), "one\n");
    assert_eq!(file.counters().rotations_failed, 0);
}
