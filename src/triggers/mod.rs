//! What causes a reload by itself: a time of day, a changed file, a worker that grew too large. Each is a source of
//! [`Fired`]; what follows is the supervisor's business.

mod memory;
mod points;
mod resolve;
mod schedule;
mod watch;

use std::path::PathBuf;

use crate::model::Pid;

pub use memory::memory;
pub use schedule::schedule;
pub use watch::{Watch, watch};

/// What a trigger has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fired {
    /// A time of RPM_CRON_RELOAD has come.
    Schedule,
    /// Something below RPM_WATCH changed, and nothing more since.
    Files {
        /// What changed first.
        path: PathBuf,
    },
    /// A worker was found above RPM_MAX_MEMORY twice in a row. Said once of each.
    Memory {
        /// The worker.
        pid: Pid,
        /// What it and its process group use.
        bytes: u64,
    },
    /// RPM_WATCH is in force from now on. Said once.
    Watching {
        /// Files and directories that are watched for it.
        watches: usize,
    },
    /// RPM_WATCH is not, or not wholly, in force: a line for the log.
    Unwatched {
        /// What is not watched, and why.
        text: String,
    },
}
