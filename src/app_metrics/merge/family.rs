//! One family, merged over all workers.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::account::{Account, Budget, Cost};
use super::counters::Counters;
use super::gauges::Gauges;
use super::observed::Observed;
use super::processes::{ProcessKey, Speaker};
use super::rules::{Aggregation, Rules};
use super::suggestions::Suggestions;
use crate::exposition::{Dropped, Family, MetricType, Sample, Suffix, claims};

/// Cost of one worker in the list of members.
const MEMBER: Cost = Cost {
    series: 0,
    bytes: 16,
};

/// One family and the workers that export it.
#[derive(Debug)]
pub(super) struct Merged {
    name: Box<str>,
    form: Form,
    help: Option<Box<str>>,
    unit: Option<Box<str>>,
    /// The worker whose help and unit are shown.
    teller: ProcessKey,
    body: Body,
    /// Living processes that export the family.
    members: BTreeSet<ProcessKey>,
    /// Number of the latest page that contained it.
    turn: u64,
    cost: Cost,
}

/// Type of the merged family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    kind: MetricType,
    /// A counter whose samples lack `_total`.
    bare: bool,
}

#[derive(Debug)]
enum Body {
    Counters(Counters),
    Observed(Observed),
    Gauges(Gauges),
}

/// Source and accounts of a family that is being merged.
#[derive(Debug)]
pub(super) struct Taking<'a> {
    pub(super) process: ProcessKey,
    /// The number of the page.
    pub(super) turn: u64,
    pub(super) budget: &'a mut Budget,
    pub(super) dropped: &'a mut Dropped,
}

/// Differences between a worker and earlier workers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Differs {
    pub(super) help: bool,
    pub(super) buckets: bool,
}

impl Merged {
    /// Creates an empty merged family for `family`, as exported by `process`.
    pub(super) fn new(process: ProcessKey, family: &Family) -> Self {
        let form = Form::of(family);
        Self {
            name: family.name.clone(),
            form,
            help: family.help.clone(),
            unit: family.unit.clone(),
            teller: process,
            body: match form.kind {
                MetricType::Counter => Body::Counters(Counters::default()),
                MetricType::Histogram | MetricType::Summary => Body::Observed(Observed::default()),
                _ => Body::Gauges(Gauges::default()),
            },
            members: BTreeSet::new(),
            turn: 0,
            cost: Cost::default(),
        }
    }

