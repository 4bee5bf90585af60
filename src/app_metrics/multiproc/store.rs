//! The directory of the files.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::file::{HEAD, used};
use super::{FileName, Pages, Reading, StoreLimits};
use crate::exposition::Parsed;
use crate::sys::directory::Directory;

/// The files of the directory at one moment.
#[derive(Debug, Default)]
pub struct Listing {
    /// Sorted.
    names: Vec<FileName>,
    /// Files that may belong to the program but are left out.
    unreadable: usize,
}

impl Listing {
    /// The processes that have files, each once.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.names
            .chunk_by(|one, next| one.pid == next.pid)
            .filter_map(|files| Some(files.first()?.pid))
    }

    /// The files of a process.
    fn of(&self, pid: u32) -> &[FileName] {
        let from = self.names.partition_point(|name| name.pid < pid);
        let rest = self.names.get(from..).unwrap_or_default();
        let len = rest.partition_point(|name| name.pid == pid);
        rest.get(..len).unwrap_or_default()
    }
}

/// A directory into which programs write. Only their files are touched.
#[derive(Debug)]
pub struct Store {
    directory: Directory,
    pub(in crate::app_metrics) limits: StoreLimits,
}

impl Store {
    /// Opens the directory, which must exist, and removes old files: a process that gets an old PID would continue with
    /// the numbers of an ended one. Everything else stays.
    pub fn open(path: &Path) -> io::Result<Self> {
        let store = Self {
            directory: Directory::open(path)?,
            limits: StoreLimits::default(),
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

    /// The files that there are now. Fails if the directory cannot be listed.
    pub fn list(&self) -> io::Result<Listing> {
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
        // Sorted, so that a limit cuts off the same files each time.
        names.sort();
        Ok(Listing { names, unreadable })
    }

    /// The pages of all processes that have files in the list, ended ones included. A process with an empty file has an
    /// empty page.
    pub fn read_listed(&self, listing: &Listing) -> Reading {
        let mut reading = self.files(listing.names.iter().copied());
        reading.unreadable += listing.unreadable;
        reading
    }

    /// As [`Self::read_listed`], of all files.
    #[cfg(test)]
    pub(super) fn read(&self) -> io::Result<Reading> {
        self.list().map(|listing| self.read_listed(&listing))
    }

    /// The present or last values of one process as a page; `None` if it has no readable file. Most recent gauges have
    /// the value of this process alone.
    pub fn last(&self, pid: u32) -> Option<Parsed> {
        self.files(FileName::all(pid)).processes.remove(&pid)
    }

    /// Removes the files of an ended process after its last values were taken. Returns the number of removed files.
    pub fn remove(&self, pid: u32) -> io::Result<usize> {
        self.remove_all(FileName::all(pid))
    }

    /// As [`Self::remove`], but only the files in the list, without a look for others.
    pub fn remove_listed(&self, listing: &Listing, pid: u32) -> io::Result<usize> {
        self.remove_all(listing.of(pid).iter().copied())
    }

    fn remove_all(&self, names: impl Iterator<Item = FileName>) -> io::Result<usize> {
        let mut removed = 0;
        for name in names {
            let gone = self.directory.remove(OsStr::new(&name.to_string()))?;
            removed += usize::from(gone);
        }
        Ok(removed)
    }

    /// How often a file was looked for.
    #[cfg(test)]
    pub(crate) fn looks(&self) -> usize {
        self.directory.looks.get()
    }

    fn files(&self, names: impl IntoIterator<Item = FileName>) -> Reading {
        let mut pages = Pages::new(self.limits);
        let (mut buffer, mut unreadable) = (Vec::new(), 0);
        for name in names {
            match self.file(name, pages.room(), &mut buffer) {
                Ok(true) => pages.add(name, &buffer),
                // The file was removed meanwhile.
                Ok(false) => {}
                Err(_) => unreadable += 1,
            }
        }
        let mut reading = pages.finish();
        reading.unreadable = unreadable;
        reading
    }

    /// Reads the used part of a file into `buffer`, at most `room` plus one byte; false if the file does not exist.
    fn file(&self, name: FileName, room: usize, buffer: &mut Vec<u8>) -> io::Result<bool> {
        buffer.clear();
        let Some(file) = self.directory.file(OsStr::new(&name.to_string()))? else {
            return Ok(false);
        };
        // Read the number of used bytes first: entries are complete before they are counted as used.
        buffer.resize(HEAD, 0);
        let len = fill(&file, buffer, 0)?;
        buffer.truncate(len);
        let used = used(buffer).ok_or(io::ErrorKind::InvalidData)?;
        if used > HEAD && len == HEAD {
            // One byte more, to detect that the file is cut.
            buffer.resize(used.min(room + 1), 0);
            let rest = buffer.get_mut(HEAD..).unwrap_or_default();
            let len = HEAD + fill(&file, rest, HEAD as u64)?;
            buffer.truncate(len);
        }
        Ok(true)
    }
}

/// Reads from `at` until the buffer is full or the file ends; returns the number of bytes.
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
