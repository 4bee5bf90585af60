//! Patterns for metric names.

use crate::exposition::is_metric_name;

/// A pattern for a metric name, in which `*` matches any characters or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(glob::Pattern);

impl Pattern {
    /// `None` if no valid name could match, or if stars are adjacent.
    pub fn new(text: &str) -> Option<Self> {
        // Each star may stand for the first character of a name. Other special characters of globs do not occur in
        // names.
        if !is_metric_name(&text.replace('*', "_")) {
            return None;
        }
        glob::Pattern::new(text).ok().map(Self)
    }

    /// Whether the pattern matches the whole name.
    pub fn matches(&self, name: &str) -> bool {
        self.0.matches(name)
    }
}
