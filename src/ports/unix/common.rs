//! Abstract names. The kernel lets nobody have a second listener of such a name, and there is no file that could be moved:
//! one listener serves all workers, and the one that accepts first gets the connection. It lives as long as workers use the
//! name, so nobody is refused during a reload or after a crash.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;

use crate::model::{ListenerId, Pid, QueueKind, QueueSample};
use crate::policy::handover::PortRule;
use crate::policy::unix::UnixKey;
use crate::sys::unix::{self, Address, Kind, waits};
use crate::sys::{io, listener};

use super::server::{Caller, Left, Offered, UnixServer};
use super::view::UnixSockets;
use crate::ports::trapped_call::{descriptor, read_any_address};
use crate::ports::{Asker, PortEvent};

/// The listener of an abstract name.
#[derive(Debug)]
pub(in crate::ports) struct CommonName {
    pub key: UnixKey,
    kind: Kind,
    fd: OwnedFd,
    pub inode: u64,
    /// The workers that have it now.
    holders: BTreeMap<ListenerId, Pid>,
    /// A worker has had it.
    used: bool,
}

impl CommonName {
    /// Opens the listener. Fails with EADDRINUSE if another process has the name.
    fn open(key: &UnixKey, kind: Kind, backlog: u32) -> nix::Result<Self> {
        let UnixKey::Abstract(name) = key else {
            return Err(Errno::EINVAL);
        };
        let fd = unix::bind_abstract(kind, name)?;
        listener::listen(&fd, backlog)?;
        Ok(Self {
            key: key.clone(),
            kind,
            inode: listener::inode(&fd)?,
            fd,
            holders: BTreeMap::new(),
            used: false,
        })
    }

    /// As /proc/net/unix shows it: with `@` for each NUL.
    pub fn address(&self) -> OsString {
        let (UnixKey::Abstract(name) | UnixKey::Path(name)) = &self.key;
        let shown = name
            .iter()
            .map(|byte| if *byte == 0 { b'@' } else { *byte });
        OsString::from_vec([b'@'].into_iter().chain(shown).collect())
    }

    /// Whether no worker has it any more.
    pub fn is_abandoned(&self) -> bool {
        self.used && self.holders.is_empty()
    }

    /// The worker of this listener number has ended.
    pub fn release(&mut self, listener: ListenerId, worker: Pid) {
        if self.holders.get(&listener) == Some(&worker) {
            self.holders.remove(&listener);
        }
    }

    /// The state of its queue. All workers serve it.
    pub fn sample(&self, backlog: u32) -> QueueSample {
        QueueSample {
            listener: self.key.to_string(),
            worker: None,
            kind: QueueKind::Connections,
            length: u32::from(waits(&self.fd)),
            limit: backlog,
            in_rotation: true,
            held: !self.holders.is_empty(),
        }
    }
}

impl UnixSockets {
    pub fn common(&mut self, key: &UnixKey) -> Option<&mut CommonName> {
        self.common.iter_mut().find(|one| one.key == *key)
    }
}

impl UnixServer {
    /// The common listener, for a caller that binds an abstract name. `None` if it binds something else, or if its name is
    /// not shared.
    pub(super) fn bind_name(
        &mut self,
        caller: Caller<'_>,
        kind: Kind,
    ) -> Result<Option<Offered>, Left> {
        let notification = caller.notification;
        let [fd, pointer, len, ..] = notification.args;
        let bytes = read_any_address(notification.task, pointer, len)?;
        let Some(Address::Abstract(name)) = unix::parse_address(&bytes) else {
            return Ok(None);
        };
        let key = UnixKey::Abstract(name);
        let fd = descriptor(notification, fd).ok_or(Errno::EBADF)?;
        let (flags, bound) = (fd.flags()?, fd.inode()?);
        // The same name in another network namespace is another name.
        let near = self.network.has(fd);
        if !near || !caller.trapped.notifier.is_valid(notification) {
            return Ok(None);
        }
        {
            let state = self.ports.lock();
            if !state.unix.shares(&key, &state.settings.rule) {
                return Ok(None);
            }
        }
        let offered = self.offer_name(&key, kind, bound, flags.nonblocking)?;
        Ok(offered.map(|(fd, opened)| Offered {
            key,
            fd,
            opened,
            cloexec: flags.cloexec,
        }))
    }

    /// A copy of the common listener of this name, and whether it was opened for that. `None` if the kernel shall answer.
    pub(super) fn offer_name(
        &self,
        key: &UnixKey,
        kind: Kind,
        bound: u64,
        nonblocking: bool,
    ) -> Result<Option<(OwnedFd, bool)>, Left> {
        let mut state = self.ports.lock();
        if state.over {
            return Ok(None);
        }
        let opened = state.unix.common(key).is_none();
        if opened {
            if !state.has_room() {
                let why =
                    "too many addresses are shared already; list the needed ones in RPM_PORTS";
                return Err(Left::Because(key.clone(), why.to_owned()));
            }
            // If another process has the name, the kernel says so to the program.
            let made = CommonName::open(key, kind, state.settings.backlog);
            state.unix.common.push(made.map_err(Left::Refused)?);
        }
        let one = state.unix.common(key).ok_or(Left::Quietly)?;
        if one.kind != kind || bound == one.inode {
            return Ok(None);
        }
        io::set_nonblocking(&one.fd, nonblocking)?;
        Ok(Some((listener::duplicate(&one.fd)?, opened)))
    }

    /// The caller has the listener of an abstract name, unless it has died meanwhile.
    pub(super) fn record_name(&mut self, key: &UnixKey, by: Asker) {
        let (worker, listener) = (by.worker, by.listener);
        let present = self.ports.is_present(listener, worker);
        if let Some(one) = self.ports.lock().unix.common(key) {
            one.used = true;
            if present {
                one.holders.insert(listener, worker);
            }
        }
    }

    /// Opens an abstract name of RPM_PORTS before the first worker.
    pub(super) fn open_name(&mut self, key: &UnixKey) -> PortEvent {
        let mut state = self.ports.lock();
        state.unix.listed.push((key.clone(), key.clone()));
        match CommonName::open(key, Kind::Stream, state.settings.backlog) {
            Ok(one) => {
                state.unix.common.push(one);
                PortEvent::Opened {
                    key: key.clone().into(),
                    listeners: 1,
                }
            }
            Err(errno) => PortEvent::NotYet {
                key: key.clone(),
                reason: errno.desc().to_owned(),
            },
        }
    }
}

impl UnixSockets {
    /// Closes the abstract names that no worker has any more. Returns them.
    pub fn close_abandoned_names(&mut self, rule: &PortRule) -> Vec<UnixKey> {
        if *rule != PortRule::Any {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.common);
        let (gone, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(CommonName::is_abandoned);
        self.common = kept;
        gone.into_iter().map(|one| one.key).collect()
    }
}
