//! Assembles the samples of one histogram or summary.

use super::layout::{Layout, Layouts};
use crate::exposition::{Exemplar, Labels, MetricType, Sample, Suffix, parse_number};

/// Initial capacity: most histograms have at most this number of buckets.
const ROOM: usize = 16;

/// The values of one worker for one label set.
#[derive(Debug)]
pub(super) struct Snap {
    pub(super) layout: Layout,
    /// Observations up to each bound.
    pub(super) counts: Box<[f64]>,
    /// May be missing, and may decrease if observations may be negative.
    pub(super) sum: Option<f64>,
}

/// Adjacent samples of one label set.
#[derive(Debug)]
pub(super) struct Group {
    /// The labels without `le`.
    pub(super) labels: Labels,
    buckets: Vec<Sample>,
    bounds: Vec<f64>,
    sum: Option<f64>,
    count: Option<f64>,
}

impl Group {
    /// Takes the samples of the next group; `None` at the end. The caller has removed quantiles.
    pub(super) fn next(
        rest: &mut impl Iterator<Item = Sample>,
        ahead: &mut Option<Sample>,
    ) -> Option<Self> {
        let first = ahead.take().or_else(|| rest.next())?;
        let room = if first.suffix == Suffix::Bucket {
            ROOM
        } else {
            0
        };
        let mut group = Self {
            labels: match first.suffix {
                Suffix::Bucket => first.labels.without("le"),
                _ => first.labels.clone(),
            },
            buckets: Vec::with_capacity(room),
            bounds: Vec::with_capacity(room),
            sum: None,
            count: None,
        };
        group.add(first);
        for sample in rest {
            if !group.has(&sample) {
                *ahead = Some(sample);
                break;
            }
            group.add(sample);
        }
        Some(group)
    }

    /// Number of samples.
    pub(super) fn len(&self) -> usize {
        self.buckets.len() + usize::from(self.sum.is_some()) + usize::from(self.count.is_some())
    }

    /// The values, and the exemplars of the buckets; `None` if something is missing.
    pub(super) fn snap(
        self,
        kind: MetricType,
        layouts: &mut Layouts,
    ) -> Option<(Snap, Vec<Option<Box<Exemplar>>>)> {
        if kind == MetricType::Summary {
            let snap = Snap {
                layout: layouts.of(&[f64::INFINITY], |_| "+Inf".into()),
                counts: [self.count?].into(),
                sum: self.sum,
            };
            return Some((snap, Vec::new()));
        }
        // The last bucket is used as the count: a program may observe a value between writing the two lines.
        if self.bounds.last() != Some(&f64::INFINITY) {
            return None;
        }
        let text = |at: usize| match self.buckets[at].labels.get("le") {
            Some(text) => text.into(),
            None => "+Inf".into(),
        };
        let snap = Snap {
            layout: layouts.of(&self.bounds, text),
            counts: self.buckets.iter().map(|bucket| bucket.value).collect(),
            sum: self.sum,
        };
        let exemplars = self.buckets.into_iter().map(|bucket| bucket.exemplar);
        Some((snap, exemplars.collect()))
    }

    fn has(&self, next: &Sample) -> bool {
        match next.suffix {
            Suffix::Bucket => {
                let is_open = self
                    .bounds
                    .last()
                    .is_some_and(|bound| *bound < f64::INFINITY);
                is_open && self.sum.is_none() && self.count.is_none()
            }
            Suffix::Sum => self.sum.is_none() && self.labels == next.labels,
            _ => self.count.is_none() && self.labels == next.labels,
        }
    }

    fn add(&mut self, sample: Sample) {
        match sample.suffix {
            Suffix::Bucket => {
                let bound = sample.labels.get("le").and_then(|text| parse_number(&text));
                self.bounds.push(bound.unwrap_or(f64::NAN) + 0.0);
                self.buckets.push(sample);
            }
            Suffix::Sum => self.sum = Some(sample.value),
            _ => self.count = Some(sample.value),
        }
    }
}
