//! All families of all workers.

use std::collections::BTreeMap;

use super::account::{Budget, Cost};
use super::family::{Merged, Taking};
use super::incoming::{plain, rename_label};
use super::processes::{KnownProcesses, ProcessKey};
use super::report::{Conflict, Conflicts, Disagreement};
use super::rules::{Aggregation, Rules};
use super::suggestions::Suggestions;
use crate::exposition::{Dropped, Family, Page, Sample, Suffix};
use crate::model::SlotId;

/// Prefix of the runtime's own metrics.
const OWN: &str = "rpm_";

/// Keeps the last values of every worker and the counts of ended workers.
#[derive(Debug)]
pub struct Merger {
    rules: Rules,
    suggestions: Suggestions,
    budget: Budget,
    /// By their name in text 0.0.4.
    families: BTreeMap<Box<str>, Merged>,
    /// The owning family of each sample name.
    owners: BTreeMap<Box<str>, Box<str>>,
    processes: KnownProcesses,
    /// Number of pages so far.
    turns: u64,
    dropped: Dropped,
}

impl Merger {
    /// Creates an empty merger.
    pub fn new(rules: Rules) -> Self {
        Self {
            budget: Budget::new(Cost::new(rules.series, rules.bytes)),
            rules,
            suggestions: Suggestions::default(),
            families: BTreeMap::new(),
            owners: BTreeMap::new(),
            processes: KnownProcesses::default(),
            turns: 0,
            dropped: Dropped::default(),
        }
    }

    /// Takes the answer of the worker `process` of `slot`: a page from [`parse`](crate::exposition::parse) or
    /// [`Parsed::of`](crate::exposition::Parsed::of). Only ready workers are asked. The counters of a retiring worker
    /// count, but its gauges do not once a younger worker of its slot was asked. The page of a process that is known to
    /// have ended is ignored. Returns new conflicts.
    pub fn take(&mut self, slot: SlotId, process: ProcessKey, page: Page) -> Vec<Conflict> {
        self.take_child(slot, process, process, page)
    }

