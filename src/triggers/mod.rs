//! Triggers of an automatic reload: a time of day, a changed file, a worker that uses too much memory. And of another number
//! of workers: changed limits. Each sends [`Fired`]; the supervisor decides what follows.

mod follow;
mod memory;
mod points;
mod resolve;
mod schedule;
mod watch;

use std::path::PathBuf;

use crate::model::Pid;
use crate::policy::Bytes;
use crate::policy::follow::Step;

pub use follow::{Granted, follow};
pub use memory::memory;
pub use schedule::schedule;
pub use watch::{WatchedPaths, watch};

/// An event of a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fired {
    /// A time of RPM_CRON_RELOAD has come.
    Schedule,
    /// Something below RPM_WATCH changed, followed by a time without changes.
    Files {
        /// The first change.
        path: PathBuf,
    },
    /// A worker was above RPM_MAX_MEMORY in two measurements in a row. Sent once for each worker.
    Memory {
        /// The worker.
        pid: Pid,
        /// Memory of the worker and its process group, bytes.
        bytes: u64,
        /// The limit that it was above.
        limit: Bytes,
    },
    /// The limits of the container have changed, or cannot be followed.
    Limits(Step),
    /// RPM_WATCH is active. Sent once.
    Watching {
        /// Number of watched files and directories.
        watches: usize,
    },
    /// RPM_WATCH is not, or only partly, active.
    Unwatched {
        /// What is not watched and why, for the log.
        text: String,
    },
}
