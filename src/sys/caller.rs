//! A process that makes or names files: what its files get, and which file it means (umask(2), proc(5)).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::stat;

use super::bounded;
use super::rights::{status, words};
use super::unix::{FileId, errno, identity};

/// What a process passes on to the files that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maker {
    /// Its umask.
    pub umask: u32,
    /// The owner of its files.
    pub uid: u32,
    /// The group of its files, unless the directory decides it.
    pub gid: u32,
    /// Permission bits of its socket, from which the umask takes some: 0777, unless the program called fchmod(2).
    pub mode: u32,
}

impl Maker {
    /// As it makes the file of this socket. Fails with ETIMEDOUT if that is not known yet.
    pub fn with_socket(self, task: i32, fd: i32) -> nix::Result<Self> {
        // If it is a file by now, its file system answers.
        let socket = bounded::ask(move || {
            let path = format!("/proc/{task}/fd/{fd}");
            fs::metadata(path).map_err(|error| errno(&error))
        });
        match socket {
            Ok(socket) => Ok(Self {
                mode: socket.mode() & 0o777,
                ..self
            }),
            // The call is answered later. Until then nothing must be made for it.
            Err(Errno::ETIMEDOUT) => Err(Errno::ETIMEDOUT),
            Err(_) => Ok(self),
        }
    }
}

/// Reads the umask and the file system ids of a thread (proc(5), status). EPERM is not possible: everybody may read it.
pub fn maker(task: Option<i32>) -> nix::Result<Maker> {
    parse_maker(&status(task)?).ok_or(Errno::EIO)
}

fn parse_maker(text: &[u8]) -> Option<Maker> {
    let value = |name: &[u8], at: usize| words(text, name)?.nth(at);
    Some(Maker {
        umask: u32::from_str_radix(value(b"Umask:", 0)?, 8).ok()?,
        uid: value(b"Uid:", 3)?.parse().ok()?,
        gid: value(b"Gid:", 3)?.parse().ok()?,
        mode: 0o777,
    })
}

/// Whether paths mean the same to this thread and to us: the same root directory and the same mounts. Fails with EACCES
/// if the process runs under another uid or is not dumpable.
pub fn sees_the_same(task: i32) -> nix::Result<bool> {
    let root = |of: &str| {
        let path = format!("/proc/{of}/root");
        bounded::ask(move || stat(path.as_str()).map(|stat| identity(&stat)))
    };
    let mounts = |of: &str| {
        let link = fs::read_link(format!("/proc/{of}/ns/mnt"));
        link.map_err(|error| errno(&error))
    };
    let task = task.to_string();
    Ok(root(&task)? == root("self")? && mounts(&task)? == mounts("self")?)
}

/// The working directory of a thread, at which its relative paths begin. Fails as [`sees_the_same`].
pub fn working_directory(task: i32) -> nix::Result<FileId> {
    let path = format!("/proc/{task}/cwd");
    bounded::ask(move || stat(path.as_str()).map(|stat| identity(&stat)))
}

/// Whether this thread is in our network namespace, to which abstract names belong. Fails as [`sees_the_same`].
pub fn is_in_our_network(task: i32) -> nix::Result<bool> {
    let network = |of: &str| {
        let link = fs::read_link(format!("/proc/{of}/ns/net"));
        link.map_err(|error| errno(&error))
    };
    Ok(network(&task.to_string())? == network("self")?)
}

/// The path that a thread means by `path`, as a path for us. A relative one starts at its descriptor `directory`, or
/// at its working directory (`None`, AT_FDCWD).
pub fn as_seen_by(task: i32, directory: Option<i32>, path: &Path) -> PathBuf {
    // These begin at the process that uses them.
    let own = [
        ("/proc/self", ""),
        ("/proc/thread-self", ""),
        ("/dev/fd", "fd"),
    ];
    for (prefix, to) in own {
        if let Ok(rest) = path.strip_prefix(prefix) {
            return PathBuf::from(format!("/proc/{task}")).join(to).join(rest);
        }
    }
    let base = directory.filter(|fd| *fd != libc::AT_FDCWD).map_or_else(
        || format!("/proc/{task}/cwd"),
        |fd| format!("/proc/{task}/fd/{fd}"),
    );
    // `join` takes an absolute path as it is.
    PathBuf::from(base).join(path)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_socket_whose_mode_is_not_known_yet_is_not_made() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let (task, fd) = (nix::unistd::gettid().as_raw(), socket.as_raw_fd());
        let own = maker(None).unwrap();
        nix::sys::stat::fchmod(&socket, nix::sys::stat::Mode::from_bits_truncate(0o640)).unwrap();
        let known = own.with_socket(task, fd).unwrap();
        assert_eq!(known, Maker { mode: 0o640, ..own });
        assert_eq!(own.with_socket(task, -1), Ok(own), "it cannot be seen");
        // A question before it is not answered.
        let (_release, held) = channel::<()>();
        bounded::limit(Duration::from_millis(1), || ());
        let hangs = move || {
            let _ = held.recv();
            Ok(())
        };
        assert_eq!(bounded::ask(hangs), Err(Errno::ETIMEDOUT));
        assert_eq!(own.with_socket(task, fd), Err(Errno::ETIMEDOUT));
    }

    #[test]
    fn a_path_is_that_of_the_process_that_names_it() {
        let seen = |path: &str| as_seen_by(7, None, Path::new(path));
        assert_eq!(seen("/run/a.sock"), Path::new("/run/a.sock"));
        assert_eq!(seen("a.sock"), Path::new("/proc/7/cwd/a.sock"));
        // For long paths programs go through a descriptor of the directory.
        assert_eq!(
            seen("/proc/self/fd/5/a.sock"),
            Path::new("/proc/7/fd/5/a.sock")
        );
        assert_eq!(seen("/proc/thread-self/cwd/a"), Path::new("/proc/7/cwd/a"));
        assert_eq!(seen("/dev/fd/5/a.sock"), Path::new("/proc/7/fd/5/a.sock"));
        let below = as_seen_by(7, Some(5), Path::new("a.sock"));
        assert_eq!(below, Path::new("/proc/7/fd/5/a.sock"));
    }
}
