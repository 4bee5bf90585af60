//! The entries of one process, and the page built from them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::key::{Key, Title};
use crate::exposition::{
    Claim, DropReason, Dropped, Family, Labels, MetricType, Parsed, Sample, Suffix, claims,
    is_count,
};

/// One value.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) key: Arc<Key>,
    pub(super) value: f64,
    /// Whether the value that any process set last replaces this one.
    pub(super) is_recent: bool,
}

/// The value that was set last by any process, with its time.
#[derive(Debug, Default)]
pub(super) struct Newest(BTreeMap<(Box<str>, Labels), (f64, f64)>);

impl Newest {
    /// A value that was never set has no time and is ignored.
    pub(super) fn note(&mut self, key: &Key, time: f64, value: f64) {
        if !time.is_finite() || time <= 0.0 {
            return;
        }
        let place = (key.title.name.clone(), key.labels.clone());
        let newest = self.0.entry(place).or_default();
        if newest.0 < time {
            *newest = (time, value);
        }
    }

    fn get(&self, key: &Key) -> Option<f64> {
        let place = (key.title.name.clone(), key.labels.clone());
        self.0.get(&place).map(|(_, value)| *value)
    }
}

/// All values of one process.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// By family number.
    families: BTreeMap<usize, Vec<Said>>,
    /// Number of values.
    pub(super) len: usize,
    pub(super) dropped: Dropped,
}

impl Process {
    pub(super) fn add(&mut self, family: usize, said: Said) {
        self.families.entry(family).or_default().push(said);
    }

    /// Builds the page; `titles` is indexed by family number.
    pub(super) fn page(self, titles: &[Title], newest: &Newest) -> Parsed {
        let mut dropped = self.dropped;
        let all = self.families.into_iter();
        let mut all: Vec<_> = all
            .filter_map(|(family, said)| Some((titles.get(family)?, said)))
            .collect();
        all.sort_by_key(|(title, _)| *title);
        let (mut claimed, mut families) = (BTreeSet::new(), Vec::new());
        for (title, mut said) in all {
            let names = claims(&title.name, title.kind, title.bare);
            let names: Vec<_> = names
                .filter_map(|(name, claim)| Claim::is_firm(claim).then_some(name))
                .collect();
            if names.iter().any(|name| claimed.contains(name)) {
                dropped.count(DropReason::Invalid, said.len() as u64);
                continue;
            }
            claimed.extend(names);
            let help = said.first().and_then(|said| said.key.help.clone());
            // The sort is stable: of duplicates, the later one stays later.
            said.sort_by(order);
            let samples = match title.kind {
                MetricType::Counter => counters(&said),
                MetricType::Histogram => groups(&said, histogram, &mut dropped),
                MetricType::Summary => groups(&said, summary, &mut dropped),
                _ => gauges(&said, newest),
            };
            families.push(Family {
                name: title.name.clone(),
                kind: title.kind,
                help,
                unit: None,
                samples,
            });
        }
        let mut parsed = Parsed::of(families);
        parsed.dropped.limit += dropped.limit;
        parsed.dropped.invalid += dropped.invalid;
        parsed
    }
}

/// By label set; buckets by bound, then the rest.
fn order(one: &Said, other: &Said) -> Ordering {
    let (one, other) = (&one.key, &other.key);
    one.group
        .cmp(&other.group)
        .then(one.suffix.cmp(&other.suffix))
        .then(one.bound.total_cmp(&other.bound))
}

/// Groups of equal keys: metrics with the same name and different help texts.
fn places(said: &[Said]) -> impl Iterator<Item = &[Said]> {
    said.chunk_by(|one, other| order(one, other).is_eq())
}

fn total(said: &[Said]) -> f64 {
    said.iter().map(|said| said.value).sum()
}

fn counters(said: &[Said]) -> Vec<Sample> {
    let sample = |said: &[Said]| {
        let key = &said.first()?.key;
        Some(Sample::with(key.suffix, key.labels.clone(), total(said)))
    };
    places(said).filter_map(sample).collect()
}

fn gauges(said: &[Said], newest: &Newest) -> Vec<Sample> {
    let sample = |said: &[Said]| {
        let said = said.last()?;
        let value = if said.is_recent {
            newest.get(&said.key)?
        } else {
            said.value
        };
        Some(Sample::new(said.key.labels.clone(), value))
    };
    places(said).filter_map(sample).collect()
}

/// Builds histograms or summaries; `whole` builds one from its values.
fn groups(
    said: &[Said],
    whole: fn(&[Said]) -> Result<Vec<Sample>, Flaw>,
    dropped: &mut Dropped,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    for group in said.chunk_by(|one, other| one.key.group == other.key.group) {
        match whole(group) {
            Ok(whole) => samples.extend(whole),
            Err(Flaw::Unfinished) => {}
            Err(Flaw::Senseless) => dropped.count(DropReason::Invalid, group.len() as u64),
        }
    }
    samples
}

/// Why a group is not a valid histogram or summary.
enum Flaw {
    /// Some values are not in the file yet: a program creates them one by one and starts counting when all exist.
    Unfinished,
    /// A count is invalid.
    Senseless,
}

/// In the file, each bucket counts only its own range. A program creates the bucket without bound last.
fn histogram(group: &[Said]) -> Result<Vec<Sample>, Flaw> {
    let mut count = 0.0;
    let mut samples = Vec::with_capacity(group.len() + 1);
    let (mut last, mut sum) = (None, None);
    for place in places(group) {
        let Some(Said { key, .. }) = place.first() else {
            continue;
        };
        if key.suffix == Suffix::Sum {
            sum = Some((key, total(place)));
            continue;
        }
        if !place.iter().all(|said| is_count(said.value)) {
            return Err(Flaw::Senseless);
        }
        last = Some(key.bound);
        count += total(place);
        samples.push(Sample::with(Suffix::Bucket, key.labels.clone(), count));
    }
    let (Some(f64::INFINITY), Some((key, sum))) = (last, sum) else {
        return Err(Flaw::Unfinished);
    };
    samples.push(Sample::with(Suffix::Sum, key.group.clone(), sum));
    samples.push(Sample::with(Suffix::Count, key.group.clone(), count));
    Ok(samples)
}

fn summary(group: &[Said]) -> Result<Vec<Sample>, Flaw> {
    let sample = |said: &[Said]| {
        let key = &said.first()?.key;
        Some(Sample::with(key.suffix, key.group.clone(), total(said)))
    };
    let samples: Vec<Sample> = places(group).filter_map(sample).collect();
    let [_, count] = &*samples else {
        return Err(Flaw::Unfinished);
    };
    if is_count(count.value) {
        Ok(samples)
    } else {
        Err(Flaw::Senseless)
    }
}
