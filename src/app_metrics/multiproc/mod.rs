//! What Python programs count in files: prometheus_client's multiprocess mode (`PROMETHEUS_MULTIPROC_DIR`).
//!
//! Each process writes files of its own into one directory, one for each type of metric and each mode of gauges, by
//! memory maps and without locks. They are read here with plain reads while they are written, and become one page for
//! each process, which the [merger](super::merge) takes. Files of prometheus_client 0.4 and later are known.
//!
//! A pid stands for one [`Life`](super::merge::Life), be it a worker or what a worker forked; a pid that comes back after
//! its files were removed is another life. What the caller does:
//!
//! - When it starts, before any worker: [`Store::open`].
//! - At each collection: [`Store::read`]; `Merger::suggest` with the modes; for each process `Merger::take`, or
//!   `Merger::take_child` with the worker that it descends from, which has the slot.
//! - When a worker has died: [`Store::last`], take that page, `Merger::gone`, [`Store::remove`], in this order and before
//!   another is started: a process that got the same pid would go on with the numbers of the old files.
//! - Nobody tells that a child of a worker has died. Which pids are no processes any more is looked up before a reading;
//!   after it, what they said last is taken, and they are forgotten in the same way.

mod file;
mod key;
mod name;
mod pages;
mod process;
mod store;

#[cfg(test)]
mod tests;

pub use name::{Content, FileName, Mode};
pub use pages::{Limits, Pages, Reading};
pub use store::Store;
