//! Unix sockets that have a path: binding them, and moving their names without a moment at which there is none
//! (unix(7), link(2), rename(2)).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::lchown;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, fchmod, fchmodat, fstat, fstatat, mkdirat,
};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::proc::Proc;
use super::{bounded, procunix, rights};
use crate::model::Guard;

pub use super::caller::{
    Maker, as_seen_by, is_in_our_network, maker, sees_the_same, working_directory,
};

/// The address in a `bind` of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A path, as the program wrote it.
    Path(PathBuf),
    /// A name without a file, which the kernel forgets with the socket.
    Abstract(Vec<u8>),
}

/// Parses a `struct sockaddr_un`. `None` for another family, for a length that the kernel refuses, and if the kernel shall
/// choose a name (autobind).
pub fn parse_address(bytes: &[u8]) -> Option<Address> {
    if bytes.len() > size_of::<libc::sockaddr_un>() {
        return None;
    }
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let name = bytes.get(2..).filter(|name| !name.is_empty())?;
    if i32::from(family) != libc::AF_UNIX {
        return None;
    }
    if let Some((0, name)) = name.split_first().map(|(first, rest)| (*first, rest)) {
        return Some(Address::Abstract(name.to_vec()));
    }
    // The path may or may not end in NUL.
    let len = name.iter().position(|byte| *byte == 0);
    let path = name.get(..len.unwrap_or(name.len()))?;
    Some(Address::Path(PathBuf::from(OsString::from_vec(
        path.to_vec(),
    ))))
}

/// How a socket delivers data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SOCK_STREAM.
    Stream,
    /// SOCK_SEQPACKET.
    SeqPacket,
}

/// The kind of the unix socket with this inode in our network namespace. `None` for datagrams and if it is not known.
pub fn kind_of(inode: u64) -> Option<Kind> {
    let mut kind = None;
    let look = |row: procunix::Row<'_>| {
        if row.inode == inode {
            kind = match row.kind {
                1 => Some(Kind::Stream),
                5 => Some(Kind::SeqPacket),
                _ => None,
            };
        }
    };
    procunix::dump(&Proc::new("/proc"), look).ok()?;
    kind
}

fn new_socket(kind: Kind) -> nix::Result<OwnedFd> {
    let kind = match kind {
        Kind::Stream => SockType::Stream,
        Kind::SeqPacket => SockType::SeqPacket,
    };
    socket::socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)
}

/// Opens a socket and binds it to `path`, which must not exist. Fails with EADDRINUSE, EACCES, EROFS, ENOENT, or
/// ENAMETOOLONG if it has more than 107 bytes.
pub fn bind(kind: Kind, path: &Path) -> nix::Result<OwnedFd> {
    let address = UnixAddr::new(path)?;
    let fd = new_socket(kind)?;
    socket::bind(fd.as_raw_fd(), &address)?;
    Ok(fd)
}

/// Listens at `path`, which must not exist. Only our user may connect, from the moment at which the file is there: it gets
/// the permissions of the socket, so none have to be changed afterwards at a name that may be another file by then.
pub fn listen_privately(path: &Path) -> io::Result<UnixListener> {
    let address = UnixAddr::new(path)?;
    let fd = new_socket(Kind::Stream)?;
    // Where the system has no permissions for sockets (gVisor), each peer is checked all the same.
    let _ = fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR);
    socket::bind(fd.as_raw_fd(), &address)?;
    socket::listen(&fd, Backlog::MAXCONN)?;
    Ok(UnixListener::from(fd))
}

/// As [`bind`], for an abstract name.
pub fn bind_abstract(kind: Kind, name: &[u8]) -> nix::Result<OwnedFd> {
    let address = UnixAddr::new_abstract(name)?;
    let fd = new_socket(kind)?;
    socket::bind(fd.as_raw_fd(), &address)?;
    Ok(fd)
}

/// What makes a file the same file whatever its name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

/// A socket file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketFile {
    /// Which file it is.
    pub id: FileId,
    /// Who may do what with it.
    pub access: Access,
}

/// Permissions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

pub(super) fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

pub(super) fn identity(stat: &FileStat) -> FileId {
    FileId {
        device: stat.st_dev,
        inode: stat.st_ino,
    }
}

/// A directory that stays the same directory even if its name changes.
#[derive(Debug)]
pub struct Place {
    fd: OwnedFd,
    path: PathBuf,
}

const LOOK: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

impl Place {
    /// Opens the directory; `path` may lead over symbolic links.
    pub fn open(path: &Path) -> nix::Result<Self> {
        let fd = open(path, LOOK, Mode::empty())?;
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let path = fs::read_link(link).map_err(|error| errno(&error))?;
        Ok(Self { fd, path })
    }

    /// Its absolute path, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which directory it is.
    pub fn id(&self) -> nix::Result<FileId> {
        fstat(&self.fd).map(|stat| identity(&stat))
    }

