//! Files below a directory whose content somebody else wrote: it is walked into step by step, no step waits, and nothing
//! but regular files is opened. Unlike [`super::directory`], the directories need not be readable, only searchable.
//! [`read_path`] is for a file that the configuration names.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, stat};

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
        open_at(&self.0, name, follow)
    }
}

/// Maximal size of a file that holds settings, bytes: RPM_ENV_FILE and each `NAME_FILE`.
pub const SETTINGS: usize = 1 << 20;

/// Reads the regular file at `path`, which may be a symbolic link, to its end. It never waits: anything but a regular
/// file is refused before it is opened. The error says what it is instead, or that it holds more than `most` bytes.
pub fn read_path(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let stat = retry(|| stat(path))?;
    if let Some(other) = other_kind(&stat) {
        let text = format!("it is {other}, and only a regular file is read");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let too_large = || {
        let text = format!("it holds more than {most} bytes");
        io::Error::new(io::ErrorKind::FileTooLarge, text)
    };
    if usize::try_from(stat.st_size).is_ok_and(|size| size > most) {
        return Err(too_large());
    }
    let file = open_at(AT_FDCWD, path.as_os_str(), OFlag::empty())?;
    read(file, most).map_err(|errno| match errno {
        // It grew meanwhile, or has no size, as in /proc.
        Errno::EFBIG => too_large(),
        other => other.into(),
    })
}

/// The first bytes of the regular file at `path`, at most `most`. Symbolic links are followed, and nothing waits.
pub fn read_head(path: &Path, most: usize) -> nix::Result<Vec<u8>> {
    regular(&retry(|| stat(path))?)?;
    read_start(open_at(AT_FDCWD, path.as_os_str(), OFlag::empty())?, most)
}

/// Opens what is a regular file. Another one may have taken its name since that was seen: without O_NONBLOCK, opening a
/// FIFO would wait for a writer.
fn open_at(directory: impl AsFd, name: &OsStr, more: OFlag) -> nix::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | more;
    let fd = retry(|| openat(&directory, name, flags, Mode::empty()))?;
    regular(&fstat(&fd)?)?;
    Ok(File::from(fd))
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

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn regular(stat: &FileStat) -> nix::Result<()> {
    match kind(stat) {
        SFlag::S_IFREG => Ok(()),
        SFlag::S_IFDIR => Err(Errno::EISDIR),
        SFlag::S_IFLNK => Err(Errno::ELOOP),
        _ => Err(Errno::EINVAL),
    }
}

/// What a file is in words, if it is not a regular one.
fn other_kind(stat: &FileStat) -> Option<&'static str> {
    match kind(stat) {
        SFlag::S_IFREG => None,
        SFlag::S_IFDIR => Some("a directory"),
        SFlag::S_IFIFO => Some("a FIFO"),
        SFlag::S_IFCHR | SFlag::S_IFBLK => Some("a device"),
        SFlag::S_IFSOCK => Some("a socket"),
        _ => Some("something else"),
    }
}

#[cfg(test)]
mod tests;
