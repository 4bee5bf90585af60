//! The file of the runtime's own lines, with its thread.

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::sync::MutexGuard;

use tracing::Level;

use super::*;
use crate::log::file::testing::{DAY, Dir, names, read};
use crate::log::file::{Every, FileError};
use crate::log::tests::{PATIENCE, collector, settings as log_settings, text};
use crate::log::{Flushed, Format, start};
use crate::model::Timestamp;
use crate::sys::testing::until;

fn settings(path: PathBuf) -> OwnFileSettings {
    OwnFileSettings {
        path,
        rotation: Arc::default(),
        only: false,
    }
}

fn format() -> OwnFormat {
    OwnFormat {
        format: Format::Raw,
        timestamp: Timestamp::None,
        app: "web".to_owned(),
        colour: false,
    }
}

fn started(settings: OwnFileSettings) -> OwnFile {
    OwnFile::start(settings, format(), Weak::new()).unwrap()
}

fn said(text: impl fmt::Display) -> OwnEvent {
    OwnEvent::new(Level::INFO, &text.to_string())
}

fn line(text: impl fmt::Display) -> String {
    format!("[rpm-runtime] info: {text}\n")
}

#[test]
fn lines_are_in_the_file_in_order_once_it_is_flushed() {
    let dir = Dir::new("own-order");
    let path = dir.path("new/own.log");
    let file = started(settings(path.clone()));
    assert_eq!(read(&path), "", "it is made at the start");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()) & 0o137, 0);
    assert_eq!(mode(dir.path("new")) & 0o027, 0);
    let mut expected = String::new();
    for number in 0..500 {
        assert_eq!(file.write(&said(number)), None);
        expected.push_str(&line(number));
    }
    assert_eq!(file.flush(PATIENCE), 0);
    assert_eq!(read(&path), expected);
    assert_eq!(file.lost(), [0, 0].into());
}

/// Writes a line, and holds the thread up behind it, as a disk that hangs would. The queue is empty.
fn hang(file: &OwnFile) -> MutexGuard<'_, u64> {
    let hangs = locked(&file.progress.done);
    assert_eq!(file.write(&said("first")), None);
    until("the thread has taken it", || {
        file.progress.waiting.load(Relaxed) == 0
    });
    hangs
}

#[test]
fn a_file_that_hangs_costs_lines_that_are_counted_and_nobody_waits() {
    let dir = Dir::new("own-hangs");
    let path = dir.path("own.log");
    let file = started(settings(path.clone()));
    let hangs = hang(&file);
    let told: Vec<_> = (0..2000).filter_map(|n| file.write(&said(n))).collect();
    assert_eq!(told, [own::own_file_stuck()], "once");
    let gone = 2000 - LINES as u64;
    assert_eq!(file.lost(), [gone, 0].into());
    drop(hangs);
    assert_eq!(file.flush(PATIENCE), 0);
    // The next line says that some are missing.
    for next in ["next", "last"] {
        assert_eq!(file.write(&said(next)), None);
        assert_eq!(file.flush(PATIENCE), 0);
    }
    let kept: String = (0..LINES).map(line).collect();
    let gap =
        "[rpm-runtime] warn: lines of the runtime are missing here, this file was stuck lines=";
    let [first, next, last] = ["first", "next", "last"].map(line);
    let expected = format!("{first}{kept}{gap}{gone}\n{next}{last}");
    assert_eq!(read(&path), expected);
    // The queue was empty in between, so this is told anew.
    let hangs = hang(&file);
    let told = (0..2000).filter_map(|number| file.write(&said(number)));
    assert_eq!(told.count(), 1);
    drop(hangs);
}

#[test]
fn the_queue_is_bounded_in_bytes_too() {
    let dir = Dir::new("own-bytes");
    let file = started(settings(dir.path("own.log")));
    let hangs = hang(&file);
    let long = "x".repeat(10_000);
    let told = (0..100).filter_map(|_| file.write(&said(&long))).count();
    assert_eq!(told, 1);
    let kept = (BYTES / line(&long).len()) as u64;
    assert_eq!(file.lost().buffer_full, 100 - kept);
    drop(hangs);
}

#[test]
fn neither_a_flush_nor_the_end_waits_longer_than_it_may() {
    let dir = Dir::new("own-end");
    let file = started(settings(dir.path("own.log")));
    file.write(&said("one"));
    assert_eq!(file.flush(PATIENCE), 0);
    // As a line that the thread does not finish.
    locked(&file.entry).taken += 1;
    let begin = clock::instant();
    assert_eq!(file.flush(Duration::from_millis(10)), 1);
    drop(file);
    assert!(begin.elapsed() < PATIENCE);
}

#[test]
fn a_renamed_file_is_opened_anew_after_the_lines_before() {
    let dir = Dir::new("own-reopen");
    let path = dir.path("own.log");
    let file = started(settings(path.clone()));
    for turn in 0..3 {
        file.write(&said(turn));
        assert_eq!(file.flush(PATIENCE), 0);
        fs::rename(&path, dir.path(&format!("away-{turn}"))).unwrap();
        file.reopen();
    }
    file.write(&said("last"));
    assert_eq!(file.flush(PATIENCE), 0);
    for turn in 0..3 {
        assert_eq!(dir.read(&format!("away-{turn}")), line(turn));
    }
    assert_eq!(read(&path), line("last"));
}

