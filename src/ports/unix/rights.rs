//! What a worker may do with the files at a shared path. The runtime makes and removes them, and it may be allowed to do
//! what the worker is not: another user, fewer capabilities.

use nix::errno::Errno;

use crate::model::Rights;
use crate::sys::rights::rights;
use crate::sys::unix::{FileId, Place, SocketFile};

use super::server::UnixServer;

impl UnixServer {
    /// The rights of a thread, unless they cover those of the runtime.
    fn fewer_rights(&self, task: i32) -> nix::Result<Option<Rights>> {
        let own = self.own_rights.as_ref().ok_or(Errno::EIO)?;
        let its = rights(Some(task))?;
        Ok((!its.cover_files_of(own)).then_some(its))
    }

    /// Whether the kernel would let this thread make a file in the directory, which it reaches from `from`: its working
    /// directory for a relative path, or the root.
    pub(super) fn may_make(
        &self,
        task: i32,
        place: &Place,
        from: Option<FileId>,
    ) -> nix::Result<bool> {
        let fewer = self.fewer_rights(task)?;
        fewer.map_or(Ok(true), |its| Ok(its.make_file(&place.way(from)?)))
    }

    /// Whether the kernel would let this thread remove this file in the directory.
    pub(super) fn may_remove(
        &self,
        task: i32,
        place: &Place,
        file: &SocketFile,
    ) -> nix::Result<bool> {
        let fewer = self.fewer_rights(task)?;
        fewer.map_or(Ok(true), |its| {
            Ok(its.remove_file(&place.way(None)?, file.access.uid))
        })
    }
}
