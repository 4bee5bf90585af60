//! One histogram or summary: the observations of all workers, grouped by their bounds.

use std::sync::Arc;

use super::account::{Account, Cost};
use super::groups::Snap;
use super::layout::{Layout, common};
use super::processes::ProcessKey;
use super::series::{cost, is_newer, newer};
use crate::exposition::{Exemplar, Labels, Sample, Suffix};

/// Most layouts (sets of bounds) that are kept apart. A reload needs two.
const PARTS: usize = 4;

type Exemplars = Vec<Option<Box<Exemplar>>>;

/// One series.
#[derive(Debug)]
pub(super) struct Observations {
    /// One part for each layout; never empty.
    parts: Vec<Part>,
    /// The last values of each worker, sorted by process.
    seen: Vec<(ProcessKey, Snap)>,
}

/// Observations with one layout.
#[derive(Debug)]
struct Part {
    layout: Layout,
    counts: Box<[f64]>,
    /// `None` as soon as one worker had no sum.
    sum: Option<f64>,
    /// The youngest process that had this layout.
    youngest: ProcessKey,
    /// By bound; or empty.
    exemplars: Exemplars,
}

/// There is no room.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoRoom;

impl Observations {
    /// Creates a series from the first values.
    pub(super) fn new(process: ProcessKey, snap: Snap) -> Self {
        Self {
            parts: vec![Part::new(process, &snap)],
            seen: vec![(process, snap)],
        }
    }

    /// Cost of a new series without its labels.
    pub(super) fn cost(snap: &Snap) -> Cost {
        let Cost { series, bytes } = part_cost(&snap.layout);
        Cost::new(series, bytes + size_of::<Self>() + snap_bytes(snap))
    }

    /// Takes the values of `process`.
    pub(super) fn take(
        &mut self,
        process: ProcessKey,
        snap: Snap,
        account: &mut Account<'_>,
    ) -> Result<(), NoRoom> {
        let at = self
            .seen
            .binary_search_by_key(&process, |(process, _)| *process);
        let part = self
            .parts
            .iter_mut()
            .find(|part| Arc::ptr_eq(&part.layout, &snap.layout));
        if let (Ok(at), Some(part)) = (at, part)
            && Arc::ptr_eq(&self.seen[at].1.layout, &snap.layout)
        {
            part.go_on(&self.seen[at].1, &snap);
            self.seen[at].1 = snap;
            return Ok(());
        }
        // The worker is new, or has new bounds; in the latter case its counts restarted.
        self.begin(process, &snap, account)?;
        match at {
            Ok(at) => {
                account.refund(Cost::bytes(snap_bytes(&self.seen[at].1)));
                self.seen[at].1 = snap;
            }
            Err(at) => self.seen.insert(at, (process, snap)),
        }
        self.forget_old_layouts(account);
        Ok(())
    }

    /// Whether `process` has other bounds than the first worker.
    pub(super) fn differs(&self, process: ProcessKey) -> bool {
        if self.parts.len() < 2 {
            return false;
        }
        let at = self
            .seen
            .binary_search_by_key(&process, |(process, _)| *process);
        let own = at.ok().map(|at| &self.seen[at].1.layout);
        let first = self.parts.first().map(|part| &part.layout);
        own.zip(first)
            .is_some_and(|(own, first)| !Arc::ptr_eq(own, first))
    }

    /// Handles the end of a process: its observations stay.
    pub(super) fn process_ended(&mut self, process: ProcessKey, account: &mut Account<'_>) {
        if let Ok(at) = self
            .seen
            .binary_search_by_key(&process, |(process, _)| *process)
        {
            let (_, snap) = self.seen.remove(at);
            account.refund(Cost::bytes(snap_bytes(&snap)));
            self.forget_old_layouts(account);
        }
    }

    /// Notes the exemplars of the buckets that `process` has, if they are newer.
    pub(super) fn exemplify(
        &mut self,
        process: ProcessKey,
        new: Exemplars,
        account: &mut Account<'_>,
    ) {
        if new.iter().all(Option::is_none) {
            return;
        }
        let Ok(at) = self
            .seen
            .binary_search_by_key(&process, |(process, _)| *process)
        else {
            return;
        };
        let layout = &self.seen[at].1.layout;
        let part = self
            .parts
            .iter_mut()
            .find(|part| Arc::ptr_eq(&part.layout, layout));
        let Some(part) = part else { return };
        if part.exemplars.is_empty() {
            part.exemplars.resize(new.len(), None);
        }
        for (kept, new) in part.exemplars.iter_mut().zip(new) {
            newer(kept, new, account);
        }
    }

    /// Appends the samples: buckets (if wanted), sum, count.
    pub(super) fn samples(&self, labels: &Labels, with_buckets: bool, out: &mut Vec<Sample>) {
        let layouts: Vec<&Layout> = self.parts.iter().map(|part| &part.layout).collect();
        let mut highest = 0.0_f64;
        let mut before: Option<Vec<usize>> = None;
        for places in common(&layouts) {
            let counts = self.parts.iter().zip(&places);
            let count: f64 = counts.map(|(part, at)| part.counts[*at]).sum();
            // Sums are exact below 2^53. Above it, a sum could be rounded below the previous one.
            highest = highest.max(count);
            if with_buckets {
                let text = &layouts[0][places[0]].text;
                out.push(Sample {
                    suffix: Suffix::Bucket,
                    labels: labels.with("le", text),
                    value: highest,
                    exemplar: self.exemplar(before.as_deref(), &places),
                });
            }
            before = Some(places);
        }
        let sums = self.parts.iter().map(|part| part.sum);
        if let Some(sum) = sums.sum::<Option<f64>>() {
            out.push(Sample::with(Suffix::Sum, labels.clone(), sum));
        }
        out.push(Sample::with(Suffix::Count, labels.clone(), highest));
    }

