//! How gauges of several workers become one, and how much is held.
#![forbid(unsafe_code)]

use super::Pattern;

/// What becomes of a gauge that several workers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// One series each, with the label `worker`.
    Worker,
    /// All together.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The one of the youngest worker.
    Last,
    /// All together, divided by the workers that have it.
    Avg,
    /// It is left out.
    Drop,
}

impl Aggregation {
    /// Every one, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Sum,
        Self::Max,
        Self::Min,
        Self::Last,
        Self::Avg,
        Self::Worker,
        Self::Drop,
    ];

    /// As it is written in RPM_APP_METRICS_GAUGES.
    pub fn word(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
            Self::Last => "last",
            Self::Avg => "avg",
            Self::Drop => "drop",
        }
    }
}

/// What the merger goes by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// By the names of gauges, as text 0.0.4 writes them; the first that matches counts.
    pub gauges: Vec<(Pattern, Aggregation)>,
    /// The most series of one worker's page.
    pub worker_series: usize,
    /// The most series in all, those of ended workers with them.
    pub series: usize,
    /// The most memory for all of them, in bytes, as estimated.
    pub bytes: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            gauges: Vec::new(),
            worker_series: 10_000,
            series: 200_000,
            bytes: 64 << 20,
        }
    }
}

impl Rules {
    /// What becomes of the gauge of that name.
    pub fn aggregation(&self, name: &str) -> Aggregation {
        let mut rules = self.gauges.iter();
        match rules.find(|(pattern, _)| pattern.matches(name)) {
            Some((_, aggregation)) => *aggregation,
            None => known(name),
        }
    }
}

/// Names that mean the same everywhere.
fn known(name: &str) -> Aggregation {
    match name {
        // The oldest tells how long the program has been there, the least how much room is left.
        "process_start_time_seconds" | "process_max_fds" => Aggregation::Min,
        // 1 for each worker that says the same: so it is once.
        name if name.ends_with("_info") => Aggregation::Max,
        _ => Aggregation::Worker,
    }
}
