//! Files below a directory whose content somebody else wrote: it is walked into step by step, no step waits, and nothing
//! but regular files is opened. Unlike [`super::directory`], the directories need not be readable, only searchable.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use super::retry;

/// A directory as a place to open files from. It stays the same directory even if its name changes.
#[derive(Debug)]
pub struct Place(OwnedFd);

/// Whether a name may be a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// It is followed, wherever it leads.
    Follow,
    /// It is an error.
    Refuse,
}

/// O_PATH opens a directory without a look into it (open(2)).
const PLACE: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

impl Place {
    /// The directory at `path`. Symbolic links are followed.
    pub fn open(path: &Path) -> nix::Result<Self> {
        retry(|| openat(AT_FDCWD, path, PLACE, Mode::empty())).map(Self)
    }

    /// The directory at `path`, which may be relative to this one. Symbolic links are followed.
    pub fn directory(&self, path: &Path) -> nix::Result<Self> {
        retry(|| openat(&self.0, path, PLACE, Mode::empty())).map(Self)
    }

    /// The directory with this name, one step down. A symbolic link is an error.
    pub fn step(&self, name: &OsStr) -> nix::Result<Self> {
        let flags = PLACE | OFlag::O_NOFOLLOW;
        retry(|| openat(&self.0, name, flags, Mode::empty())).map(Self)
    }

    /// The number of the file system. Two directories with different ones lie on different mounts.
    pub fn device(&self) -> nix::Result<u64> {
        fstat(&self.0).map(|stat| stat.st_dev)
    }

    /// Where the symbolic link with this name leads; EINVAL for anything else.
    pub fn link(&self, name: &OsStr) -> nix::Result<OsString> {
        retry(|| readlinkat(&self.0, name))
    }

    /// Opens the regular file with this name for reading. EISDIR for a directory, ELOOP for a refused link, EINVAL for
    /// other kinds. A device is not opened at all, since that alone could do something.
    pub fn file(&self, name: &OsStr, links: Links) -> nix::Result<File> {
        let (look, follow) = match links {
            Links::Follow => (AtFlags::empty(), OFlag::empty()),
            Links::Refuse => (AtFlags::AT_SYMLINK_NOFOLLOW, OFlag::O_NOFOLLOW),
        };
        regular(&retry(|| fstatat(&self.0, name, look))?)?;
        // If it was replaced meanwhile: without O_NONBLOCK, opening a FIFO would wait for a writer.
        let flags =
            OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | follow;
        let fd = retry(|| openat(&self.0, name, flags, Mode::empty()))?;
        regular(&fstat(&fd)?)?;
        Ok(File::from(fd))
    }
}

/// Reads a file to its end. EFBIG if it holds more than `most` bytes.
pub fn read(file: File, most: usize) -> nix::Result<Vec<u8>> {
    let bytes = read_start(file, most.saturating_add(1))?;
    if bytes.len() > most {
        return Err(Errno::EFBIG);
    }
    Ok(bytes)
}

/// Reads the first `most` bytes of a file, or all of a shorter one.
pub fn read_start(file: File, most: usize) -> nix::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| errno(&error))?;
    Ok(bytes)
}

/// Calls `take` with one piece of the file after the other until it returns false. EFBIG if it still wants more after
/// `most` bytes.
pub fn read_pieces(
    mut file: File,
    most: usize,
    mut take: impl FnMut(&[u8]) -> bool,
) -> nix::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(errno(&error)),
        };
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() || !take(piece) {
            return Ok(());
        }
        total += count;
        if total > most {
            return Err(Errno::EFBIG);
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn regular(stat: &FileStat) -> nix::Result<()> {
    let kind = stat.st_mode & SFlag::S_IFMT.bits();
    if kind == SFlag::S_IFREG.bits() {
        Ok(())
    } else if kind == SFlag::S_IFDIR.bits() {
        Err(Errno::EISDIR)
    } else if kind == SFlag::S_IFLNK.bits() {
        Err(Errno::ELOOP)
    } else {
        Err(Errno::EINVAL)
    }
}

#[cfg(test)]
mod tests;
