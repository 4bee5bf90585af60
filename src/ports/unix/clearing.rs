//! The removal of a path by a worker that starts, before anybody of the service has it. Runs on the hand-over thread.
//!
//! Most programs remove their path and then bind it. When the kernel executes the removal, it does so some time after
//! this thread has looked at it. Meanwhile another worker may have bound the path, and the removal would take away the
//! file of a worker that nobody could then reach. So this thread removes the file itself, in turn with each `bind`.

use nix::errno::Errno;

use crate::policy::unix::UnixKey;
use crate::ports::trapped_call::removed_path;
use crate::sys::unix::{self, Place};

use super::names::{Names, Present};
use super::removal::Removed;
use super::server::{Caller, UnixServer};

impl UnixServer {
    /// Answers the removal of a path that the workers would share, if it is the file of a socket or if nothing is there.
    pub(super) fn clear_the_way(&self, caller: Caller<'_>) -> Removed {
        // The kernel tells the program what is wrong.
        self.try_clear(caller).unwrap_or(Removed::ByKernel)
    }

    fn try_clear(&self, caller: Caller<'_>) -> nix::Result<Removed> {
        let notification = caller.notification;
        let task = notification.task;
        if !self.ports.rule().shares_paths() {
            return Ok(Removed::ByKernel);
        }
        let (_, path) = removed_path(notification)?;
        // Most removals are of other files: one look at each.
        if !unix::sees_the_same(task)? || unix::is_other_file(&path)? {
            return Ok(Removed::ByKernel);
        }
        let (parent, base) = unix::split(&path).ok_or(Errno::EINVAL)?;
        let place = Place::open(parent)?;
        let key = UnixKey::Path(unix::bytes(&place.path().join(base)));
        let shared = {
            let mut state = self.ports.lock();
            state.unix.settle_pending();
            state.unix.shares(&key, &state.settings.rule)
        };
        if !shared {
            return Ok(Removed::ByKernel);
        }
        let names = Names::new(place, base);
        let present = names.present()?;
        // The runtime may be allowed to do what the program is not.
        let may = match &present {
            Present::Socket(file) => self.may_remove(task, names.place(), file)?,
            Present::Missing => self.may_make(task, names.place(), None)?,
            Present::Other => false,
        };
        // What was read belongs to this caller only if its call still waits.
        if !may || !caller.trapped.notifier.is_valid(notification) {
            return Ok(Removed::ByKernel);
        }
        if present == Present::Missing {
            return Ok(Removed::Failed(Errno::ENOENT));
        }
        names.remove_path()?;
        Ok(Removed::Done)
    }
}
