//! Problems of log files, for the caller to report.

use std::fmt;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::sys::links::LinkError;

/// Why something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// An error of the kernel.
    Os(Errno),
    /// The path is neither a file nor a character device: `a FIFO`, `a socket`.
    NotAFile(&'static str),
    /// The path is a symbolic link that this user made, who is neither root nor ourselves.
    ForeignLink(u32),
    /// An error of the standard library.
    Other(io::ErrorKind),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(raw) => Self::Os(Errno::from_raw(raw)),
            None => Self::Other(error.kind()),
        }
    }
}

impl From<LinkError> for FileError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Os(errno) => Self::Os(errno),
            LinkError::Foreign(user) => Self::ForeignLink(user),
        }
    }
}

impl FileError {
    /// Whether only another path or other rights mend this. A full disk, for example, may have room again.
    pub fn is_lasting(self) -> bool {
        match self {
            Self::NotAFile(_) | Self::ForeignLink(_) => true,
            Self::Os(errno) => matches!(
                errno,
                Errno::EACCES
                    | Errno::EINVAL
                    | Errno::EISDIR
                    | Errno::ELOOP
                    | Errno::ENAMETOOLONG
                    | Errno::ENOENT
                    | Errno::ENOTDIR
                    | Errno::EPERM
                    | Errno::EROFS
            ),
            Self::Other(_) => false,
        }
    }
}

impl From<Errno> for FileError {
    fn from(errno: Errno) -> Self {
        Self::Os(errno)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(errno) => write!(f, "{errno:?}"),
            Self::NotAFile(what) => write!(f, "it is {what}, not a file"),
            Self::ForeignLink(user) => write!(
                f,
                "it is a symbolic link that user {user} made, which is not followed"
            ),
            Self::Other(kind) => write!(f, "{kind}"),
        }
    }
}

/// A problem to report. Each is reported once, however often it occurs, until the operation has succeeded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// Lines for this file are being lost. Each later write tries again.
    Failed {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: FileError,
    },
    /// The file has accepted everything for a second.
    Works {
        /// The file.
        path: PathBuf,
        /// Lines lost since the previous [`FileEvent::Failed`].
        lost: u64,
    },
    /// The file is due but cannot be rotated. It keeps growing, and the rotation is tried again every ten seconds.
    RotationFailed {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: FileError,
    },
    /// A rotated file cannot be compressed and stays as it is. Tried again after the next rotation.
    CompressFailed {
        /// The rotated file.
        path: PathBuf,
        /// The reason.
        why: FileError,
    },
    /// An old rotated file cannot be removed, or the directory cannot be read. Tried again after the next rotation.
    RemoveFailed {
        /// The rotated file, or the directory.
        path: PathBuf,
        /// The reason.
        why: FileError,
    },
}
