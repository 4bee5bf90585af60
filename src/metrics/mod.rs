//! What the runtime tells Prometheus of itself: names, help and the page.
//!
//! Counters of events live in a registry of our own. What is a state (the snapshot, the queues, /proc) is turned into
//! families at each scrape, so that nothing can go stale. The label `worker` is the slot, never a pid.

mod app;
mod cgroup;
mod family;
mod log;
mod page;
mod process;
mod proportional;
mod roll;
mod workers;

#[cfg(test)]
mod tests;

pub use cgroup::CgroupCounters;
pub use page::{CgroupLimits, Facts, Metrics, Scrape};
