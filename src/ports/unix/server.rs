//! Answers the workers' `bind` of a unix socket. Runs on the hand-over thread.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;

use crate::model::{ListenerId, Pid, Rights};
use crate::policy::unix::UnixKey;
use crate::sys::epoll::Poller;
use crate::sys::intercept::Notification;
use crate::sys::network::OwnNetwork;
use crate::sys::remote::Descriptor;
use crate::sys::rights::rights;
use crate::sys::unix::{self, Address, FileId, Kind, Maker, Place};
use crate::sys::{io, listener};

use super::group::{Due, Member, UnixGroup};
use super::names::{Made, Names};
use super::removal::Ended;
use crate::ports::bind_server::TrappedWorker;
use crate::ports::registry::SharedPorts;
use crate::ports::trapped_call::{descriptor, read_any_address};
use crate::ports::{Asker, PortEvent};

/// A call that waits for its answer.
#[derive(Clone, Copy)]
pub(in crate::ports) struct Caller<'a> {
    pub trapped: &'a TrappedWorker,
    pub notification: &'a Notification,
}

/// A listener for a caller.
pub(in crate::ports) struct Offered {
    pub key: UnixKey,
    pub fd: OwnedFd,
    /// The path was not shared before.
    pub opened: bool,
    /// O_CLOEXEC, of the socket that it replaces.
    pub cloexec: bool,
}

/// Who asks for a listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub listener: ListenerId,
    pub worker: Pid,
    /// The inode of the socket that it binds.
    pub bound: u64,
    /// What it passes on to its files.
    pub program: Maker,
}

/// What is to be told to the event loop.
pub(in crate::ports) type Events<'a> = &'a dyn Fn(PortEvent);

/// The part of the hand-over thread that serves unix sockets.
#[derive(Debug)]
pub(in crate::ports) struct UnixServer {
    pub(super) ports: SharedPorts,
    pub(super) names: HashMap<UnixKey, Names>,
    /// What the files of this process get.
    pub(super) own: Option<Maker>,
    /// To it the abstract names belong.
    pub(super) network: OwnNetwork,
    /// What this process may do.
    pub(super) own_rights: Option<Rights>,
    next_serial: u32,
    /// The listener whose arrivals turn the path, for each group.
    pub(super) watched: HashMap<u32, ListenerId>,
    /// Groups that have turned a moment ago.
    pub(super) resting: Vec<u32>,
    /// Paths that were shared until the stop began.
    pub(super) ended: Vec<Ended>,
}

/// Why a `bind` is left to the kernel.
pub(in crate::ports) enum Left {
    /// It is not the runtime's business, or the kernel's own error is the right answer.
    Quietly,
    /// The kernel refuses it: with this error, if there is no call that it could execute.
    Refused(Errno),
    /// The caller cannot be read.
    Unseen,
    /// The path should be shared and cannot be.
    Because(UnixKey, String),
}

impl From<Errno> for Left {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EPERM | Errno::EACCES => Self::Unseen,
            _ => Self::Quietly,
        }
    }
}

