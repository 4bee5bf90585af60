//! The processes whose metrics are kept.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::incoming::WORKER;
use super::{Conflict, Conflicts, Disagreement};
use crate::exposition::Labels;
use crate::model::SlotId;

/// Number of ended processes to remember, so that a late answer is not counted again. More than can be asked at the
/// same time.
const REMEMBERED: usize = 4096;

/// Limit of distinct conflicts for one worker, and (below) for all workers.
const CONFLICTS: usize = 256;
const FIRSTS: usize = 4096;

/// One process: a unique number, higher for a younger process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey(pub u64);

/// State of one process.
#[derive(Debug)]
struct KnownProcess {
    slot: SlotId,
    /// The process itself, or the worker that is its ancestor.
    worker: ProcessKey,
    /// Whether it answered the last time.
    answered: bool,
    /// Its conflicts, as hashes.
    conflicts: BTreeSet<u64>,
}

/// A process whose gauges are shown.
#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) slot: SlotId,
    pub(super) process: ProcessKey,
    /// The value of the label `worker`.
    text: Box<str>,
    /// The label set with only that label. Shared, because most gauges have no other label.
    alone: Labels,
}

impl Speaker {
    fn new(slot: SlotId, process: ProcessKey) -> Self {
        let text = slot.to_string();
        Self {
            slot,
            process,
            alone: Labels::default().with(WORKER, &text),
            text: text.into(),
        }
    }

    /// The labels of a series of this worker.
    pub(super) fn label(&self, labels: &Labels) -> Labels {
        if labels.is_empty() {
            self.alone.clone()
        } else {
            labels.with(WORKER, &self.text)
        }
    }
}

/// All known processes.
#[derive(Debug, Default)]
pub(super) struct KnownProcesses {
    known: BTreeMap<ProcessKey, KnownProcess>,
    /// The last ended ones, oldest first, and the same as a set.
    ended: VecDeque<ProcessKey>,
    is_ended: HashSet<ProcessKey>,
    /// All conflicts so far, as hashes.
    conflicts: BTreeSet<u64>,
    pub(super) counted: Conflicts,
}

impl KnownProcesses {
    /// Records that `process`, a process of the worker `worker`, was asked. False if it has ended.
    pub(super) fn asked(
        &mut self,
        slot: SlotId,
        worker: ProcessKey,
        process: ProcessKey,
        answered: bool,
    ) -> bool {
        if self.is_ended.contains(&process) {
            return false;
        }
        let known = self.known.entry(process).or_insert_with(|| KnownProcess {
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

    /// Records the end of a process.
    pub(super) fn end(&mut self, process: ProcessKey) {
        self.known.remove(&process);
        if self.is_ended.insert(process) {
            self.ended.push_back(process);
        }
        if self.ended.len() > REMEMBERED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.is_ended.remove(&oldest);
        }
    }

    /// The processes whose gauges are shown, sorted by slot and then by age, oldest first: of each slot the youngest
    /// worker and its children, if they answered.
    pub(super) fn speakers(&self) -> Vec<Speaker> {
        let mut youngest = BTreeMap::new();
        for known in self.known.values() {
            let worker = youngest.entry(known.slot).or_insert(known.worker);
            *worker = known.worker.max(*worker);
        }
        let speaks = |known: &KnownProcess| {
            known.answered && youngest.get(&known.slot) == Some(&known.worker)
        };
        let all = self.known.iter().filter(|(_, known)| speaks(known));
        let mut speakers: Vec<_> = all.map(|(process, known)| (known.slot, *process)).collect();
        speakers.sort_unstable();
        let speakers = speakers.into_iter();
        speakers
            .map(|(slot, process)| Speaker::new(slot, process))
            .collect()
    }

    /// Records a conflict of `process`. Returns it the first time for each name.
    pub(super) fn conflict(
        &mut self,
        process: ProcessKey,
        kind: Disagreement,
        name: &str,
    ) -> Option<Conflict> {
        let mut hasher = DefaultHasher::new();
        (kind, name).hash(&mut hasher);
        let hash = hasher.finish();
        let own = &mut self.known.get_mut(&process)?.conflicts;
        if own.len() >= CONFLICTS || !own.insert(hash) {
            return None;
        }
        self.counted.add(kind);
        let first = self.conflicts.len() < FIRSTS && self.conflicts.insert(hash);
        let name = name.into();
        Some(Conflict { kind, name, first })
    }
}
