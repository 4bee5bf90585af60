//! What the runtime tells Prometheus of itself: names, help and the text page.
//!
//! Counters of events live in a registry of our own. What is a state (the snapshot, the queues, /proc) is turned into
//! families at each scrape, so that nothing can go stale. The label `worker` is the slot, never a pid.
#![forbid(unsafe_code)]

mod family;
mod page;
mod process;
mod roll;
mod workers;

#[cfg(test)]
mod tests;

pub use page::{CONTENT_TYPE, CgroupLimits, Facts, Metrics, Scrape};
