//! Reads metrics files of Python programs: prometheus_client's multiprocess mode (`PROMETHEUS_MULTIPROC_DIR`).
//!
//! Each process writes its own files into one directory, one for each type of metric and each mode of gauges, through
//! memory maps and without locks. This module reads them while they are written and makes one page for each process,
//! for the [merger](super::merge). It supports files of prometheus_client 0.4 and later.
//!
//! A PID stands for one [`ProcessKey`](super::merge::ProcessKey): a worker, or a child of a worker. A PID that is used again after
//! its files were removed is another process. The caller must do the following:
//!
//! - At the start, before any worker: [`Store::open`].
//! - At each collection: [`Store::list`] and [`Store::read_listed`]; `Merger::suggest` with the modes; for each process `Merger::take`, or
//!   `Merger::take_child` with the worker from which it descends (the worker has the slot).
//! - When a worker has ended: [`Store::last`], take that page, `Merger::process_ended`, [`Store::remove`], in this order and
//!   before another worker starts: a process with the same PID would continue with the numbers in the old files.
//! - The end of a worker's child is not reported. So between the two, look up which of the listed PIDs no longer exist:
//!   what is then read of them is final. Take it, and remove the listed files ([`Store::remove_listed`]).

mod file;
mod key;
mod name;
mod pages;
mod process;
mod store;

#[cfg(test)]
mod tests;

pub use name::{Content, FileName, Mode};
pub use pages::{Pages, Reading, StoreLimits};
pub use store::{Listing, Store};
