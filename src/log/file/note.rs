//! What went wrong, for the caller to tell.

use std::fmt;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// Why something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The kernel said so.
    Os(Errno),
    /// What stands at the path is no file and no character device: `a FIFO`, `a socket`.
    NotAFile(&'static str),
    /// The standard library found it out by itself.
    Other(io::ErrorKind),
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(raw) => Self::Os(Errno::from_raw(raw)),
            None => Self::Other(error.kind()),
        }
    }
}

impl From<Errno> for Why {
    fn from(errno: Errno) -> Self {
        Self::Os(errno)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(errno) => write!(f, "{errno:?}"),
            Self::NotAFile(what) => write!(f, "it is {what}, not a file"),
            Self::Other(kind) => write!(f, "{kind}"),
        }
    }
}

/// Something to tell. Each is told once, however often it happens, until what failed has worked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Lines for this file are being lost; each later write tries again.
    Failed {
        /// The file.
        path: PathBuf,
        /// Why.
        why: Why,
    },
    /// The file has taken everything for a second.
    Works {
        /// The file.
        path: PathBuf,
        /// Lines lost since the [`Note::Failed`] before.
        lost: u64,
    },
    /// The file is due and cannot be rotated; it grows on, and is tried again every ten seconds.
    RotationFailed {
        /// The file.
        path: PathBuf,
        /// Why.
        why: Why,
    },
    /// A rotated file cannot be packed and stays as it is; it is tried again after the next rotation.
    CompressFailed {
        /// The rotated file.
        path: PathBuf,
        /// Why.
        why: Why,
    },
    /// A rotated file beyond those to keep cannot be removed, or the directory cannot be read; it is tried again after
    /// the next rotation.
    RemoveFailed {
        /// The rotated file, or the directory.
        path: PathBuf,
        /// Why.
        why: Why,
    },
}
