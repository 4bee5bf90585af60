//! Access to a directory that other processes write to as well. Whatever they put there, we read and remove nothing
//! outside of it, and opening never blocks.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::retry;

/// An open directory. It stays the same directory even if its name changes.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    /// How often a name was looked up.
    #[cfg(test)]
    pub(crate) looks: std::cell::Cell<usize>,
}

const LIST: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

impl Directory {
    /// Opens the directory at `path`, which may be a symbolic link.
    pub fn open(path: &Path) -> io::Result<Self> {
        let fd = retry(|| open(path, LIST, Mode::empty()))?;
        Ok(Self {
            fd,
            #[cfg(test)]
            looks: std::cell::Cell::default(),
        })
    }

    /// Calls `visit` with the name of each entry, in no particular order, until `visit` breaks. Entries that are
    /// created or removed meanwhile may or may not be visited.
    pub fn each(&self, mut visit: impl FnMut(&OsStr) -> ControlFlow<()>) -> io::Result<()> {
        let mut list = retry(|| Dir::openat(&self.fd, ".", LIST, Mode::empty()))?;
        for entry in list.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." && visit(OsStr::from_bytes(name)).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Opens a regular file for reading; `None` if the name does not exist. Fails for anything else, symbolic links
    /// included.
    pub fn file(&self, name: &OsStr) -> io::Result<Option<File>> {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
        // Without O_NONBLOCK, opening a FIFO would wait for a writer.
        let flags = OFlag::O_RDONLY
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        let fd = match retry(|| openat(&self.fd, plain(name)?, flags, Mode::empty())) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        if !is_regular(&fstat(&fd)?) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Some(File::from(fd)))
    }

    /// Removes a regular file; `false` if there is no such file.
    pub fn remove(&self, name: &OsStr) -> io::Result<bool> {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
        let remove = || {
            let name = plain(name)?;
            let stat = fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            if !is_regular(&stat) {
                return Ok(false);
            }
            // If the entry was replaced meanwhile: this call removes no directory and follows no link.
            unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir).map(|()| true)
        };
        match retry(remove) {
            Ok(removed) => Ok(removed),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Accepts only a name that stays inside the directory.
fn plain(name: &OsStr) -> nix::Result<&OsStr> {
    let leads = name.as_bytes().contains(&b'/') || name == OsStr::new("..");
    if leads { Err(Errno::EINVAL) } else { Ok(name) }
}

fn is_regular(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use nix::unistd::mkfifo;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("rpm-dir-{name}-{}", std::process::id()));
        // Left by an earlier process with our PID.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("in/sub")).unwrap();
        fs::write(path.join("in/file"), "inside").unwrap();
        fs::write(path.join("outside"), "outside").unwrap();
        symlink("../outside", path.join("in/link")).unwrap();
        symlink("nowhere", path.join("in/dangling")).unwrap();
        mkfifo(&path.join("in/fifo"), Mode::S_IRWXU).unwrap();
        path
    }

    /// The entries that are not regular files.
    const OTHERS: [&str; 4] = ["sub", "link", "dangling", "fifo"];

    #[test]
    fn only_regular_files_are_read() {
        let scratch = scratch("read");
        let directory = Directory::open(&scratch.join("in")).unwrap();
        let mut text = String::new();
        let mut file = directory.file(OsStr::new("file")).unwrap().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        assert!(directory.file(OsStr::new("absent")).unwrap().is_none());
        for name in OTHERS.into_iter().chain(["../outside", "..", "."]) {
            assert!(directory.file(OsStr::new(name)).is_err(), "{name}");
        }
        fs::remove_dir_all(&scratch).unwrap();
    }

    #[test]
    fn only_regular_files_are_removed() {
        let scratch = scratch("remove");
        let directory = Directory::open(&scratch.join("in")).unwrap();
        for name in OTHERS {
            assert!(!directory.remove(OsStr::new(name)).unwrap(), "{name}");
        }
        assert!(directory.remove(OsStr::new("../outside")).is_err());
        assert!(directory.remove(OsStr::new("file")).unwrap());
        assert!(!directory.remove(OsStr::new("file")).unwrap());
        let mut left = Vec::new();
        let keep = |name: &OsStr| {
            left.push(name.to_owned());
            ControlFlow::Continue(())
        };
        directory.each(keep).unwrap();
        left.sort();
        assert_eq!(left, ["dangling", "fifo", "link", "sub"]);
        assert_eq!(fs::read(scratch.join("outside")).unwrap(), b"outside");
        fs::remove_dir_all(&scratch).unwrap();
    }

    #[test]
    fn it_stays_the_same_whatever_its_name_becomes() {
        let scratch = scratch("moved");
        let directory = Directory::open(&scratch.join("in")).unwrap();
        fs::rename(scratch.join("in"), scratch.join("moved")).unwrap();
        symlink("/", scratch.join("in")).unwrap();
        let mut seen = 0;
        let one = |_: &OsStr| {
            seen += 1;
            ControlFlow::Break(())
        };
        directory.each(one).unwrap();
        assert_eq!(seen, 1);
        assert!(directory.remove(OsStr::new("file")).unwrap());
        assert!(!scratch.join("moved/file").exists());
        fs::remove_dir_all(&scratch).unwrap();
    }
}
