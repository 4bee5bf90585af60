//! What all workers' metrics are together.
//!
//! - Counters: what every worker added since the runtime began, ended ones too. They never fall, neither when a worker
//!   ends nor when one starts from zero again.
//! - Histograms and summaries: the same for every bucket, count and sum, from one page of a worker at a time. While
//!   workers differ in their bounds, those that all have are what is left; when the last with the old bounds is gone and
//!   the new ones are all younger, what ended workers counted is dropped (the one time that a count falls). Quantiles
//!   cannot be merged.
//! - Everything else: by worker, with the label `worker`, or put together as RPM_APP_METRICS_GAUGES says, from the
//!   youngest worker of each slot if it answered. What the processes of one worker say counts together.
//! - What workers do not agree about is as the first said; the other's family is left out while the first lives.
//!
//! Pure: no clock, no file. The order of what comes out does not depend on the order in which it came.

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
pub use processes::Life;
pub use report::{Conflict, Conflicts, Disagreement};
pub use rules::{Aggregation, Rules};
