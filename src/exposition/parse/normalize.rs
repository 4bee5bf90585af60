//! Sorts the samples of a family, removes duplicates, and keeps only complete groups.

use std::cmp::Ordering;
use std::iter;

use super::limits::{DropReason, Dropped};
use crate::exposition::model::{is_amount, is_count, is_flag};
use crate::exposition::{Family, Labels, MetricType, Page, Parsed, Sample, Suffix, parse_number};

impl Parsed {
    /// Builds a page from families with valid names and distinct claims: sorted, each sample once, without values that
    /// make no sense.
    pub fn of(mut families: Vec<Family>) -> Self {
        let mut dropped = Dropped::default();
        for family in &mut families {
            settle(family, &mut dropped);
        }
        families.retain(|family| !family.samples.is_empty());
        families.sort_by(|one, other| one.text_name().cmp(&other.text_name()));
        let page = Page { families };
        Self { page, dropped }
    }
}

/// Sorts the samples. Removes duplicates (the first stays) and invalid histograms.
fn settle(family: &mut Family, dropped: &mut Dropped) {
    let mut samples = std::mem::take(&mut family.samples);
    samples.retain(|sample| sample.suffix != Suffix::Created);
    let before = samples.len();
    for sample in &mut samples {
        // Negative zero would be written with its sign.
        sample.value += 0.0;
    }
    let samples = match family.kind {
        MetricType::Histogram | MetricType::GaugeHistogram | MetricType::Summary => {
            grouped(family, samples)
        }
        _ => each(family, samples),
    };
    dropped.count(DropReason::Invalid, (before - samples.len()) as u64);
    family.samples = samples;
}

/// For a family whose samples are independent of each other.
fn each(family: &Family, mut samples: Vec<Sample>) -> Vec<Sample> {
    let order = |one: &Sample, other: &Sample| {
        let labels = one.labels.cmp(&other.labels);
        labels.then(one.suffix.cmp(&other.suffix))
    };
    samples.retain(|sample| makes_sense(family, sample, None));
    // The sort is stable: of duplicates, the first stays first.
    samples.sort_by(order);
    samples.dedup_by(|later, first| order(first, later).is_eq());
    samples
}

/// For a family whose samples form groups.
fn grouped(family: &Family, samples: Vec<Sample>) -> Vec<Sample> {
    let mut placed: Vec<Placed> = Vec::with_capacity(samples.len());
    for sample in samples {
        let near = placed.last().map(|last| &last.group);
        placed.extend(Placed::new(family, sample, near));
    }
    // The sort is stable: of duplicates, the first stays first.
    placed.sort_by(Placed::order);
    placed.dedup_by(|later, first| first.order(later).is_eq());
    if family.kind != MetricType::Summary {
        let keep: Vec<bool> = placed
            .chunk_by(|one, next| one.group == next.group)
            .flat_map(|group| iter::repeat_n(is_histogram(group), group.len()))
            .collect();
        let mut keep = keep.into_iter();
        placed.retain(|_| keep.next() == Some(true));
    }
    placed.into_iter().map(|placed| placed.sample).collect()
}

/// A sample with its sort key.
struct Placed {
    /// The labels without `le` and `quantile`.
    group: Labels,
    /// The value of `le` or `quantile`.
    bound: f64,
    sample: Sample,
}

impl Placed {
    /// `None` if such a family cannot have that sample. Most samples have the same group as the previous one, `near`.
    fn new(family: &Family, sample: Sample, near: Option<&Labels>) -> Option<Self> {
        let by = match (family.kind, sample.suffix) {
            (MetricType::Histogram | MetricType::GaugeHistogram, Suffix::Bucket) => Some("le"),
            (MetricType::Summary, Suffix::None) => Some("quantile"),
            _ => None,
        };
        let bound = by.map(|by| sample.labels.get(by).and_then(|text| parse_number(&text)));
        if !makes_sense(family, &sample, bound.flatten()) {
            return None;
        }
        Some(Self {
            group: match (by, near) {
                (Some(by), Some(near)) => sample.labels.without_or(by, near),
                (Some(by), None) => sample.labels.without(by),
                (None, _) => sample.labels.clone(),
            },
            // Adding 0.0 removes negative zero, which the order of floats would distinguish from zero.
            bound: bound.flatten().unwrap_or_default() + 0.0,
            sample,
        })
    }

    fn order(&self, other: &Self) -> Ordering {
        self.group
            .cmp(&other.group)
            .then(self.sample.suffix.cmp(&other.sample.suffix))
            .then(self.bound.total_cmp(&other.bound))
    }
}

/// Whether the buckets of one label set never decrease and end with an infinite bound.
fn is_histogram(group: &[Placed]) -> bool {
    let is_bucket = |placed: &&Placed| placed.sample.suffix == Suffix::Bucket;
    let buckets = || group.iter().filter(is_bucket);
    let rising = buckets()
        .zip(buckets().skip(1))
        .all(|(one, next)| one.sample.value <= next.sample.value);
    rising && buckets().next_back().map(|last| last.bound) == Some(f64::INFINITY)
}

/// Whether such a family can have that sample. `bound` is the number in its label `le` or `quantile`.
fn makes_sense(family: &Family, sample: &Sample, bound: Option<f64>) -> bool {
    let value = sample.value;
    let label = |name| sample.labels.get(name);
    match (family.kind, sample.suffix) {
        (MetricType::Counter, Suffix::Total | Suffix::None) => is_amount(value),
        (MetricType::Gauge | MetricType::Unknown, Suffix::None) => true,
        (MetricType::Info, Suffix::Info) => is_flag(value) && value > 0.0,
        (MetricType::StateSet, Suffix::None) => is_flag(value) && label(&family.name).is_some(),
        (MetricType::Histogram | MetricType::GaugeHistogram, Suffix::Bucket) => {
            is_count(value) && bound.is_some_and(|bound| !bound.is_nan())
        }
        (MetricType::Summary, Suffix::None) => bound.is_some_and(|of| (0.0..=1.0).contains(&of)),
        (MetricType::Histogram, Suffix::Count) | (MetricType::GaugeHistogram, Suffix::Gcount) => {
            is_count(value) && label("le").is_none()
        }
        (MetricType::Histogram, Suffix::Sum) | (MetricType::GaugeHistogram, Suffix::Gsum) => {
            value.is_finite() && label("le").is_none()
        }
        (MetricType::Summary, Suffix::Count) => is_count(value) && label("quantile").is_none(),
        (MetricType::Summary, Suffix::Sum) => value.is_finite() && label("quantile").is_none(),
        _ => false,
    }
}
