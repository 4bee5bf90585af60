//! The processes whose metrics are held.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Conflict, Conflicts, Disagreement};
use crate::model::SlotId;

/// Ended ones that are remembered: an answer that was on its way must not be counted twice. More than can be asked at
/// once.
const REMEMBERED: usize = 4096;

/// Conflicts that are told apart for one worker, and first ones for all.
const CONFLICTS: usize = 256;
const FIRSTS: usize = 4096;

/// One process: a number that no other has, larger for a younger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life(pub u64);

/// What is known of one.
#[derive(Debug)]
struct Known {
    slot: SlotId,
    /// The last time it was asked.
    answered: bool,
    /// What it does not agree about, as hashes.
    conflicts: BTreeSet<u64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Lives {
    known: BTreeMap<Life, Known>,
    ended: VecDeque<Life>,
    /// The conflicts that any had, as hashes.
    conflicts: BTreeSet<u64>,
    pub(super) counted: Conflicts,
}

impl Lives {
    /// Notes that `life` was asked; `false` if it has ended.
    pub(super) fn asked(&mut self, slot: SlotId, life: Life, answered: bool) -> bool {
        if self.ended.contains(&life) {
            return false;
        }
        let known = self.known.entry(life).or_insert_with(|| Known {
            slot,
            answered,
            conflicts: BTreeSet::new(),
        });
        known.slot = slot;
        known.answered = answered;
        true
    }

    /// It ended.
    pub(super) fn gone(&mut self, life: Life) {
        self.known.remove(&life);
        if !self.ended.contains(&life) {
            self.ended.push_back(life);
        }
        if self.ended.len() > REMEMBERED {
            self.ended.pop_front();
        }
    }

    /// Those whose gauges count, in the order of their slots: the youngest of each, if it answered.
    pub(super) fn speakers(&self) -> Vec<(SlotId, Life)> {
        let mut youngest = BTreeMap::new();
        // From the oldest on.
        for (life, known) in &self.known {
            youngest.insert(known.slot, (*life, known.answered));
        }
        let answered = youngest.into_iter().filter(|(_, (_, answered))| *answered);
        answered.map(|(slot, (life, _))| (slot, life)).collect()
    }

    /// Counts a conflict of `life`, once for each name.
    pub(super) fn conflict(
        &mut self,
        life: Life,
        kind: Disagreement,
        name: &str,
    ) -> Option<Conflict> {
        let mut hasher = DefaultHasher::new();
        (kind, name).hash(&mut hasher);
        let hash = hasher.finish();
        let own = &mut self.known.get_mut(&life)?.conflicts;
        if own.len() >= CONFLICTS || !own.insert(hash) {
            return None;
        }
        self.counted.add(kind);
        let first = self.conflicts.len() < FIRSTS && self.conflicts.insert(hash);
        let name = name.into();
        Some(Conflict { kind, name, first })
    }
}
