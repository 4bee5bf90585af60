//! What the program itself asks to be made of its gauges.

use std::collections::BTreeMap;

use super::Aggregation;

/// The most that are held. Without one, a gauge is as it would be had the program said nothing.
pub(super) const MOST: usize = 4096;

/// By the names of gauges, as text 0.0.4 writes them.
#[derive(Debug, Default)]
pub(super) struct Suggestions(BTreeMap<Box<str>, Aggregation>);

impl Suggestions {
    /// The first of them, by name.
    pub(super) fn new(all: BTreeMap<Box<str>, Aggregation>) -> Self {
        Self(all.into_iter().take(MOST).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<Aggregation> {
        self.0.get(name).copied()
    }
}
