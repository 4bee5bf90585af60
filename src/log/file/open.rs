//! An open log file: opens it carefully and appends whole lines.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, IoSlice};
use std::iter;
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memchr::memrchr;
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::due::Due;
use super::event::FileError;
use super::rotation::Every;
use crate::sys;

/// Mode of log files, before the umask. Logs contain secrets, so others cannot read them; a collector in the same group
/// (fsGroup) can.
const FILE: u32 = 0o640;
/// Mode of log directories, before the umask.
const DIRECTORY: u32 = 0o750;
/// Open flags: opening never blocks (on a FIFO's reader, a carrier signal, a lease) and never gives PID 1 a controlling
/// terminal.
pub const NO_WAIT: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_NOCTTY);
/// Most parts in one writev(2), IOV_MAX.
const PARTS: usize = 1024;

/// Identifies a file independently of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl From<&Metadata> for FileId {
    fn from(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
        }
    }
}

/// A file to append to.
#[derive(Debug)]
pub struct Opened {
    file: File,
    id: FileId,
    /// The file has a size and can be renamed and truncated; a device cannot.
    pub regular: bool,
    /// The real path: a symbolic link is followed, so that the file is rotated and not the link.
    pub real: PathBuf,
    /// The size as far as we know; other processes may write to the file or truncate it.
    pub size: u64,
    /// The file ends inside a line.
    torn: bool,
    /// When to rotate it by time.
    pub due: Due,
}

impl Opened {
    /// Opens `path`, and creates it and its directories if they are missing. If it is a symbolic link, it is followed only if
    /// root or our own user made it: another one could lead us to any file. If the file has content, its rotation time
    /// is counted from its last change, so that a restart skips no rotation.
    pub fn open(path: &Path, every: Option<&Every>, now: SystemTime) -> Result<Self, FileError> {
        let path = &sys::links::resolve(path)?;
        let flags = NO_WAIT | OFlag::O_NOFOLLOW;
        // Check before opening too: the reader of a FIFO would see the open as a writer that came and left.
        if let Ok(meta) = fs::metadata(path) {
            refuse_odd(&meta)?;
        }
        let file = match open_once(path, flags) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_parents(path)?;
                open_once(path, flags)?
            }
            other => other?,
        };
        let meta = file.metadata()?;
        refuse_odd(&meta)?;
        // The open file description is ours alone, so its flags may be changed.
        sys::io::set_nonblocking(&file, false)?;
        let regular = meta.is_file();
        let size = if regular { meta.len() } else { 0 };
        let id = FileId::from(&meta);
        let changed = meta.modified().ok().filter(|_| size > 0).unwrap_or(now);
        Ok(Self {
            file,
            id,
            regular,
            real: path.clone(),
            size,
            torn: size > 0 && ends_torn(path, id, size),
            due: Due::new(every, changed, now),
        })
    }

    /// Whether `path` still names this file. If so, also updates the size.
    pub fn is_at(&mut self, path: &Path) -> bool {
        match fs::metadata(path) {
            Ok(meta) => {
                let same = FileId::from(&meta) == self.id;
                if same {
                    self.take_size(&meta);
                }
                same
            }
            // Other errors say nothing about the file: we may have lost access to a directory.
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ),
        }
    }

    /// Reads the size from the kernel.
    pub fn refresh(&mut self) {
        if let Ok(meta) = self.file.metadata() {
            self.take_size(&meta);
        }
    }

    fn take_size(&mut self, meta: &Metadata) {
        if self.regular {
            self.size = meta.len();
            // If another process truncated the file, there is no cut line any more.
            self.torn &= self.size > 0;
        }
    }

    /// Appends whole lines. On an error, returns how many bytes of `parts` are in the file, all of them whole lines.
    pub fn append(&mut self, parts: &[&[u8]]) -> Result<(), (usize, Errno)> {
        let mend: &[u8] = if self.torn { b"\n" } else { b"" };
        let mut slices: Vec<IoSlice<'_>> = iter::once(mend)
            .chain(parts.iter().copied())
            .filter(|part| !part.is_empty())
            .map(IoSlice::new)
            .collect();
        let mut left = slices.as_mut_slice();
        let mut went = 0;
        let mut result = Ok(());
        while !left.is_empty() {
            let some = left.get(..PARTS).unwrap_or(left);
            match sys::io::write_some(&self.file, some) {
                Ok(count) => {
                    went += count;
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(errno) => {
                    result = Err(errno);
                    break;
                }
            }
        }
        if self.regular {
            self.size += went as u64;
        }
        self.torn &= went == 0;
        result.map_err(|errno| {
            let went = went.saturating_sub(mend.len());
            let whole = whole_lines(parts, went);
            if went > whole && !self.take_back(went - whole) {
                self.torn = true;
            }
            (whole, errno)
        })
    }

    /// Removes the last `count` bytes, unless the file has another size than expected: then another process may have
    /// written the end.
    fn take_back(&mut self, count: usize) -> bool {
        let expected = self.size;
        let Some(size) = expected.checked_sub(count as u64) else {
            return false;
        };
        let ours = self.regular
            && self
                .file
                .metadata()
                .is_ok_and(|meta| meta.len() == expected);
        let cut = ours && self.file.set_len(size).is_ok();
        if cut {
            self.size = size;
        }
        cut
    }

    /// Removes the content. Returns false if it has none, because it is a device.
    pub fn empty(&mut self) -> io::Result<bool> {
        if self.regular {
            self.file.set_len(0)?;
            self.size = 0;
            self.torn = false;
        }
        Ok(self.regular)
    }

    /// Ends a cut line with a newline, because no other line follows in this file.
    pub fn finish(&mut self) {
        if self.torn {
            // The disk may still be full. The rest of the line is lost and counted in any case.
            let _ = self.append(&[]);
        }
    }
}

