//! File changes as the kernel reports them (inotify(7)).

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify as Kernel, WatchDescriptor};

use super::retry;

/// What to watch on a file or a directory. Reads are never reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// A directory: changes of the directory itself, of its entries, and of the content of the files in it.
    Contents,
    /// A directory: changes of the directory itself and of its entries.
    Names,
    /// A file or a directory: changes of its content and attributes, and its removal or move.
    Itself,
    /// A file or a directory: its removal or move.
    Place,
}

impl Concern {
    fn flags(self) -> AddWatchFlags {
        let place = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
        let names = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE;
        let content = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB;
        match self {
            Self::Contents => place | names | content | AddWatchFlags::IN_ONLYDIR,
            Self::Names => place | names | AddWatchFlags::IN_ONLYDIR,
            Self::Itself => place | content,
            Self::Place => place,
        }
    }
}

/// Extends an existing watch instead of replacing it (IN_MASK_ADD, for which nix has no name).
const WIDEN: AddWatchFlags = AddWatchFlags::from_bits_retain(libc::IN_MASK_ADD);

/// Identifies one watch. Two paths to the same directory have the same watch.
pub type WatchId = WatchDescriptor;

/// What happened to a watched file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// An entry appeared: it was created or moved here.
    Appeared,
    /// An entry disappeared: it was deleted or moved away.
    Vanished,
    /// Content or attributes changed.
    Altered,
    /// The watched file or directory is gone: deleted, moved or unmounted.
    Gone,
    /// The watch ended. It reports nothing more.
    Ended,
}

/// One report from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A change that one watch saw.
    Change {
        /// The watch that saw the change.
        watch: WatchId,
        /// The name of the entry in the directory. `None`: the watched object itself changed.
        name: Option<OsString>,
        /// Whether the changed object is a directory.
        directory: bool,
        /// What happened to it.
        change: Change,
    },
    /// The queue of the kernel was full, so reports were lost.
    Overflow,
}

/// An inotify instance, close-on-exec and non-blocking.
#[derive(Debug)]
pub struct Inotify(Kernel);

impl Inotify {
    /// Fails with EMFILE at the user's limit of instances (fs.inotify.max_user_instances) or at the limit of
    /// descriptors.
    pub fn new() -> nix::Result<Self> {
        Kernel::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map(Self)
    }

    /// Watches what is at `path`, or extends the existing watch on it. Fails with ENOSPC at the user's limit of watches
    /// (fs.inotify.max_user_watches).
    pub fn watch(&self, path: &Path, concern: Concern) -> nix::Result<WatchId> {
        self.0.add_watch(path, concern.flags() | WIDEN)
    }

    /// Ends a watch. A watch that has already ended is not an error.
    pub fn unwatch(&self, watch: WatchId) {
        let _ = self.0.rm_watch(watch);
    }

    /// Returns pending reports; empty if there are none. More may be pending: call again until the result is empty.
    pub fn read(&self) -> nix::Result<Vec<Event>> {
        match retry(|| self.0.read_events()) {
            Ok(events) => Ok(events.into_iter().filter_map(translate).collect()),
            Err(Errno::EAGAIN) => Ok(Vec::new()),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn translate(event: nix::sys::inotify::InotifyEvent) -> Option<Event> {
    let mask = event.mask;
    if mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
        return Some(Event::Overflow);
    }
    let appeared = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    let vanished = AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM;
    let altered = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB;
    let gone =
        AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_UNMOUNT;
    let change = if mask.intersects(appeared) {
        Change::Appeared
    } else if mask.intersects(vanished) {
        Change::Vanished
    } else if mask.intersects(altered) {
        Change::Altered
    } else if mask.intersects(gone) {
        Change::Gone
    } else if mask.contains(AddWatchFlags::IN_IGNORED) {
        Change::Ended
    } else {
        return None;
    };
    Some(Event::Change {
        watch: event.wd,
        name: event.name,
        directory: mask.contains(AddWatchFlags::IN_ISDIR),
        change,
    })
}