    /// As [`Self::take`], for a process `process` that descends from the worker `worker` of `slot`. Its gauges count as
    /// long as those of the worker do. Where each worker has a series, the values of its processes are added up.
    pub fn take_child(
        &mut self,
        slot: SlotId,
        worker: ProcessKey,
        process: ProcessKey,
        page: Page,
    ) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        if !self.processes.asked(slot, worker, process, true) {
            return conflicts;
        }
        self.turns += 1;
        let mut room = self.rules.worker_series;
        for family in page.families {
            let series = family.samples.len();
            if series > room {
                self.dropped.limit += series as u64;
                continue;
            }
            room -= series;
            self.family(process, family, &mut conflicts);
        }
        for family in self.families.values_mut() {
            family.silent(process, self.turns, &mut self.budget);
        }
        self.forget_empty();
        conflicts
    }

    /// Records that the worker `process` of `slot` did not answer: its counters stay, its gauges are not shown.
    pub fn missing(&mut self, slot: SlotId, process: ProcessKey) {
        self.processes.asked(slot, process, process, false);
    }

    /// Sets the aggregations that the program itself asks for, by the gauge's name in text 0.0.4. They apply where no
    /// rule matches, and replace all earlier ones. Their number is limited.
    pub fn suggest(&mut self, gauges: BTreeMap<Box<str>, Aggregation>) {
        self.suggestions = Suggestions::new(gauges);
    }

    /// Records the end of a worker: its counts stay, everything else is removed.
    pub fn process_ended(&mut self, process: ProcessKey) {
        self.processes.end(process);
        for family in self.families.values_mut() {
            family.process_ended(process, &mut self.budget);
        }
        self.forget_empty();
    }

    /// Adds series that [`parse`](crate::exposition::parse) already left out.
    pub fn note_dropped(&mut self, dropped: Dropped) {
        self.dropped.limit += dropped.limit;
        self.dropped.invalid += dropped.invalid;
    }

    /// All families with at least one sample, sorted by their name in text 0.0.4; samples are sorted by labels.
    pub fn merged(&self) -> Vec<Family> {
        let speakers = self.processes.speakers();
        let families = self.families.iter();
        families
            .filter(|(name, family)| family.counts() || !self.is_beginning(name))
            .map(|(name, family)| family.merged(name, &self.rules, &self.suggestions, &speakers))
            .filter(|family| !family.samples.is_empty())
            .collect()
    }

    /// Number of conflicts between workers. Never decreases.
    pub fn conflicts(&self) -> Conflicts {
        self.processes.counted
    }

    /// Number of series left out, counted each time. Never decreases.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Number of series in memory, including those of ended workers.
    pub fn series(&self) -> usize {
        self.budget.used().series
    }

    /// Estimated memory of the series, bytes.
    pub fn bytes(&self) -> usize {
        self.budget.used().bytes
    }

    /// Whether its name is that of a `_created` series of another family, which is not exported.
    fn is_beginning(&self, name: &str) -> bool {
        name.strip_suffix(Suffix::Created.text())
            .is_some_and(|name| {
                let counter = format!("{name}{}", Suffix::Total.text());
                let named = [self.families.get(name), self.families.get(&*counter)];
                named.into_iter().flatten().any(Merged::counts)
            })
    }

    fn family(&mut self, process: ProcessKey, mut family: Family, conflicts: &mut Vec<Conflict>) {
        if is_own(&family) {
            self.dropped.invalid += family.samples.len() as u64;
            return;
        }
        plain(&mut family, &mut self.dropped);
        if family.samples.is_empty() {
            return;
        }
        let name: Box<str> = family.text_name().into();
        let mut conflict = |processes: &mut KnownProcesses, kind| {
            conflicts.extend(processes.conflict(process, kind, &name));
        };
        if rename_label(&mut family) {
            conflict(&mut self.processes, Disagreement::Label);
        }
        match self.place(process, &name, &family) {
            Place::Ready => {}
            Place::Taken => return conflict(&mut self.processes, Disagreement::Type),
            Place::NoRoom => {
                self.dropped.limit += family.samples.len() as u64;
                return;
            }
        }
        let Some(merged) = self.families.get_mut(&name) else {
            return;
        };
        let mut taking = Taking {
            process,
            turn: self.turns,
            budget: &mut self.budget,
            dropped: &mut self.dropped,
        };
        let differs = merged.take(family, &mut taking);
        if differs.help {
            conflict(&mut self.processes, Disagreement::Help);
        }
        if differs.buckets {
            conflict(&mut self.processes, Disagreement::Buckets);
        }
    }

    /// Makes `family` of `process` mergeable: finds or creates its merged family.
    fn place(&mut self, process: ProcessKey, name: &str, family: &Family) -> Place {
        if self
            .families
            .get(name)
            .is_some_and(|there| there.is_like(family))
        {
            return Place::Ready;
        }
        let new = Merged::new(process, family);
        let mut in_the_way: Vec<Box<str>> = vec![name.into()];
        in_the_way.extend(
            new.claims()
                .filter_map(|claim| self.owners.get(&*claim).cloned()),
        );
        let is_left = |name: &str| {
            self.families
                .get(name)
                .is_none_or(|there| there.is_left(process, self.turns))
        };
        if !in_the_way.iter().all(|name| is_left(name)) {
            return Place::Taken;
        }
        // All old owners are gone, so the name is free for younger processes.
        for old in in_the_way {
            self.forget(&old);
        }
        self.add(name, new)
    }

    fn add(&mut self, name: &str, mut family: Merged) -> Place {
        const NAME: usize = 128;
        let claims: Vec<Box<str>> = family.claims().map(Into::into).collect();
        let bytes = (claims.len() + 1) * (NAME + name.len()) + size_of::<Merged>();
        if !family.charge(Cost::bytes(bytes), &mut self.budget) {
            return Place::NoRoom;
        }
        for claim in claims {
            self.owners.insert(claim, name.into());
        }
        self.families.insert(name.into(), family);
        Place::Ready
    }

    fn forget(&mut self, name: &str) {
        let Some(family) = self.families.remove(name) else {
            return;
        };
        for claim in family.claims() {
            self.owners.remove(&*claim);
        }
        family.forget(&mut self.budget);
    }

    fn forget_empty(&mut self) {
        let empty = self.families.iter().filter(|(_, family)| family.is_empty());
        let names: Vec<Box<str>> = empty.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.forget(&name);
        }
    }
}

/// Whether a sample of it would have a name of the runtime's own.
fn is_own(family: &Family) -> bool {
    let named = |sample: &Sample| sample.suffix.text().starts_with('_');
    let bare = OWN.trim_end_matches('_');
    family.name.starts_with(OWN) || *family.name == *bare && family.samples.iter().any(named)
}

/// Whether a family can be merged.
enum Place {
    Ready,
    /// Another family that a living process exports has its name, or the name of one of its samples.
    Taken,
    NoRoom,
}
