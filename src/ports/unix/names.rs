//! The names of one shared path in its directory. Each listener has a name in the directory `.rpm` beside the path. The
//! path is a second name of one of them. It is replaced by a rename, so that there is no moment without it.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::model::ListenerId;
use crate::policy::unix::carried_mode;
use crate::sys::unix::{self, Access, FileId, Kind, Maker, Place, SocketFile};

/// The directory of the listeners' names. If another user has one of this name, ours has the uid behind it.
const INNER: &str = ".rpm";

/// A new listener.
#[derive(Debug)]
pub(super) struct Made {
    pub fd: OwnedFd,
    pub file: SocketFile,
    pub address: PathBuf,
}

/// What the path is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Present {
    /// The file of a socket.
    Socket(SocketFile),
    /// Something else.
    Other,
    /// Nothing has this name.
    Missing,
}

#[derive(Debug)]
pub(super) struct Names {
    outer: Place,
    /// The directory of the listeners' names, and its name.
    inner: Option<(OsString, Place)>,
    base: OsString,
}

impl Names {
    /// The names of the path `base` in `outer`.
    pub fn new(outer: Place, base: &OsStr) -> Self {
        Self {
            outer,
            inner: None,
            base: base.to_owned(),
        }
    }

    /// The directory of the path.
    pub fn place(&self) -> &Place {
        &self.outer
    }

    /// Whether both are in the same directory, which may have been replaced by another of the same name.
    pub fn is_in(&self, outer: &Place) -> bool {
        matches!((self.outer.id(), outer.id()), (Ok(one), Ok(other)) if one == other)
    }

    /// What the path is now.
    pub fn present(&self) -> nix::Result<Present> {
        Ok(match self.outer.socket(&self.base)? {
            Some(file) => Present::Socket(file),
            None if self.outer.has(&self.base) => Present::Other,
            None => Present::Missing,
        })
    }

    /// Whether `path` names the path, or one of the listeners' own names. Most paths are told apart without a look at the
    /// file system.
    pub fn has(&self, path: &Path) -> bool {
        let Some((parent, base)) = unix::split(path) else {
            return false;
        };
        let inner = self.inner.as_ref().filter(|_| self.is_inner(base));
        if base != self.base && inner.is_none() {
            return false;
        }
        Place::open(parent).is_ok_and(|parent| {
            base == self.base && self.is_in(&parent)
                || inner.is_some_and(|(_, inner)| {
                    matches!((inner.id(), parent.id()), (Ok(one), Ok(other)) if one == other)
                })
        })
    }

    /// Whether `name` could be a listener's own name.
    fn is_inner(&self, name: &OsStr) -> bool {
        let rest = name.as_bytes().strip_prefix(self.base.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b'.'))
    }

    fn inner(&self) -> nix::Result<&Place> {
        self.inner
            .as_ref()
            .map(|(_, inner)| inner)
            .ok_or(Errno::ENOENT)
    }

    /// Opens the directory of the listeners' names.
    fn open_inner(&self) -> nix::Result<(OsString, Place)> {
        let open = |name: OsString| self.outer.inner(&name).map(|place| (name, place));
        match open(INNER.into()) {
            Err(Errno::EPERM) => open(format!("{INNER}-{}", unix::maker(None)?.uid).into()),
            other => other,
        }
    }

    fn name(&self, listener: ListenerId) -> OsString {
        let mut name = self.base.clone();
        name.push(format!(".{listener}"));
        name
    }

    /// Binds the first listener to the path itself. `path`: as the program wrote it, if that means the same to us.
    pub fn bind_path(&self, kind: Kind, path: Option<&Path>) -> nix::Result<Made> {
        let (fd, address) = match path {
            Some(path) => (unix::bind(kind, path)?, path.to_owned()),
            None => self.outer.bind(kind, &self.base)?,
        };
        let file = self.outer.socket(&self.base)?.ok_or(Errno::ENOENT)?;
        Ok(Made { fd, file, address })
    }

    /// Makes the path movable: the first listener gets a name of its own.
    pub fn make_movable(&mut self, listener: ListenerId, file: FileId) -> nix::Result<()> {
        let (directory, inner) = self.open_inner()?;
        let name = self.name(listener);
        inner.remove(&name)?;
        self.outer.link(&self.base, &inner, &name)?;
        if inner.socket(&name)?.map(|found| found.id) != Some(file) {
            // Another process replaced the path at this moment.
            inner.remove(&name)?;
            return Err(Errno::EADDRINUSE);
        }
        self.inner = Some((directory, inner));
        Ok(())
    }

    /// Makes the directory of the listeners' names again, after another process removed it.
    pub fn renew(&mut self) -> nix::Result<()> {
        self.inner = Some(self.open_inner()?);
        Ok(())
    }

    /// Binds one more listener, which the path does not name yet.
    pub fn bind_beside(&self, kind: Kind, listener: ListenerId) -> nix::Result<Made> {
        let inner = self.inner()?;
        let name = self.name(listener);
        // Left by an earlier runtime that was killed.
        inner.remove(&name)?;
        let (fd, address) = inner.bind(kind, &name)?;
        let file = inner.socket(&name)?.ok_or(Errno::ENOENT)?;
        Ok(Made { fd, file, address })
    }

    /// Gives a new listener's file the permissions that the program's own would have. Returns its permission bits.
    pub fn suit(
        &self,
        made: &SocketFile,
        beside: Option<ListenerId>,
        own: Maker,
        program: Maker,
    ) -> nix::Result<u32> {
        let mut wanted = made.access;
        // With equal masks, a default ACL of the directory stays in force.
        if (own.umask, own.mode) != (program.umask, program.mode) {
            wanted.mode = program.mode & !program.umask;
        }
        if own.uid != program.uid {
            wanted.uid = program.uid;
        }
        if own.gid != program.gid && wanted.gid == own.gid {
            wanted.gid = program.gid;
        }
        match beside.zip(self.inner.as_ref()) {
            Some((listener, (_, inner))) => {
                inner.set_access(&self.name(listener), made.access, wanted)?;
            }
            None => self.outer.set_access(&self.base, made.access, wanted)?,
        }
        Ok(wanted.mode)
    }

    /// Points the path at this listener. `made`: the permission bits with which the file at which it points now was
    /// made.
    pub fn point(
        &self,
        listener: ListenerId,
        file: FileId,
        present: Option<(Access, u32)>,
    ) -> nix::Result<()> {
        let inner = self.inner()?;
        let name = self.name(listener);
        let found = inner.socket(&name)?.filter(|found| found.id == file);
        let found = found.ok_or(Errno::ENOENT)?;
        if let Some((present, made)) = present {
            let wanted = Access {
                mode: carried_mode(present.mode, made, found.access.mode),
                ..present
            };
            inner.set_access(&name, found.access, wanted)?;
        }
        let mut passing = self.base.clone();
        passing.push(".new");
        inner.remove(&passing)?;
        inner.link(&name, inner, &passing)?;
        inner.rename(&passing, &self.outer, &self.base)
    }

    /// Removes the path.
    pub fn remove_path(&self) -> nix::Result<()> {
        self.outer.remove(&self.base)
    }

    /// Removes the listeners' own names. The path stays.
    pub fn clean(&mut self, listeners: impl Iterator<Item = ListenerId>) {
        let Some((directory, inner)) = self.inner.take() else {
            return;
        };
        for listener in listeners {
            // What cannot be removed is replaced by the next runtime.
            let _ = inner.remove(&self.name(listener));
        }
        drop(inner);
        self.outer.remove_empty(&directory);
    }
}
