//! Opens the paths of RPM_PORTS before the first worker, so that clients wait. Runs on the hand-over thread.

use nix::errno::Errno;

use crate::policy::handover::PortRule;
use crate::policy::unix::UnixKey;
use crate::sys::unix::{self, Kind, Place};

use super::names::{Names, Present};
use super::server::{Events, UnixServer};
use crate::ports::PortEvent;

impl UnixServer {
    /// Opens every path that RPM_PORTS lists and that is free.
    pub fn open_listed(&mut self, events: Events<'_>) {
        let PortRule::Listed(list) = self.ports.rule() else {
            return;
        };
        for written in list.paths {
            if matches!(written, UnixKey::Abstract(_)) {
                events(self.open_name(&written));
                continue;
            }
            match self.open_path(&written) {
                Ok(Some(())) => events(PortEvent::Opened {
                    key: written.into(),
                    listeners: 1,
                }),
                Ok(None) => events(PortEvent::NotYet {
                    key: written,
                    reason: "a file is there already".to_owned(),
                }),
                // A worker may make the directory.
                Err(errno) => events(PortEvent::NotYet {
                    key: written,
                    reason: errno.desc().to_owned(),
                }),
            }
        }
    }

    /// `None` if something is at the path already. If a process left it behind, the program decides what becomes of it.
    fn open_path(&mut self, written: &UnixKey) -> nix::Result<Option<()>> {
        let UnixKey::Path(path) = written else {
            return Ok(None);
        };
        let path = unix::path(path);
        let (parent, base) = unix::split(path).ok_or(Errno::EINVAL)?;
        let mut state = self.ports.lock();
        state.unix.pending.push(written.clone());
        state.unix.settle_pending();
        drop(state);
        let place = Place::open(parent)?;
        let key = UnixKey::Path(unix::bytes(&place.path().join(base)));
        let names = Names::new(place, base);
        if names.present()? != Present::Missing {
            return Ok(None);
        }
        let own = unix::maker(None)?;
        let seats = self.ports.lock().rotation.seats.clone();
        let (listener, _) = *seats.first().ok_or(Errno::EINVAL)?;
        let made = names.bind_path(Kind::Stream, Some(path))?;
        self.open(&key, Kind::Stream, (names, made), (listener, own))?;
        Ok(Some(()))
    }
}
