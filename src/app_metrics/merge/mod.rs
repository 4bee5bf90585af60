//! Merges the metrics of all workers.
//!
//! - Counters: the sum over all workers since the runtime started, ended workers included. They never decrease, neither
//!   when a worker ends nor when it restarts its counters from zero.
//! - Histograms and summaries: the same for every bucket, count and sum, where the values of one page are taken
//!   together. While workers have different bounds, only the common bounds are shown. When the last worker with the old
//!   bounds has ended and all workers with the new bounds are younger, the counts of ended workers are dropped; this is
//!   the only time that a count decreases. Quantiles cannot be merged.
//! - Everything else: one series for each worker, with the label `worker`, or aggregated as RPM_APP_METRICS_GAUGES
//!   says; from the youngest worker of each slot, if it answered. The processes of one worker count together.
//! - If workers disagree, the first one wins; the family of the other is left out while the first lives.
//!
//! Pure: no clock, no files. The order of the output does not depend on the order of the input.

mod account;
mod counters;
mod family;
mod gauges;
mod groups;
mod incoming;
mod layout;
mod merger;
mod observations;
mod observed;
mod pattern;
mod processes;
mod report;
mod rules;
mod series;
mod suggestions;
mod visit;

#[cfg(test)]
mod tests;

pub use merger::Merger;
pub use pattern::Pattern;
pub use processes::ProcessKey;
pub use report::{Conflict, Conflicts, Disagreement};
pub use rules::{Aggregation, Rules};