fn open_once(path: &Path, flags: OFlag) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(FILE)
        // The standard library always sets O_CLOEXEC.
        .custom_flags(flags.bits())
        .open(path)
}

fn make_parents(path: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new(""));
    if parent.as_os_str().is_empty() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY)
        .create(parent)
}

/// Accepts only files and character devices (/dev/null, a terminal).
fn refuse_odd(meta: &Metadata) -> Result<(), FileError> {
    let kind = meta.file_type();
    let odd = [
        (kind.is_fifo(), "a FIFO"),
        (kind.is_socket(), "a socket"),
        (kind.is_block_device(), "a block device"),
        (kind.is_dir(), "a directory"),
    ];
    match odd.into_iter().find(|(is, _)| *is) {
        Some((_, what)) => Err(FileError::NotAFile(what)),
        None => Ok(()),
    }
}

/// Whether an earlier process left the file without a final newline. An unreadable file is taken to be complete.
fn ends_torn(path: &Path, id: FileId, size: u64) -> bool {
    let last = || {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(NO_WAIT.bits())
            .open(path)?;
        let mut last = [b'\n'];
        if FileId::from(&file.metadata()?) == id {
            file.read_exact_at(&mut last, size - 1)?;
        }
        io::Result::Ok(last)
    };
    last().is_ok_and(|last| last != *b"\n")
}

/// How many of the first `count` bytes of `parts` belong to whole lines.
fn whole_lines(parts: &[&[u8]], count: usize) -> usize {
    let (mut before, mut whole) = (0, 0);
    for part in parts {
        let here = part.len().min(count - before);
        let part = part.get(..here).unwrap_or_default();
        if let Some(at) = memrchr(b'\n', part) {
            whole = before + at + 1;
        }
        before += here;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_up_to_a_newline() {
        let parts: [&[u8]; 4] = [b"ab\nc", b"", b"d\n", b"e\n"];
        let expected = [0, 0, 0, 3, 3, 3, 6, 6, 8];
        for (count, whole) in expected.into_iter().enumerate() {
            assert_eq!(whole_lines(&parts, count), whole, "{count}");
        }
    }
}
