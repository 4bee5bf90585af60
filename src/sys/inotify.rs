//! Changes of files, as the kernel reports them (inotify(7)).

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify as Kernel, WatchDescriptor};

use super::retry;

/// What is wanted to be known of a file or a directory. That it was read is never wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// A directory: what becomes of it, of the names in it, and of what they name.
    Contents,
    /// A directory: what becomes of it, and of the names in it.
    Names,
    /// A file or a directory: its content, its attributes, and what becomes of it.
    Itself,
    /// A file or a directory: what becomes of it.
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

/// Widens a watch that is there already instead of replacing it (IN_MASK_ADD, which nix has no name for).
const WIDEN: AddWatchFlags = AddWatchFlags::from_bits_retain(libc::IN_MASK_ADD);

/// One watch: two paths to one directory have the same.
pub type Watch = WatchDescriptor;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A name came to be, by creation or by a move.
    Appeared,
    /// A name is no more, by deletion or by a move.
    Vanished,
    /// Content or attributes changed.
    Altered,
    /// What was watched is not there any more: deleted, moved or unmounted.
    Gone,
    /// The watch is over; nothing more comes of it.
    Ended,
}

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Of one watch.
    Change {
        /// Whose.
        watch: Watch,
        /// The name in the directory; `None`: the watched thing itself.
        name: Option<OsString>,
        /// Whether it is a directory.
        directory: bool,
        /// What became of it.
        change: Change,
    },
    /// Reports were lost: the kernel's queue was full.
    Overflow,
}

/// An inotify instance, close-on-exec and non-blocking.
#[derive(Debug)]
pub struct Inotify(Kernel);

impl Inotify {
    /// EMFILE: the user's limit of instances (fs.inotify.max_user_instances), or of descriptors.
    pub fn new() -> nix::Result<Self> {
        Kernel::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map(Self)
    }

    /// Watches what is at `path`, or widens the watch that is on it. ENOSPC: the user's limit of watches
    /// (fs.inotify.max_user_watches).
    pub fn watch(&self, path: &Path, concern: Concern) -> nix::Result<Watch> {
        self.0.add_watch(path, concern.flags() | WIDEN)
    }

    /// Ends a watch; one that has ended already is no error.
    pub fn unwatch(&self, watch: Watch) {
        let _ = self.0.rm_watch(watch);
    }

    /// What has been reported; empty if nothing was. There may be more: ask again until it is empty.
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
