//! All families of all workers.

use std::collections::BTreeMap;

use super::account::{Budget, Cost};
use super::family::{Merged, Taking};
use super::incoming::{plain, rename_label};
use super::processes::{Life, Lives};
use super::report::{Conflict, Conflicts, Disagreement};
use super::rules::{Aggregation, Rules};
use super::suggestions::Suggestions;
use crate::exposition::{Dropped, Family, Page, Sample, Suffix};
use crate::model::SlotId;

/// How the names of the runtime's own metrics begin.
const OWN: &str = "rpm_";

/// Holds what every worker said last, and what the ended ones counted.
#[derive(Debug)]
pub struct Merger {
    rules: Rules,
    suggestions: Suggestions,
    budget: Budget,
    /// By the name that text 0.0.4 gives them.
    families: BTreeMap<Box<str>, Merged>,
    /// The families that samples' names belong to.
    owners: BTreeMap<Box<str>, Box<str>>,
    lives: Lives,
    /// Pages so far.
    turns: u64,
    dropped: Dropped,
}

impl Merger {
    /// Holds nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            budget: Budget::new(Cost::new(rules.series, rules.bytes)),
            rules,
            suggestions: Suggestions::default(),
            families: BTreeMap::new(),
            owners: BTreeMap::new(),
            lives: Lives::default(),
            turns: 0,
            dropped: Dropped::default(),
        }
    }

    /// What the worker `life` of `slot` answered: a page as [`parse`](crate::exposition::parse) or
    /// [`Parsed::of`](crate::exposition::Parsed::of) makes it. Only ready workers are asked; one that is
    /// retiring still counts, but its gauges do not if a younger one of its slot was asked. What comes from one that is
    /// known as gone is not taken. Returns the conflicts that were not there before.
    pub fn take(&mut self, slot: SlotId, life: Life, page: Page) -> Vec<Conflict> {
        self.take_child(slot, life, life, page)
    }

    /// The same of a process, `life`, that descends from the worker `worker` of `slot`: its gauges count as long as the
    /// worker's do. Where each worker has a series, what its processes say is added up.
    pub fn take_child(
        &mut self,
        slot: SlotId,
        worker: Life,
        life: Life,
        page: Page,
    ) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        if !self.lives.asked(slot, worker, life, true) {
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
            self.family(life, family, &mut conflicts);
        }
        for family in self.families.values_mut() {
            family.silent(life, self.turns, &mut self.budget);
        }
        self.forget_empty();
        conflicts
    }

    /// The worker `life` of `slot` was asked and did not answer: its counters stay as they were, its gauges are not shown.
    pub fn missing(&mut self, slot: SlotId, life: Life) {
        self.lives.asked(slot, life, life, false);
    }

    /// What the program asks to be made of gauges, by the names that text 0.0.4 gives them: it counts where no rule
    /// says otherwise, and in place of all that was suggested before. Only so many are held.
    pub fn suggest(&mut self, gauges: BTreeMap<Box<str>, Aggregation>) {
        self.suggestions = Suggestions::new(gauges);
    }

    /// The worker ended: what it counted stays, the rest goes.
    pub fn gone(&mut self, life: Life) {
        self.lives.gone(life);
        for family in self.families.values_mut() {
            family.gone(life, &mut self.budget);
        }
        self.forget_empty();
    }

    /// Adds what was left out before it came here, by [`parse`](crate::exposition::parse).
    pub fn note_dropped(&mut self, dropped: Dropped) {
        self.dropped.limit += dropped.limit;
        self.dropped.invalid += dropped.invalid;
    }

    /// All families that have a sample: ordered by the name that text 0.0.4 gives them, their samples by their labels.
    pub fn merged(&self) -> Vec<Family> {
        let speakers = self.lives.speakers();
        let families = self.families.iter();
        families
            .filter(|(name, family)| family.counts() || !self.is_beginning(name))
            .map(|(name, family)| family.merged(name, &self.rules, &self.suggestions, &speakers))
            .filter(|family| !family.samples.is_empty())
            .collect()
    }

    /// What workers did not agree about. Never falls.
    pub fn conflicts(&self) -> Conflicts {
        self.lives.counted
    }

    /// Series that were left out, each time. Never falls.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Series that are held, those of ended workers with them.
    pub fn series(&self) -> usize {
        self.budget.used().series
    }

    /// Memory that they take, in bytes, as estimated.
    pub fn bytes(&self) -> usize {
        self.budget.used().bytes
    }

    /// Whether it is named as when a series of another family began, which is not told.
    fn is_beginning(&self, name: &str) -> bool {
        name.strip_suffix(Suffix::Created.text())
            .is_some_and(|name| {
                let counter = format!("{name}{}", Suffix::Total.text());
                let named = [self.families.get(name), self.families.get(&*counter)];
                named.into_iter().flatten().any(Merged::counts)
            })
    }

    fn family(&mut self, life: Life, mut family: Family, conflicts: &mut Vec<Conflict>) {
        if is_own(&family) {
            self.dropped.invalid += family.samples.len() as u64;
            return;
        }
        plain(&mut family, &mut self.dropped);
        if family.samples.is_empty() {
            return;
        }
        let name: Box<str> = family.text_name().into();
        let mut conflict =
            |lives: &mut Lives, kind| conflicts.extend(lives.conflict(life, kind, &name));
        if rename_label(&mut family) {
            conflict(&mut self.lives, Disagreement::Label);
        }
        match self.place(life, &name, &family) {
            Place::Ready => {}
            Place::Taken => return conflict(&mut self.lives, Disagreement::Type),
            Place::NoRoom => {
                self.dropped.limit += family.samples.len() as u64;
                return;
            }
        }
        let Some(merged) = self.families.get_mut(&name) else {
            return;
        };
        let mut taking = Taking {
            life,
            turn: self.turns,
            budget: &mut self.budget,
            dropped: &mut self.dropped,
        };
        let differs = merged.take(family, &mut taking);
        if differs.help {
            conflict(&mut self.lives, Disagreement::Help);
        }
        if differs.buckets {
            conflict(&mut self.lives, Disagreement::Buckets);
        }
    }

    /// Makes room among the others for `family`, as `life` has it.
    fn place(&mut self, life: Life, name: &str, family: &Family) -> Place {
        if self
            .families
            .get(name)
            .is_some_and(|there| there.is_like(family))
        {
            return Place::Ready;
        }
        let new = Merged::new(life, family);
        let mut in_the_way: Vec<Box<str>> = vec![name.into()];
        in_the_way.extend(
            new.claims()
                .filter_map(|claim| self.owners.get(&*claim).cloned()),
        );
        let is_left = |name: &str| {
            self.families
                .get(name)
                .is_none_or(|there| there.is_left(life, self.turns))
        };
        if !in_the_way.iter().all(|name| is_left(name)) {
            return Place::Taken;
        }
        // Whoever had it so is gone: the name is free for what the younger say.
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

/// Whether a sample of it is named as one of the runtime's.
fn is_own(family: &Family) -> bool {
    let named = |sample: &Sample| sample.suffix.text().starts_with('_');
    let bare = OWN.trim_end_matches('_');
    family.name.starts_with(OWN) || *family.name == *bare && family.samples.iter().any(named)
}

/// Whether a family can be merged.
enum Place {
    Ready,
    /// Its name, or that of its samples, is another's that somebody has.
    Taken,
    NoRoom,
}
