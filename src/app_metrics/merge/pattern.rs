//! Patterns of metric names.

use crate::exposition::is_metric_name;

/// A metric's name, in which `*` stands for any letters or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(glob::Pattern);

impl Pattern {
    /// `None` if no name could match, or if stars stand side by side.
    pub fn new(text: &str) -> Option<Self> {
        // Each star may stand for the letter that a name may begin with; whatever else a glob knows is in no name.
        if !is_metric_name(&text.replace('*', "_")) {
            return None;
        }
        glob::Pattern::new(text).ok().map(Self)
    }

    /// Whether it matches the whole of `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.0.matches(name)
    }
}