    /// The names that only this family may use.
    pub(super) fn claims(&self) -> impl Iterator<Item = Cow<'_, str>> {
        claims(&self.name, self.form.kind, self.form.bare)
            .filter_map(|(name, claim)| claim.is_firm().then_some(name))
    }

    /// Whether `family` can be merged into this one.
    pub(super) fn is_like(&self, family: &Family) -> bool {
        self.form == Form::of(family)
    }

    /// Whether no living process exports it, except perhaps `process` before the page `turn`.
    pub(super) fn is_left(&self, process: ProcessKey, turn: u64) -> bool {
        self.turn != turn && self.members.iter().all(|member| *member == process)
    }

    /// Whether it is cumulative (no gauge).
    pub(super) fn counts(&self) -> bool {
        !matches!(self.body, Body::Gauges(_))
    }

    /// Whether it can be removed.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && !self.counts()
    }

    /// Takes the samples of one process. The labels are already in their final form.
    pub(super) fn take(&mut self, family: Family, taking: &mut Taking<'_>) -> Differs {
        let mut differs = Differs::default();
        let Taking {
            process,
            turn,
            budget,
            dropped,
        } = taking;
        let (process, kind) = (*process, self.form.kind);
        self.turn = *turn;
        let mut account = Account {
            budget,
            own: &mut self.cost,
        };
        if !self.members.contains(&process) {
            if !account.charge_known(MEMBER) {
                dropped.limit += family.samples.len() as u64;
                return differs;
            }
            self.members.insert(process);
        }
        match &mut self.body {
            Body::Counters(counters) => {
                let left_out = counters.take(process, family.samples, &mut account);
                dropped.limit += left_out as u64;
            }
            Body::Observed(observed) => {
                differs.buckets =
                    observed.take(process, kind, family.samples, &mut account, dropped);
            }
            Body::Gauges(gauges) => {
                let left_out = gauges.take(process, *turn, family.samples, &mut account);
                dropped.limit += left_out as u64;
            }
        }
        differs.help = self.hear(process, family.help, family.unit);
        differs
    }

    /// Compares help and unit with the shown ones. Those of the first worker stay while that worker lives.
    fn hear(
        &mut self,
        process: ProcessKey,
        help: Option<Box<str>>,
        unit: Option<Box<str>>,
    ) -> bool {
        if process == self.teller || !self.members.contains(&self.teller) {
            self.teller = process;
            self.help = help.or(self.help.take());
            self.unit = unit.or(self.unit.take());
            return false;
        }
        let differs = differ(self.help.as_deref(), help.as_deref())
            || differ(self.unit.as_deref(), unit.as_deref());
        self.help = self.help.take().or(help);
        self.unit = self.unit.take().or(unit);
        differs
    }

    /// If the page `turn` of `process` does not contain this family, removes its gauges.
    pub(super) fn silent(&mut self, process: ProcessKey, turn: u64, budget: &mut Budget) {
        let own = &mut self.cost;
        let mut account = Account { budget, own };
        if let Body::Gauges(gauges) = &mut self.body
            && gauges.is_silent(process, turn)
        {
            gauges.process_ended(process, &mut account);
            self.members.remove(&process);
            account.refund(MEMBER);
        }
    }

    /// Handles the end of a process.
    pub(super) fn process_ended(&mut self, process: ProcessKey, budget: &mut Budget) {
        let own = &mut self.cost;
        let mut account = Account { budget, own };
        if !self.members.remove(&process) {
            return;
        }
        account.refund(MEMBER);
        match &mut self.body {
            Body::Counters(counters) => counters.process_ended(process, &mut account),
            Body::Observed(observed) => observed.process_ended(process, &mut account),
            Body::Gauges(gauges) => gauges.process_ended(process, &mut account),
        }
    }

    /// Reserves room for the family itself; false if there is none.
    pub(super) fn charge(&mut self, cost: Cost, budget: &mut Budget) -> bool {
        let own = &mut self.cost;
        Account { budget, own }.charge(cost)
    }

    /// Releases all room of the family.
    pub(super) fn forget(mut self, budget: &mut Budget) {
        let (all, own) = (self.cost, &mut self.cost);
        Account { budget, own }.refund(all);
    }

    /// The merged family; `text_name` is its name.
    pub(super) fn merged(
        &self,
        text_name: &str,
        rules: &Rules,
        suggestions: &Suggestions,
        speakers: &[Speaker],
    ) -> Family {
        let kind = self.form.kind;
        let samples: Vec<Sample> = match &self.body {
            Body::Counters(counters) => counters.samples(self.form.bare),
            Body::Observed(observed) => observed.samples(kind),
            Body::Gauges(gauges) => {
                let aggregation = match (kind, rules.aggregation(suggestions, text_name)) {
                    (_, Aggregation::Drop) => Aggregation::Drop,
                    // The buckets of a gauge histogram belong together.
                    (MetricType::GaugeHistogram, _) => Aggregation::Worker,
                    // An info is always 1.
                    (MetricType::Info, Aggregation::Sum) => Aggregation::Max,
                    (_, aggregation) => aggregation,
                };
                let is_grouped = kind == MetricType::GaugeHistogram;
                gauges.samples(aggregation, is_grouped, speakers)
            }
        };
        Family {
            name: self.name.clone(),
            kind,
            help: self.help.clone(),
            unit: self.unit.clone(),
            samples,
        }
    }
}

impl Form {
    fn of(family: &Family) -> Self {
        let kind = family.kind;
        let suffix = family.samples.first().map(|sample| sample.suffix);
        Self {
            kind,
            bare: kind == MetricType::Counter && suffix == Some(Suffix::None),
        }
    }
}

fn differ(old: Option<&str>, new: Option<&str>) -> bool {
    old.zip(new).is_some_and(|(old, new)| old != new)
}