    /// The newest exemplar after the indexes `before` and up to `places`.
    fn exemplar(&self, before: Option<&[usize]>, places: &[usize]) -> Option<Box<Exemplar>> {
        let mut newest: Option<&Exemplar> = None;
        for (index, part) in self.parts.iter().enumerate() {
            let start = before.map_or(0, |before| before[index] + 1);
            let those = part.exemplars.get(start..=places[index]);
            for exemplar in those.into_iter().flatten().flatten() {
                if is_newer(newest, exemplar) {
                    newest = Some(exemplar);
                }
            }
        }
        newest.cloned().map(Box::new)
    }

    /// Adds the observations of a process from its beginning.
    fn begin(
        &mut self,
        process: ProcessKey,
        snap: &Snap,
        account: &mut Account<'_>,
    ) -> Result<(), NoRoom> {
        let same = |part: &&mut Part| Arc::ptr_eq(&part.layout, &snap.layout);
        if let Some(part) = self.parts.iter_mut().find(same) {
            if !account.charge_known(Cost::bytes(snap_bytes(snap))) {
                return Err(NoRoom);
            }
            part.add(process, snap);
            return Ok(());
        }
        let Cost { series, bytes } = part_cost(&snap.layout);
        let cost = Cost::new(series, bytes + snap_bytes(snap));
        if self.parts.len() == PARTS || !account.charge(cost) {
            return Err(NoRoom);
        }
        self.parts.push(Part::new(process, snap));
        Ok(())
    }

    /// If all living processes have one layout and are younger than all processes with other layouts, drops the other
    /// parts and the counts of ended processes. The count falls to that of the living processes, as after a restart
    /// from zero. If this were done while an older process lives, as after a failed reload, all counts of that process
    /// would seem new.
    fn forget_old_layouts(&mut self, account: &mut Account<'_>) {
        let [(oldest, first), others @ ..] = &*self.seen else {
            return;
        };
        let is_same = |layout: &Layout| Arc::ptr_eq(layout, &first.layout);
        let is_over = |part: &Part| is_same(&part.layout) || part.youngest <= *oldest;
        if self.parts.len() < 2
            || !others.iter().all(|(_, snap)| is_same(&snap.layout))
            || !self.parts.iter().all(is_over)
        {
            return;
        }
        let Some(at) = self.parts.iter().position(|part| is_same(&part.layout)) else {
            return;
        };
        let mut part = self.parts.swap_remove(at);
        for old in self.parts.drain(..) {
            let exemplars = old.exemplars.iter().flatten();
            exemplars.for_each(|exemplar| account.refund(cost(exemplar)));
            account.refund(part_cost(&old.layout));
        }
        part.counts.copy_from_slice(&first.counts);
        part.sum = first.sum;
        part.youngest = *oldest;
        for (process, snap) in others {
            part.add(*process, snap);
        }
        self.parts.push(part);
    }
}

impl Part {
    fn new(process: ProcessKey, snap: &Snap) -> Self {
        Self {
            layout: Arc::clone(&snap.layout),
            counts: snap.counts.clone(),
            sum: snap.sum,
            youngest: process,
            exemplars: Vec::new(),
        }
    }

    /// Adds all observations of a process.
    fn add(&mut self, process: ProcessKey, snap: &Snap) {
        for (count, new) in self.counts.iter_mut().zip(&snap.counts) {
            *count += new;
        }
        self.sum = self.sum.zip(snap.sum).map(|(sum, new)| sum + new);
        self.youngest = self.youngest.max(process);
    }

    /// Adds the observations since `old`, or all if any count decreased, because the process then restarted its counts.
    fn go_on(&mut self, old: &Snap, new: &Snap) {
        let mut pairs = old.counts.iter().zip(&new.counts);
        let again = pairs.any(|(old, new)| new < old);
        let past = |old: f64| if again { 0.0 } else { old };
        let pairs = old.counts.iter().zip(&new.counts);
        for (count, (old, new)) in self.counts.iter_mut().zip(pairs) {
            *count += new - past(*old);
        }
        let sums = self.sum.zip(old.sum).zip(new.sum);
        self.sum = sums.map(|((sum, old), new)| sum + (new - past(old)));
    }
}

fn snap_bytes(snap: &Snap) -> usize {
    // Twice the size, because the list may have spare capacity.
    2 * size_of::<(ProcessKey, Snap)>() + size_of_val(&*snap.counts)
}

/// Cost of the buckets, sum and count, and of the bounds as if they were not shared.
fn part_cost(layout: &Layout) -> Cost {
    const BOUND: usize = 48;
    let bytes = size_of::<Part>() + layout.len() * (size_of::<f64>() + BOUND);
    Cost::new(layout.len() + 2, bytes)
}