    /// The directory `name` in this one; it is created with mode 0700 if there is none. Fails with EPERM if others could
    /// change what is in it, and with ENOTDIR or ELOOP if it is no directory.
    pub fn inner(&self, name: &OsStr) -> nix::Result<Self> {
        match mkdirat(&self.fd, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        let fd = openat(&self.fd, name, LOOK | OFlag::O_NOFOLLOW, Mode::empty())?;
        let stat = fstat(&fd)?;
        if stat.st_uid != maker(None)?.uid || stat.st_mode & 0o022 != 0 {
            return Err(Errno::EPERM);
        }
        Ok(Self {
            fd,
            path: self.path.join(name),
        })
    }

    /// The directories from `from` to this one, as far as they decide who may do what here. From the root if it is `None`
    /// or does not lead here.
    pub fn way(&self, from: Option<FileId>) -> nix::Result<Vec<Guard>> {
        rights::way(&self.fd, from)
    }

    /// The socket file of this name. `None` if there is no such name, or if it is something else.
    pub fn socket(&self, name: &OsStr) -> nix::Result<Option<SocketFile>> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(socket_file(&stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Whether there is anything of this name.
    pub fn has(&self, name: &OsStr) -> bool {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }

    /// Binds a new socket to `name` here. Its own address is the absolute path if that fits into one.
    pub fn bind(&self, kind: Kind, name: &OsStr) -> nix::Result<(OwnedFd, PathBuf)> {
        let path = self.path.join(name);
        match bind(kind, &path) {
            Err(Errno::ENAMETOOLONG) => {
                let short = PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()));
                let short = short.join(name);
                bind(kind, &short).map(|fd| (fd, short))
            }
            other => other.map(|fd| (fd, path)),
        }
    }

    /// Gives the file `name` here the second name `to` in `other`.
    pub fn link(&self, name: &OsStr, other: &Self, to: &OsStr) -> nix::Result<()> {
        linkat(&self.fd, name, &other.fd, to, AtFlags::empty())
    }

    /// Moves the file `name` to the name `to` in `other`, and replaces what is there, at one moment.
    pub fn rename(&self, name: &OsStr, other: &Self, to: &OsStr) -> nix::Result<()> {
        renameat(&self.fd, name, &other.fd, to)
    }

    /// Removes a file; it is no error if there is none.
    pub fn remove(&self, name: &OsStr) -> nix::Result<()> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Removes the directory `name` here if it is empty.
    pub fn remove_empty(&self, name: &OsStr) {
        // It fails if other paths in this directory still use it.
        let _ = unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir);
    }

    /// Gives the file `name` these permissions, as far as it has others.
    pub fn set_access(&self, name: &OsStr, present: Access, wanted: Access) -> nix::Result<()> {
        if (present.uid, present.gid) != (wanted.uid, wanted.gid) {
            let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
            let path = Path::new(&path).join(name);
            lchown(path, Some(wanted.uid), Some(wanted.gid)).map_err(|error| errno(&error))?;
        }
        if present.mode != wanted.mode {
            let mode = Mode::from_bits_truncate(wanted.mode);
            fchmodat(&self.fd, name, mode, FchmodatFlags::FollowSymlink)?;
        }
        Ok(())
    }
}

fn socket_file(stat: &FileStat) -> Option<SocketFile> {
    let is_socket = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFSOCK.bits();
    is_socket.then(|| SocketFile {
        id: identity(stat),
        access: Access {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
        },
    })
}

/// The socket file at a path. `None` if there is none.
pub fn socket_at(path: &Path) -> Option<SocketFile> {
    let stat = nix::sys::stat::lstat(path).ok()?;
    socket_file(&stat)
}

/// Whether something other than the file of a socket is at a path. The file system may not answer (NFS, FUSE), so that is
/// bounded as [`bounded::limit`] says.
pub fn is_other_file(path: &Path) -> nix::Result<bool> {
    let path = path.to_owned();
    bounded::ask(move || match nix::sys::stat::lstat(&path) {
        Ok(stat) => Ok(socket_file(&stat).is_none()),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    })
}

/// What poll(2) says of a listener: whether a connection waits, and whether it was shut down.
fn polled(listener: &OwnedFd) -> (bool, bool) {
    // `PollFlags` lacks this flag.
    let shut_for_reading = PollFlags::from_bits_retain(libc::POLLRDHUP);
    let mut fds = [PollFd::new(
        listener.as_fd(),
        PollFlags::POLLIN | shut_for_reading,
    )];
    if poll(&mut fds, PollTimeout::ZERO).is_err() {
        // Interrupted: nothing is known.
        return (false, false);
    }
    match fds.first().and_then(PollFd::revents) {
        Some(seen) => (
            seen.contains(PollFlags::POLLIN),
            seen.contains(PollFlags::POLLHUP),
        ),
        // A flag that `PollFlags` does not know; only one was asked for.
        None => (true, true),
    }
}

/// Whether a connection waits in the queue of this listener. What waits at one that was shut down is not counted.
pub fn waits(listener: &OwnedFd) -> bool {
    polled(listener) == (true, false)
}

/// Whether a process has called shutdown(2) on this listener. It refuses clients from then on, and nothing makes it
/// listen again.
pub fn is_shut(listener: &OwnedFd) -> bool {
    polled(listener).1
}

/// The last component, and the directory before it (`.` if the path has none). `None` if the path ends in no name.
pub fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let text = path.as_os_str().as_bytes();
    if text.ends_with(b"/") || text.ends_with(b"/.") {
        return None;
    }
    let name = path.file_name()?;
    let parent = path.parent()?;
    let here = parent.as_os_str().is_empty();
    Some((if here { Path::new(".") } else { parent }, name))
}

/// A path as bytes.
pub fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// Bytes as a path.
pub fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