impl UnixServer {
    pub fn new(ports: SharedPorts) -> Self {
        Self {
            ports,
            names: HashMap::new(),
            own: unix::maker(None).ok(),
            network: OwnNetwork::read(),
            own_rights: rights(None).ok(),
            next_serial: 0,
            watched: HashMap::new(),
            resting: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Whether the socket behind this descriptor is a unix socket that can be shared. Datagrams are left alone.
    pub fn kind(fd: Descriptor, protocol: &str) -> Option<Kind> {
        match protocol {
            "UNIX-STREAM" => Some(Kind::Stream),
            // SEQPACKET and datagrams; before Linux 5.15 also streams.
            "UNIX" => unix::kind_of(fd.inode().ok()?),
            _ => None,
        }
    }

    /// A listener for the caller of `bind`. `None` if the kernel shall execute the call.
    pub fn bind(&mut self, caller: Caller<'_>, kind: Kind) -> Result<Option<Offered>, Left> {
        let Some((key, place, address)) = self.locate(caller)? else {
            return self.bind_name(caller, kind);
        };
        let [fd, ..] = caller.notification.args;
        let fd = descriptor(caller.notification, fd).ok_or(Errno::EBADF)?;
        let flags = fd.flags()?;
        let bound = fd.inode()?;
        let program = unix::maker(Some(fd.task))?.with_socket(fd.task, fd.fd)?;
        let from = match &address {
            Address::Path(path) if path.is_relative() => Some(unix::working_directory(fd.task)?),
            _ => None,
        };
        let may = self.may_make(fd.task, &place, from)?;
        // What was read belongs to this caller only if its call still waits.
        if !may || !caller.trapped.notifier.is_valid(caller.notification) {
            return Ok(None);
        }
        let listener = caller.trapped.listener;
        let asked = Asked {
            listener,
            worker: caller.trapped.worker,
            bound,
            program,
        };
        let opened = self.offer(&key, kind, place, &address, asked)?;
        let copy = self.copy(&key, listener, flags.nonblocking)?;
        Ok(copy.map(|fd| Offered {
            key,
            fd,
            opened,
            cloexec: flags.cloexec,
        }))
    }

    /// A copy of this listener, in this mode. `None` if there is none any more.
    pub(super) fn copy(
        &self,
        key: &UnixKey,
        listener: ListenerId,
        nonblocking: bool,
    ) -> nix::Result<Option<OwnedFd>> {
        let state = self.ports.lock();
        let group = state.unix.group(key);
        let member = group.and_then(|group| group.members.get(&listener));
        let Some(member) = member.filter(|_| !state.over) else {
            return Ok(None);
        };
        io::set_nonblocking(&member.fd, nonblocking)?;
        listener::duplicate(&member.fd).map(Some)
    }

    /// The caller did not get the listener that was opened for it. The kernel executes its `bind`.
    pub fn take_back(&mut self, key: &UnixKey) {
        if let Some(names) = self.names.get(key) {
            // If it fails, the `bind` fails too, and the program says so.
            let _ = names.remove_path();
        }
        self.forget(key);
        self.ports.lock().unix.common.retain(|one| one.key != *key);
    }

    /// The caller has its listener.
    pub fn taken(&mut self, key: &UnixKey, by: Asker, poller: &Poller, events: Events<'_>) {
        self.record_name(key, by);
        self.record(key, by);
        self.restore(key, by.listener, events);
        self.point(key, false, events);
        self.watch(key, poller);
    }

    /// The path that the caller means, its directory, and the address as the program wrote it. `None` if it is not
    /// shared.
    pub(super) fn locate(
        &self,
        caller: Caller<'_>,
    ) -> Result<Option<(UnixKey, Place, Address)>, Left> {
        let task = caller.notification.task;
        let [_, pointer, len, ..] = caller.notification.args;
        let bytes = read_any_address(task, pointer, len)?;
        let address = unix::parse_address(&bytes);
        let Some(Address::Path(path)) = address else {
            return Ok(None);
        };
        if !self.ports.rule().shares_paths() {
            return Ok(None);
        }
        let found = self.find(task, &path, false)?;
        Ok(found.map(|(key, place)| (key, place, Address::Path(path))))
    }

    /// The path that a thread means, and its directory. `None` if it is not shared; with `always`, RPM_PORTS is not asked.
    pub(super) fn find(
        &self,
        task: i32,
        path: &Path,
        always: bool,
    ) -> Result<Option<(UnixKey, Place)>, Left> {
        let Some((parent, base)) = unix::split(path) else {
            return Ok(None);
        };
        if !unix::sees_the_same(task)? {
            return Ok(None);
        }
        // A directory that does not exist: the kernel tells the program.
        let place = Place::open(&unix::as_seen_by(task, None, parent)).map_err(Left::Refused)?;
        let key = UnixKey::Path(unix::bytes(&place.path().join(base)));
        let mut state = self.ports.lock();
        state.unix.settle_pending();
        if !always && !state.unix.shares(&key, &state.settings.rule) {
            return Ok(None);
        }
        drop(state);
        Ok(Some((key, place)))
    }

    /// Ensures that there is a listener for this worker. True if the path was not shared before.
    pub(super) fn offer(
        &mut self,
        key: &UnixKey,
        kind: Kind,
        place: Place,
        address: &Address,
        asked: Asked,
    ) -> Result<bool, Left> {
        let (Some(own), UnixKey::Path(full)) = (self.own, key) else {
            return Err(Left::Quietly);
        };
        let known = self.names.get(key).map(|names| names.is_in(&place));
        let mut earlier = Vec::new();
        if known == Some(false) {
            earlier = self.forget(key);
        } else if known == Some(true) && self.is_of_another_kind(key, kind) {
            // It was opened before the first worker, and what the program binds was not known.
            self.take_back(key);
        } else if known == Some(true) {
            if self.join(key, kind, own, asked)? {
                return Ok(false);
            }
            earlier = self.forget(key);
        }
        if !self.has_room() {
            let why = "too many addresses are shared already; list the needed ones in RPM_PORTS";
            return Err(Left::Because(key.clone(), why.to_owned()));
        }
        let (_, base) = unix::split(unix::path(full)).ok_or(Left::Quietly)?;
        let names = Names::new(place, base);
        // Another working directory makes it another path for us, and so does /proc/self.
        let written = match address {
            Address::Path(path) => Place::open(unix::split(path).map_or(Path::new("."), |it| it.0))
                .ok()
                .filter(|ours| names.is_in(ours))
                .map(|_| path.as_path()),
            Address::Abstract(_) => return Err(Left::Quietly),
        };
        // If this fails, the kernel gives the program the same error.
        let made = names.bind_path(kind, written).map_err(Left::Refused)?;
        let opened = self.open(key, kind, (names, made), (asked.listener, asked.program));
        opened.map_err(|errno| Left::Because(key.clone(), errno.desc().to_owned()))?;
        if let Some(group) = self.ports.lock().unix.by_key(key) {
            group.earlier = earlier;
        }
        Ok(true)
    }

    /// Shares a path that is bound.
    pub(super) fn open(
        &mut self,
        key: &UnixKey,
        kind: Kind,
        (names, made): (Names, Made),
        (listener, program): (ListenerId, Maker),
    ) -> nix::Result<()> {
        let own = self.own.ok_or(Errno::EIO)?;
        let suited = names.suit(&made.file, None, own, program);
        let member = suited.and_then(|permissions| self.member(made, permissions));
        let member = match member {
            Ok(member) => member,
            Err(errno) => {
                names.remove_path()?;
                return Err(errno);
            }
        };
        self.next_serial += 1;
        let mut state = self.ports.lock();
        let group = UnixGroup {
            key: key.clone(),
            kind,
            members: [(listener, member)].into(),
            target: Some(listener),
            movable: false,
            known: state.unix.is_listed(key),
            joined: false,
            removal_wanted: None,
            earlier: Vec::new(),
            due: Due::Nothing,
            serial: self.next_serial,
        };
        state.unix.groups.push(group);
        drop(state);
        self.names.insert(key.clone(), names);
        Ok(())
    }

    /// Whether no worker has had the path yet, and it was opened for another kind of socket.
    fn is_of_another_kind(&self, key: &UnixKey, kind: Kind) -> bool {
        let state = self.ports.lock();
        let group = state.unix.group(key);
        group.is_some_and(|group| group.kind != kind && group.is_unused())
    }

    fn has_room(&self) -> bool {
        let state = self.ports.lock();
        state.has_room()
    }

    pub(super) fn member(&self, made: Made, permissions: u32) -> nix::Result<Member> {
        let backlog = self.ports.lock().settings.backlog;
        listener::listen(&made.fd, backlog)?;
        Ok(Member {
            inode: listener::inode(&made.fd)?,
            fd: made.fd,
            file: made.file.id,
            made: permissions,
            address: made.address,
            worker: None,
            taken: false,
            was_live: false,
            removed: false,
        })
    }

    pub(super) fn by_file(&self, key: &UnixKey, file: FileId) -> Option<ListenerId> {
        let state = self.ports.lock();
        let group = state.unix.group(key)?;
        group.by_file(file)
    }

    /// The shared path whose listener has this inode, and as users know it.
    pub fn owner(&self, inode: u64) -> Option<(UnixKey, UnixKey)> {
        let state = self.ports.lock();
        let key = state.unix.owner(inode)?;
        Some((key.clone(), state.unix.shown(key)))
    }
}
