//! The processes whose metrics are held.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::incoming::WORKER;
use super::{Conflict, Conflicts, Disagreement};
use crate::exposition::Labels;
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
    /// Itself, or the worker that it descends from.
    worker: Life,
    /// The last time it was asked.
    answered: bool,
    /// What it does not agree about, as hashes.
    conflicts: BTreeSet<u64>,
}

/// One whose gauges count.
#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) slot: SlotId,
    pub(super) life: Life,
    /// The value of the label that tells the workers apart.
    text: Box<str>,
    /// That label alone: most gauges have no other, and share it.
    alone: Labels,
}

impl Speaker {
    fn new(slot: SlotId, life: Life) -> Self {
        let text = slot.to_string();
        Self {
            slot,
            life,
            alone: Labels::default().with(WORKER, &text),
            text: text.into(),
        }
    }

    /// The labels of a series of its own.
    pub(super) fn label(&self, labels: &Labels) -> Labels {
        if labels.is_empty() {
            self.alone.clone()
        } else {
            labels.with(WORKER, &self.text)
        }
    }
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
    /// Notes that `life`, of the worker `worker`, was asked; `false` if it has ended.
    pub(super) fn asked(&mut self, slot: SlotId, worker: Life, life: Life, answered: bool) -> bool {
        if self.ended.contains(&life) {
            return false;
        }
        let known = self.known.entry(life).or_insert_with(|| Known {
            slot,
            worker,
            answered,
            conflicts: BTreeSet::new(),
        });
        known.slot = slot;
        known.worker = worker;
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

    /// Those whose gauges count, in the order of their slots and from the oldest on: the youngest worker of each slot
    /// and its other processes, if they answered.
    pub(super) fn speakers(&self) -> Vec<Speaker> {
        let mut youngest = BTreeMap::new();
        for known in self.known.values() {
            let worker = youngest.entry(known.slot).or_insert(known.worker);
            *worker = known.worker.max(*worker);
        }
        let speaks =
            |known: &Known| known.answered && youngest.get(&known.slot) == Some(&known.worker);
        let all = self.known.iter().filter(|(_, known)| speaks(known));
        let mut speakers: Vec<_> = all.map(|(life, known)| (known.slot, *life)).collect();
        speakers.sort_unstable();
        let speakers = speakers.into_iter();
        speakers
            .map(|(slot, life)| Speaker::new(slot, life))
            .collect()
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
