//! Gives a listener to a worker that asks for a path by a message. Runs on the hand-over thread.

use std::os::fd::OwnedFd;

use nix::errno::Errno;

use crate::policy::unix::UnixKey;
use crate::sys::epoll::Poller;
use crate::sys::unix::{self, Address, Kind};

use super::server::{Asked, Events, Left, UnixServer};
use crate::ports::{Asker, PortEvent};

impl From<Left> for Errno {
    fn from(left: Left) -> Self {
        match left {
            // As libuv has it for a path whose directory does not exist.
            Left::Unseen | Left::Refused(Self::ENOENT) => Self::EACCES,
            Left::Refused(errno) => errno,
            // The path is somebody else's.
            Left::Quietly | Left::Because(..) => Self::EADDRINUSE,
        }
    }
}

impl UnixServer {
    /// A listener of `path`, as the worker writes it; a name that begins with NUL is abstract. Fails as `bind` does.
    pub fn ask(
        &mut self,
        path: &[u8],
        asker: Asker,
        poller: &Poller,
        events: Events<'_>,
    ) -> nix::Result<(OwnedFd, UnixKey)> {
        let kind = Kind::Stream;
        let (key, fd, opened) = if let Some(name) = path.strip_prefix(&[0]) {
            let key = UnixKey::Abstract(name.to_vec());
            self.may_ask(&key)?;
            let offered = self.offer_name(&key, kind, 0, true)?;
            let (fd, opened) = offered.ok_or(Errno::EADDRINUSE)?;
            (key, fd, opened)
        } else {
            let path = unix::path(path);
            let task = asker.worker.get();
            let found = self.find(task, path, true)?;
            let (key, place) = found.ok_or(Errno::EACCES)?;
            self.may_ask(&key)?;
            let program = unix::maker(Some(task))?;
            if !self.may_make(task, &place, None)? {
                return Err(Errno::EACCES);
            }
            let request = Asked {
                listener: asker.listener,
                worker: asker.worker,
                bound: 0,
                program,
            };
            let address = Address::Path(path.to_owned());
            let opened = self.offer(&key, kind, place, &address, request)?;
            let fd = self.copy(&key, asker.listener, true)?;
            (key, fd.ok_or(Errno::ESHUTDOWN)?, opened)
        };
        if opened {
            let (key, listeners) = (key.clone().into(), 1);
            events(PortEvent::Opened { key, listeners });
        }
        self.taken(&key, asker, poller, events);
        if let Some(group) = self.ports.lock().unix.by_key(&key) {
            // A program that asks for its path leaves the removal to the one who gave it.
            group.removal_wanted = Some(asker.worker);
        }
        let (worker, slot) = (asker.worker, asker.slot);
        let taken = key.clone().into();
        events(PortEvent::Taken {
            worker,
            slot,
            key: taken,
        });
        Ok((fd, key))
    }

    /// Fails with EMFILE if this address is not shared yet and must not be.
    fn may_ask(&self, key: &UnixKey) -> nix::Result<()> {
        let mut state = self.ports.lock();
        let known = state.unix.group(key).is_some() || state.unix.common(key).is_some();
        if known || state.may_grow() {
            Ok(())
        } else {
            Err(Errno::EMFILE)
        }
    }
}
