//! A family's samples in their order, each once, and only whole groups of them.
#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::iter;

use super::limits::{Dropped, Fault};
use super::number::{is_amount, is_count, is_flag};
use super::{Family, Kind, Labels, Page, Parsed, Sample, Suffix, number};

impl Parsed {
    /// A page of families whose names are good and claim nothing twice: in order, each sample once, without numbers that
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

/// Sorts the samples, leaves out what is there twice (the first stays), and histograms without sense.
fn settle(family: &mut Family, dropped: &mut Dropped) {
    let mut samples = std::mem::take(&mut family.samples);
    samples.retain(|sample| sample.suffix != Suffix::Created);
    let before = samples.len();
    samples.retain(|sample| makes_sense(family, sample));
    dropped.count(Fault::Invalid, (before - samples.len()) as u64);
    let kind = family.kind;
    let mut placed: Vec<Placed> = samples
        .into_iter()
        .map(|sample| Placed::new(kind, sample))
        .collect();
    // Stable: of two at the same place, the first stays the first.
    placed.sort_by(Placed::order);
    let before = placed.len();
    placed.dedup_by(|later, first| first.order(later).is_eq());
    dropped.count(Fault::Invalid, (before - placed.len()) as u64);
    if matches!(kind, Kind::Histogram | Kind::GaugeHistogram) {
        let before = placed.len();
        let keep: Vec<bool> = placed
            .chunk_by(|one, next| one.group == next.group)
            .flat_map(|group| iter::repeat_n(is_histogram(group), group.len()))
            .collect();
        let mut keep = keep.into_iter();
        placed.retain(|_| keep.next() == Some(true));
        dropped.count(Fault::Invalid, (before - placed.len()) as u64);
    }
    family.samples = placed.into_iter().map(|placed| placed.sample).collect();
}

/// A sample and where it stands.
struct Placed {
    /// The labels without `le` and `quantile`.
    group: Labels,
    /// The value of these.
    bound: f64,
    sample: Sample,
}

impl Placed {
    fn new(kind: Kind, mut sample: Sample) -> Self {
        // Negative zero would be written as such.
        sample.value += 0.0;
        let by = match (kind, sample.suffix) {
            (Kind::Histogram | Kind::GaugeHistogram, Suffix::Bucket) => Some("le"),
            (Kind::Summary, Suffix::None) => Some("quantile"),
            _ => None,
        };
        let bound = by.and_then(|by| number(&sample.labels.get(by)?));
        Self {
            group: match by {
                Some(by) => sample.labels.without(by),
                None => sample.labels.clone(),
            },
            // No negative zero: the order of floats would tell it from zero.
            bound: bound.unwrap_or_default() + 0.0,
            sample,
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        self.group
            .cmp(&other.group)
            .then(self.sample.suffix.cmp(&other.sample.suffix))
            .then(self.bound.total_cmp(&other.bound))
    }
}

/// Whether the buckets of one label set never fall, and count everything at last.
fn is_histogram(group: &[Placed]) -> bool {
    let is_bucket = |placed: &&Placed| placed.sample.suffix == Suffix::Bucket;
    let buckets = || group.iter().filter(is_bucket);
    let rising = buckets()
        .zip(buckets().skip(1))
        .all(|(one, next)| one.sample.value <= next.sample.value);
    rising && buckets().next_back().map(|last| last.bound) == Some(f64::INFINITY)
}

/// Whether such a family can have that sample.
fn makes_sense(family: &Family, sample: &Sample) -> bool {
    let value = sample.value;
    let label = |name| sample.labels.get(name);
    let is_number = |name| label(name).and_then(|text| number(&text));
    match (family.kind, sample.suffix) {
        (Kind::Counter, Suffix::Total | Suffix::None) => is_amount(value),
        (Kind::Gauge | Kind::Unknown, Suffix::None) => true,
        (Kind::Info, Suffix::Info) => is_flag(value) && value > 0.0,
        (Kind::StateSet, Suffix::None) => is_flag(value) && label(&family.name).is_some(),
        (Kind::Histogram | Kind::GaugeHistogram, Suffix::Bucket) => {
            is_count(value) && is_number("le").is_some_and(|bound| !bound.is_nan())
        }
        (Kind::Summary, Suffix::None) => {
            is_number("quantile").is_some_and(|of| (0.0..=1.0).contains(&of))
        }
        (Kind::Histogram, Suffix::Count) | (Kind::GaugeHistogram, Suffix::Gcount) => {
            is_count(value) && label("le").is_none()
        }
        (Kind::Histogram, Suffix::Sum) | (Kind::GaugeHistogram, Suffix::Gsum) => {
            value.is_finite() && label("le").is_none()
        }
        (Kind::Summary, Suffix::Count) => is_count(value) && label("quantile").is_none(),
        (Kind::Summary, Suffix::Sum) => value.is_finite() && label("quantile").is_none(),
        _ => false,
    }
}
