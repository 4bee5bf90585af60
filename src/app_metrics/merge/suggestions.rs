//! Aggregations that the program itself asks for.

use std::collections::BTreeMap;

use super::Aggregation;

/// Most suggestions to keep. A gauge beyond this limit gets the default.
pub(super) const MOST: usize = 4096;

/// By gauge name in text 0.0.4.
#[derive(Debug, Default)]
pub(super) struct Suggestions(BTreeMap<Box<str>, Aggregation>);

impl Suggestions {
    /// Keeps the first suggestions by name.
    pub(super) fn new(all: BTreeMap<Box<str>, Aggregation>) -> Self {
        Self(all.into_iter().take(MOST).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<Aggregation> {
        self.0.get(name).copied()
    }
}
