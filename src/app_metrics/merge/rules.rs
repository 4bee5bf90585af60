//! How gauges of several workers become one, and how much is held.

use super::Pattern;
use super::suggestions::Suggestions;
pub use crate::model::Aggregation;

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
    /// What becomes of the gauge of that name: as the user says, or the program, or as it is everywhere.
    pub(super) fn aggregation(&self, suggestions: &Suggestions, name: &str) -> Aggregation {
        let mut rules = self.gauges.iter();
        match rules.find(|(pattern, _)| pattern.matches(name)) {
            Some((_, aggregation)) => *aggregation,
            None => suggestions.get(name).unwrap_or_else(|| known(name)),
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
