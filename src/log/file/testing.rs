//! Shared by the tests of log files: directories, times, directory listings.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flate2::read::GzDecoder;

use super::{Every, LogFile, Rotation, Sweeper};
use crate::sys::testing::until;

/// 2026-11-22T04:40:12Z.
pub const START: u64 = 1_795_322_412;
pub const DAY: u64 = 86_400;

/// The time `millis` after [`START`].
pub fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(START) + Duration::from_millis(millis)
}

/// A directory that is removed on drop.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rpm-file-{name}-{}", std::process::id()));
        // Left by an earlier process with our PID.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names in the directory.
    pub fn names(&self) -> Vec<String> {
        names(&self.0)
    }

    pub fn read(&self, name: &str) -> String {
        read(&self.path(name))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn names(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

pub fn unpacked(path: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    GzDecoder::new(fs::File::open(path).unwrap())
        .read_to_end(&mut all)
        .unwrap();
    all
}

/// Never rotates, keeps all files.
pub fn never() -> Rotation {
    Rotation {
        size: None,
        every: None,
        retain: None,
        compress: false,
    }
}

pub fn by_size(size: u64) -> Rotation {
    Rotation {
        size: Some(size),
        ..never()
    }
}

pub fn daily() -> Rotation {
    Rotation {
        every: Some(Every::Period(Duration::from_secs(DAY))),
        ..never()
    }
}

pub fn log_file(path: impl Into<PathBuf>, rotation: Rotation) -> LogFile {
    LogFile::new(path.into(), Arc::new(rotation), Sweeper::default())
}

/// A file, and its sweeper to wait for.
pub fn kept(path: impl Into<PathBuf>, rotation: Rotation) -> (LogFile, Sweeper) {
    let sweeper = Sweeper::default();
    let file = LogFile::new(path.into(), Arc::new(rotation), sweeper.clone());
    (file, sweeper)
}

pub fn settled(sweeper: &Sweeper) {
    until("the sweeper has done its work", || sweeper.is_idle());
}

/// Writes `text` at `millis` after the start.
#[track_caller]
pub fn put(file: &mut LogFile, text: &str, millis: u64) {
    file.write(&[text.as_bytes()], at(millis)).unwrap();
}
