use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use nix::errno::Errno;

use super::super::event::FileError;
use super::super::testing::{Dir, settled, unpacked};
use super::*;
use crate::sys::testing::as_nobody;

const STAMPS: [&str; 4] = [
    "20261122T044012Z",
    "20261122T044012Z.1",
    "20261122T044012Z.10",
    "20261123T000000Z",
];

fn with_rotated(name: &str) -> Dir {
    let dir = Dir::new(name);
    for stamp in STAMPS {
        fs::write(dir.path(&format!("app.log.{stamp}")), stamp).unwrap();
    }
    dir
}

fn events(sweeper: &Sweeper) -> Vec<FileEvent> {
    let mut events = Vec::new();
    sweeper.take_events(&mut events);
    events
}

#[test]
fn only_what_is_ours_is_touched() {
    let dir = with_rotated("keeper");
    let foreign = [
        "app.log",
        "app.log.1",
        "app.log.20261122T044012Z.bak",
        "app.log.20261122T044012Z.x",
        "app2.log.20261122T044012Z",
        "xapp.log.20261122T044012Z",
    ];
    for name in foreign {
        fs::write(dir.path(name), "foreign").unwrap();
    }
    fs::create_dir(dir.path("app.log.20000101T000000Z")).unwrap();
    symlink("/etc/hostname", dir.path("app.log.20000101T000001Z")).unwrap();
    let sweeper = Sweeper::default();
    sweeper.rotated(dir.path("app.log"), Some(1), true);
    settled(&sweeper);
    let mut expected = foreign.map(str::to_owned).to_vec();
    expected.extend(
        [
            "app.log.20000101T000000Z",
            "app.log.20000101T000001Z",
            "app.log.20261123T000000Z.gz",
        ]
        .map(str::to_owned),
    );
    expected.sort();
    assert_eq!(dir.names(), expected);
    assert_eq!(
        unpacked(&dir.path("app.log.20261123T000000Z.gz")),
        b"20261123T000000Z"
    );
    assert_eq!(events(&sweeper), []);
    sweeper.rotated(dir.path("app.log"), Some(0), true);
    settled(&sweeper);
    expected.retain(|name| name != "app.log.20261123T000000Z.gz");
    assert_eq!(dir.names(), expected);
}

#[test]
fn what_an_earlier_life_left_is_finished() {
    let dir = with_rotated("keeper-left");
    // The process died while it compressed the first file and before it removed the second.
    fs::write(dir.path("app.log.20261122T044012Z.gz.tmp"), "half").unwrap();
    fs::write(
        dir.path("app.log.20261122T044012Z.1.gz"),
        "perhaps not on disk",
    )
    .unwrap();
    let sweeper = Sweeper::default();
    sweeper.rotated(dir.path("app.log"), None, true);
    settled(&sweeper);
    let expected = STAMPS.map(|stamp| format!("app.log.{stamp}.gz"));
    let mut sorted = expected.clone();
    sorted.sort();
    assert_eq!(dir.names(), sorted);
    for (name, stamp) in expected.iter().zip(STAMPS) {
        assert_eq!(unpacked(&dir.path(name)), stamp.as_bytes());
    }
}

#[test]
fn one_thread_serves_all_and_nothing_piles_up() {
    let sweeper = Sweeper::default();
    sweeper.0.state().running = true;
    for _ in 0..1000 {
        sweeper.rotated("/nowhere/a".into(), None, true);
        sweeper.rotated("/nowhere/b".into(), None, true);
    }
    assert_eq!(sweeper.0.state().queue.len(), 2);
    sweeper.0.work(true);
    assert!(sweeper.is_idle());
    assert_eq!(events(&sweeper), []);
}

#[test]
fn without_a_thread_the_oldest_go_all_the_same() {
    let dir = with_rotated("keeper-no-thread");
    let sweeper = Sweeper::default();
    sweeper.0.state().push(Task {
        path: dir.path("app.log"),
        retain: Some(2),
        compress: true,
    });
    sweeper.0.work(false);
    assert_eq!(
        dir.names(),
        ["app.log.20261122T044012Z.10", "app.log.20261123T000000Z"]
    );
}

#[test]
fn what_cannot_be_packed_stays_and_is_told_once() {
    let dir = with_rotated("keeper-pack");
    let path = dir.path("app.log");
    let blocked = dir.path("app.log.20261122T044012Z.gz");
    fs::create_dir(&blocked).unwrap();
    let sweeper = Sweeper::default();
    let turn = |expected: &[FileEvent]| {
        sweeper.rotated(path.clone(), None, true);
        settled(&sweeper);
        assert_eq!(events(&sweeper), expected);
    };
    let told = FileEvent::CompressFailed {
        path: dir.path("app.log.20261122T044012Z"),
        why: FileError::Os(Errno::EISDIR),
    };
    turn(std::slice::from_ref(&told));
    turn(&[]);
    assert_eq!(dir.read("app.log.20261122T044012Z"), STAMPS[0]);
    fs::remove_dir(&blocked).unwrap();
    turn(&[]);
    assert_eq!(unpacked(&blocked), STAMPS[0].as_bytes());
    assert_eq!(dir.names().len(), STAMPS.len());
    // The sweep worked in between, so the next failure is reported again.
    fs::write(dir.path("app.log.20261122T044012Z"), "again").unwrap();
    fs::remove_file(&blocked).unwrap();
    fs::create_dir(&blocked).unwrap();
    turn(&[told]);
}

#[test]
fn what_cannot_be_removed_is_told_once() {
    let dir = with_rotated("keeper-remove");
    let path = dir.path("app.log");
    let sweeper = Sweeper::default();
    let turn = |mode: u32, expected: &[FileEvent]| {
        chown(&dir.0, Some(65534), None).unwrap();
        fs::set_permissions(&dir.0, Permissions::from_mode(mode)).unwrap();
        as_nobody(|| sweeper.rotated(path.clone(), Some(3), false));
        settled(&sweeper);
        assert_eq!(events(&sweeper), expected);
    };
    let why = FileError::Os(Errno::EACCES);
    let told = |path| FileEvent::RemoveFailed { path, why };
    let oldest = || dir.path("app.log.20261122T044012Z");
    turn(0o500, &[told(oldest())]);
    turn(0o500, &[]);
    assert_eq!(dir.names().len(), 4);
    turn(0o700, &[]);
    assert_eq!(dir.names().len(), 3);
    // A directory that cannot be read is reported too.
    turn(0o300, &[told(dir.0.clone())]);
}
