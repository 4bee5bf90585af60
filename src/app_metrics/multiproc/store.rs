//! The directory of the files.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::file::{HEAD, used};
use super::{FileName, Limits, Pages, Reading};
use crate::exposition::Parsed;
use crate::sys::directory::Directory;

/// A directory into which processes write, and of which nothing but their files is touched.
#[derive(Debug)]
pub struct Store {
    directory: Directory,
    pub(super) limits: Limits,
}

impl Store {
    /// Takes over the directory, which must be there, and removes the files that were left in it: a process with an old
    /// pid would go on with the numbers of a dead one. Everything else stays.
    pub fn open(path: &Path) -> io::Result<Self> {
        let store = Self {
            directory: Directory::open(path)?,
            limits: Limits::default(),
        };
        let mut failed = None;
        store.directory.each(|name| {
            if FileName::parse(name).is_some()
                && let Err(error) = store.directory.remove(name)
            {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        failed.map_or(Ok(store), Err)
    }

    /// What all processes say now, the dead ones whose files are still there with them. A process that has a file but
    /// nothing in it yet has an empty page. Fails if the directory cannot be listed.
    pub fn read(&self) -> io::Result<Reading> {
        let (mut names, mut unreadable) = (Vec::new(), 0);
        self.directory.each(|name| {
            match FileName::parse(name) {
                Some(_) if names.len() == self.limits.files => {
                    unreadable += 1;
                    return ControlFlow::Break(());
                }
                Some(name) => names.push(name),
                None => unreadable += usize::from(FileName::is_similar(name)),
            }
            ControlFlow::Continue(())
        })?;
        // The limits hit the same ones each time.
        names.sort();
        let mut reading = self.files(names);
        reading.unreadable += unreadable;
        Ok(reading)
    }

    /// What one process says now, or said last, as a page; `None` if it has no file that can be read. Of gauges, the
    /// most recent values are its own.
    pub fn last(&self, pid: u32) -> Option<Parsed> {
        self.files(FileName::all(pid)).processes.remove(&pid)
    }

    /// Removes the files of a process that is dead and whose last values were taken. Returns how many there were.
    pub fn remove(&self, pid: u32) -> io::Result<usize> {
        let mut removed = 0;
        for name in FileName::all(pid) {
            let gone = self.directory.remove(OsStr::new(&name.to_string()))?;
            removed += usize::from(gone);
        }
        Ok(removed)
    }

    fn files(&self, names: impl IntoIterator<Item = FileName>) -> Reading {
        let mut pages = Pages::new(self.limits);
        let (mut buffer, mut unreadable) = (Vec::new(), 0);
        for name in names {
            match self.file(name, pages.room(), &mut buffer) {
                Ok(true) => pages.add(name, &buffer),
                // It was removed meanwhile.
                Ok(false) => {}
                Err(_) => unreadable += 1,
            }
        }
        let mut reading = pages.finish();
        reading.unreadable = unreadable;
        reading
    }

    /// Reads what is used of a file, at most `room` and one more byte, into `buffer`; `false` if it is not there.
    fn file(&self, name: FileName, room: usize, buffer: &mut Vec<u8>) -> io::Result<bool> {
        buffer.clear();
        let Some(file) = self.directory.file(OsStr::new(&name.to_string()))? else {
            return Ok(false);
        };
        // First how much is used, then that: what is used was whole before it was counted.
        buffer.resize(HEAD, 0);
        let len = fill(&file, buffer, 0)?;
        buffer.truncate(len);
        let used = used(buffer).ok_or(io::ErrorKind::InvalidData)?;
        if used > HEAD && len == HEAD {
            // One more, so that it shows that it is cut.
            buffer.resize(used.min(room + 1), 0);
            let rest = buffer.get_mut(HEAD..).unwrap_or_default();
            let len = HEAD + fill(&file, rest, HEAD as u64)?;
            buffer.truncate(len);
        }
        Ok(true)
    }
}

/// Reads from `at` on until the buffer is full or the file ends; how much there was.
fn fill(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + len as u64) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}
