//! Rules for merging gauges, and limits.

use super::Pattern;
use super::suggestions::Suggestions;
pub use crate::model::Aggregation;

/// The rules of the merger.
#[derive(Clone, Debug)]
pub struct Rules {
    /// By gauge name in text 0.0.4; the first matching pattern counts.
    pub gauges: Vec<(Pattern, Aggregation)>,
    /// Most series of one worker's page.
    pub worker_series: usize,
    /// Most series in all, including those of ended workers.
    pub series: usize,
    /// Most memory for all series, bytes (estimated).
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
    /// The aggregation for the gauge `name`: from the user's rules, else from the program, else the default.
    pub(super) fn aggregation(&self, suggestions: &Suggestions, name: &str) -> Aggregation {
        let mut rules = self.gauges.iter();
        match rules.find(|(pattern, _)| pattern.matches(name)) {
            Some((_, aggregation)) => *aggregation,
            None => suggestions.get(name).unwrap_or_else(|| known(name)),
        }
    }
}

/// Defaults for well-known names.
fn known(name: &str) -> Aggregation {
    match name {
        // The oldest start time shows how long the program has run; the smallest limit shows how much room is left.
        "process_start_time_seconds" | "process_max_fds" => Aggregation::Min,
        // The same info from several workers is still 1.
        name if name.ends_with("_info") => Aggregation::Max,
        _ => Aggregation::Worker,
    }
}
