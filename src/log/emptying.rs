//! Empties the log files (`rpmctl flush`). Each is emptied by the thread that writes it, between two lines; who asked is told when
//! the last one is done.

use std::fmt;
use std::mem;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::file::FileError;
use super::shared::locked;

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emptied {
    /// So many files are empty.
    pub files: usize,
    /// Files that were left as they are, and why: the first eight.
    pub left: Vec<String>,
}

/// Most files that are named.
const NAMED: usize = 8;

type Tell = Box<dyn FnOnce(Emptied) + Send>;

/// A request to empty the files. When its last copy is dropped, whoever asked is told.
pub struct Emptying(Mutex<(Emptied, Option<Tell>)>);

impl fmt::Debug for Emptying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Emptying").finish_non_exhaustive()
    }
}

impl Emptying {
    pub fn new(tell: impl FnOnce(Emptied) + Send + 'static) -> Arc<Self> {
        let tell: Tell = Box::new(tell);
        Arc::new(Self(Mutex::new((Emptied::default(), Some(tell)))))
    }

    /// One file was emptied, or not; `Ok(false)`: it is a device.
    pub fn done(&self, path: &Path, outcome: Result<bool, FileError>) {
        let (emptied, _) = &mut *locked(&self.0);
        let why = match outcome {
            Ok(true) => {
                emptied.files += 1;
                return;
            }
            Ok(false) => "it is a device".to_owned(),
            Err(why) => why.to_string(),
        };
        if emptied.left.len() < NAMED {
            emptied.left.push(format!("{}: {why}", path.display()));
        }
    }
}

impl Drop for Emptying {
    fn drop(&mut self) {
        let (emptied, tell) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(tell) = tell.take() {
            tell(mem::take(emptied));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::log::file::{LogFile, Rotation, Sweeper};
    use crate::sys::clock;

    fn file(path: &Path, size: Option<u64>) -> LogFile {
        let rotation = Rotation {
            size,
            ..Rotation::default()
        };
        LogFile::new(path.to_owned(), Arc::new(rotation), Sweeper::default())
    }

    fn place(name: &str) -> PathBuf {
        let place = std::env::temp_dir().join(format!("rpm-empty-{}-{name}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        place.join("app.log")
    }

    #[test]
    fn an_emptied_file_is_as_new_for_the_rotation() {
        let path = place("size");
        let now = clock::wall();
        let mut log = file(&path, Some(100));
        let line = [&b"x".repeat(79)[..], b"\n"].concat();
        log.write(&[&line], now).unwrap();
        assert_eq!(log.empty(now), Ok(true));
        assert_eq!(fs::read(&path).unwrap(), b"");
        log.write(&[&line], now).unwrap();
        assert_eq!(fs::read(&path).unwrap(), line);
        assert_eq!(log.counters().rotations, 0, "its size is counted anew");
        log.write(&[&line], now).unwrap();
        assert_eq!(log.counters().rotations, 1);
        let _ = fs::remove_dir_all(path.parent().unwrap());
    }

    #[test]
    fn the_file_that_has_the_name_now_is_emptied_and_not_one_that_was_renamed() {
        let path = place("name");
        let now = clock::wall();
        let mut log = file(&path, None);
        log.write(&[b"old\n"], now).unwrap();
        let away = path.with_file_name("away");
        fs::rename(&path, &away).unwrap();
        fs::write(&path, "new\n").unwrap();
        assert_eq!(log.empty(now), Ok(true));
        assert_eq!(fs::read(&away).unwrap(), b"old\n");
        assert_eq!(fs::read(&path).unwrap(), b"");
        let _ = fs::remove_dir_all(path.parent().unwrap());
    }

    #[test]
    fn who_asked_is_told_when_the_last_one_is_done() {
        let (sender, told) = channel();
        let first = Emptying::new(move |emptied| sender.send(emptied).unwrap());
        let second = Arc::clone(&first);
        first.done(Path::new("/a"), Ok(true));
        first.done(Path::new("/dev/null"), Ok(false));
        drop(first);
        assert!(told.try_recv().is_err());
        for _ in 0..20 {
            second.done(Path::new("/b"), Err(FileError::NotAFile("a FIFO")));
        }
        drop(second);
        let emptied = told.try_recv().unwrap();
        assert_eq!((emptied.files, emptied.left.len()), (1, NAMED));
        assert_eq!(emptied.left[0], "/dev/null: it is a device");
        assert_eq!(emptied.left[1], "/b: it is a FIFO, not a file");
    }

    #[test]
    fn a_device_stays_as_it_is() {
        let mut log = file(Path::new("/dev/null"), None);
        assert_eq!(log.empty(clock::wall()), Ok(false));
    }
}