#[test]
fn a_request_to_open_it_anew_is_not_lost_if_the_queue_is_full() {
    let dir = Dir::new("own-reopen-full");
    let path = dir.path("own.log");
    let file = started(settings(path.clone()));
    let hangs = hang(&file);
    for number in 0..2000 {
        file.write(&said(number));
    }
    fs::rename(&path, dir.path("away")).unwrap();
    file.reopen();
    drop(hangs);
    assert_eq!(file.flush(PATIENCE), 0);
    assert!(read(&path).ends_with(&line(LINES - 1)));
}

#[test]
fn only_what_another_path_mends_is_an_error_of_the_start() {
    let dir = Dir::new("own-start");
    let start = |path: PathBuf| {
        let started = OwnFile::start(settings(path), format(), Weak::new());
        match started {
            Ok(_) => None,
            Err(StartError::OwnFile(_, why)) => Some(why),
            Err(StartError::Os(errno)) => panic!("{errno}"),
        }
    };
    fs::write(dir.path("file"), "").unwrap();
    fs::write(dir.path("target"), "kept\n").unwrap();
    symlink("target", dir.path("ours")).unwrap();
    symlink("target", dir.path("theirs")).unwrap();
    lchown(dir.path("theirs"), Some(1234), None).unwrap();
    let table = [
        ("file/own.log", Some(FileError::Os(Errno::ENOTDIR))),
        (".", Some(FileError::NotAFile("a directory"))),
        ("theirs", Some(FileError::ForeignLink(1234))),
        ("ours", None),
        ("file", None),
    ];
    for (name, expected) in table {
        assert_eq!(start(dir.path(name)), expected, "{name}");
    }
    assert_eq!(dir.read("target"), "kept\n");
    for (errno, lasting) in [
        (Errno::EROFS, true),
        (Errno::EACCES, true),
        (Errno::ENOSPC, false),
        (Errno::EDQUOT, false),
        (Errno::EIO, false),
        (Errno::EMFILE, false),
    ] {
        assert_eq!(FileError::Os(errno).is_lasting(), lasting, "{errno}");
    }
}

#[test]
fn yesterdays_file_is_rotated_and_only_the_newest_stay() {
    let dir = Dir::new("own-retain");
    let path = dir.path("own.log");
    let old = |day| dir.path(&format!("own.log.202611{day:02}T000000Z"));
    for day in 20..25 {
        fs::write(old(day), "").unwrap();
    }
    fs::write(dir.path("own.log.toml"), "").unwrap();
    fs::write(&path, "yesterday\n").unwrap();
    let yesterday = clock::wall() - Duration::from_secs(DAY);
    let before = fs::File::options().write(true).open(&path).unwrap();
    before.set_modified(yesterday).unwrap();
    let file = started(OwnFileSettings {
        rotation: Arc::new(Rotation {
            every: Some(Every::Period(Duration::from_secs(DAY))),
            retain: Some(3),
            ..Rotation::default()
        }),
        ..settings(path.clone())
    });
    file.write(&said("today"));
    assert_eq!(file.flush(PATIENCE), 0);
    assert_eq!(read(&path), line("today"));
    until("the oldest are removed", || names(&dir.0).len() == 5);
    for (day, kept) in [(22, false), (23, true), (24, true)] {
        assert_eq!(old(day).exists(), kept, "{day}");
    }
    assert!(dir.path("own.log.toml").exists());
}

#[test]
fn the_stream_gets_the_lines_too_or_only_the_problems_of_the_file() {
    for only in [false, true] {
        let dir = Dir::new("own-only");
        let path = dir.path("own.log");
        let (read_end, write_end) = std::io::pipe().unwrap();
        let mut settings = log_settings(write_end, Format::Raw, 1024);
        settings.own_file = Some(OwnFileSettings {
            only,
            ..self::settings(path.clone())
        });
        let log = start(settings).unwrap();
        let out = collector(read_end);
        log.line(Level::INFO, "one");
        assert_eq!(log.flush(PATIENCE), Flushed::Done);
        assert_eq!(log.left_for_file(Duration::ZERO), 0);
        let (time, rest) = read(&path).split_once(' ').map_or_else(
            || panic!("no time"),
            |(time, rest)| (time.to_owned(), rest.to_owned()),
        );
        assert_eq!((time.len(), rest.as_str()), (24, line("one").as_str()));
        // A directory in its place, as one that cannot be written.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        log.reopen();
        log.line(Level::INFO, "two");
        assert_eq!(log.flush(PATIENCE), Flushed::Done);
        assert_eq!(log.totals().own_file, [0, 1].into());
        drop(log);
        let out = text(out);
        assert_eq!(out.matches("cannot write to a log file").count(), 1);
        let own = ["one", "two"].map(|word| out.contains(&line(word)));
        assert_eq!(own, [!only; 2], "{out}");
    }
}
