//! The runtime's own metrics: names, help texts and the page.
//!
//! Counters of events are in a registry. State (the snapshot, the queues, /proc) is converted to families at each
//! scrape, so it is never stale. The label `worker` is the slot, never a PID.

mod app;
mod cgroup;
mod control;
mod exact_memory;
mod family;
mod follow;
mod log;
mod node;
mod page;
mod process;
mod roll;
mod workers;

#[cfg(test)]
mod tests;

pub use cgroup::CgroupCounters;
pub use control::{CONTROL_COMMANDS, ControlFault};
pub use page::{Facts, Metrics, Scrape};
