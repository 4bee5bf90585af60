//! The epoll sets of one worker that the runtime keeps a descriptor of, and the replacement of a socket that is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;

use nix::errno::Errno;

use crate::model::Tick;
use crate::policy::epoll_sets::{KeptSets, MOST, Missed, Unregistered, unregistered};
use crate::policy::handover::{PortKey, Transport};
use crate::sys::epoll_set::{self, Item};
use crate::sys::intercept::{Notification, Notifier};
use crate::sys::register::{self, Place};
use crate::sys::remote::Descriptor;

use super::PortEvent;
use super::group::Group;
use super::registry::SharedPorts;

/// The sets of one worker.
#[derive(Debug)]
pub(super) struct EpollSets {
    kept: KeptSets<OwnedFd>,
}

/// Why a socket was not replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotReplaced {
    /// The socket is in an epoll set in which the listener cannot be registered.
    Unregistered(String),
    /// The descriptor could not be replaced; the caller may have ended.
    Failed(Errno),
}

/// The sets that hold a socket.
pub(super) type Places<'a> = Vec<Place<&'a OwnedFd>>;

/// What the sets contain under the number of a socket.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// The socket itself.
    pub places: Places<'a>,
    /// The listener, which the worker had before under this number, and closed without EPOLL_CTL_DEL.
    pub stale: Places<'a>,
}

impl EpollSets {
    /// For a worker that starts now.
    pub(super) fn new(now: Tick) -> Self {
        Self {
            kept: KeptSets::new(now),
        }
    }

    /// Number of descriptors.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Answers a call that creates a set, and keeps a copy. False if the kernel shall execute it. `total` sets are kept
    /// for all workers, of `most` that the limit of descriptors allows.
    pub(super) fn create(
        &mut self,
        notifier: &Notifier,
        notification: &Notification,
        now: Tick,
        (total, most): (usize, usize),
    ) -> bool {
        let Some(cloexec) = notification.epoll_cloexec() else {
            return false;
        };
        if !self.kept.wants(now, total, most) {
            return false;
        }
        let given = epoll_set::create().and_then(|set| {
            notifier
                .succeed_with(notification, &set, cloexec)
                .map(|()| set)
        });
        match given {
            Ok(set) => {
                self.kept.keep(set, total, most);
                true
            }
            Err(errno) => {
                self.kept.miss(match errno {
                    Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => Missed::Shortage,
                    _ => Missed::Kernel,
                });
                false
            }
        }
    }

    /// The worker listens on a shared port.
    pub(super) fn listened(&mut self, now: Tick) {
        self.kept.listened(now);
    }

    /// Whether the worker still starts.
    pub(super) fn starts(&self, now: Tick) -> bool {
        self.kept.starts(now)
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn until(&self) -> Option<Tick> {
        self.kept.until()
    }

    /// Drops the sets if their time is over. Sets with a listener of ours stay: another socket may join them later.
    pub(super) fn expire(&mut self, now: Tick, ports: &SharedPorts) {
        let ours = |item: &Item| ports.owns(item.inode).is_some();
        let serves = |set: &OwnedFd| {
            let items = epoll_set::items(set);
            items.is_ok_and(|items| items.iter().any(ours))
        };
        self.kept.expire(now, serves);
    }

    /// The sets that hold this socket. An error of the inner kind means that it is in one, but none that is kept.
    pub(super) fn find(
        &self,
        socket: Descriptor,
        inode: u64,
        listener: u64,
    ) -> nix::Result<Result<Found<'_>, NotReplaced>> {
        let mut found = Found::default();
        for set in self.kept.iter() {
            let items = epoll_set::items(set)?.into_iter();
            for item in items.filter(|item| item.number == socket.fd) {
                if item.inode == inode {
                    found.places.push(place(set, item));
                } else if item.inode == listener {
                    found.stale.push(place(set, item));
                }
            }
        }
        if found.places.is_empty()
            && let Some(missed) = self.kept.missed()
            && epoll_set::is_watched(socket, inode)?
        {
            let reason = match missed {
                Missed::TooMany => {
                    format!("that set is not among the last {MOST} that were created")
                }
                Missed::TooLate => "that set was created too long after the start".to_owned(),
                Missed::Shortage => {
                    "the runtime had no descriptor left to know that set (RLIMIT_NOFILE)".to_owned()
                }
                Missed::Kernel => "knowing that set needs Linux 5.14".to_owned(),
            };
            return Ok(Err(NotReplaced::Unregistered(reason)));
        }
        Ok(Ok(found))
    }

    /// Removes a listener that the worker has closed. Returns the thread that did so.
    pub(super) fn remove(&self, listener: &OwnedFd, inode: u64) -> Option<JoinHandle<()>> {
        let mut numbers: BTreeMap<i32, Places<'_>> = BTreeMap::new();
        for set in self.kept.iter() {
            let items = epoll_set::items(set).unwrap_or_default().into_iter();
            for item in items.filter(|item| item.inode == inode) {
                let places = numbers.entry(item.number).or_default();
                places.push(place(set, item));
            }
        }
        let mut last: Option<JoinHandle<()>> = None;
        for (number, places) in numbers {
            // Where no thread can have its own table, the worker goes on being woken.
            let next = register::remove(listener, number, &places).ok();
            if let Some(before) = std::mem::replace(&mut last, next) {
                // A panic of it changes nothing here.
                let _ = before.join();
            }
        }
        last
    }
}

fn place(set: &OwnedFd, Item { events, data, .. }: Item) -> Place<&OwnedFd> {
    Place { set, events, data }
}

/// Calls `replace`, and registers the listener in the `places` of the socket that it replaces. Returns the thread that
/// did so.
pub(super) fn replace(
    listener: &OwnedFd,
    number: i32,
    found: &Found<'_>,
    replace: impl FnOnce() -> nix::Result<()>,
) -> Result<Option<JoinHandle<()>>, NotReplaced> {
    let places = found.places.as_slice();
    if places.is_empty() {
        replace().map_err(NotReplaced::Failed)?;
        let stale = found.stale.as_slice();
        // Where no thread can have its own table, the worker's EPOLL_CTL_ADD fails with EEXIST.
        let removed = (!stale.is_empty()).then(|| register::remove(listener, number, stale));
        return Ok(removed.and_then(Result::ok));
    }
    let registration = register::add(listener, number, places).map_err(|errno| {
        NotReplaced::Unregistered(match errno {
            Errno::ENOSYS => "this needs close_range(2), so Linux 5.9".to_owned(),
            Errno::EBADF => {
                format!("its descriptor {number} is above the runtime's own limit (RLIMIT_NOFILE)")
            }
            errno => errno.desc().to_owned(),
        })
    })?;
    // If this fails, dropping the registration takes it back.
    replace().map_err(NotReplaced::Failed)?;
    let (armed, thread) = registration.arm();
    // Only the events of the new entry are changed, which fails only without memory. The program then gets EINVAL from
    // `bind`, because its socket is bound already; that is better than a listener that nobody watches.
    armed.map_err(NotReplaced::Failed)?;
    Ok(Some(thread))
}

impl SharedPorts {
    /// Most epoll sets to keep for all workers together: an eighth of the descriptors.
    pub(super) fn most_sets(&self) -> usize {
        self.lock().settings.descriptors / 8
    }

    /// Whether each worker has a listener of its own.
    pub(super) fn steers(&self) -> bool {
        self.lock().settings.steering.is_some()
    }

    /// Calls `with` with the listener that has this inode; `None` if there is none any more. No copy may be kept: a
    /// port closes with our last descriptor.
    pub(super) fn with_listener<T>(
        &self,
        inode: u64,
        with: impl FnOnce(BorrowedFd<'_>) -> T,
    ) -> Option<T> {
        let state = self.lock();
        let mut listeners = state.groups.iter().flat_map(|group| &group.listeners);
        let found = listeners.find(|listener| listener.inode == inode);
        found.map(|listener| with(listener.fd.as_fd()))
    }

    /// Decides about the `bind` of a socket that cannot be replaced. If the kernel shall execute it, closes our own
    /// listeners of that port, which no worker uses.
    pub(super) fn leave(&self, key: PortKey) -> (Unregistered, Vec<PortEvent>) {
        let mut state = self.lock();
        let seats = state.rotation.seats.iter();
        let slots: BTreeSet<_> = seats.map(|(_, slot)| *slot).collect();
        let own = state.groups.iter().position(|group| group.key == key);
        let used = |at: usize| state.groups.get(at).is_some_and(Group::used);
        let sockets = state.datagrams.iter().find(|group| group.key == key);
        let used = own.is_some_and(used) || sockets.is_some_and(|group| group.used);
        let answer = unregistered(slots.len(), used);
        let mut events = Vec::new();
        if answer == Unregistered::LeaveAlone {
            events.extend(match key.transport {
                Transport::Tcp => state.supersede(key),
                Transport::Udp => state.supersede_datagrams(key),
            });
            state.datagrams.retain(|group| group.key != key);
            if let Some(at) = state.groups.iter().position(|group| group.key == key) {
                state.groups.remove(at).let_go();
            }
        }
        (answer, events)
    }
}
