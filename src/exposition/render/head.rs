//! The metadata lines above the samples of a family: name and type, which differ by format.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::exposition::{Family, MetricType, Suffix};

/// The name and type in the metadata of a family.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) kind: MetricType,
}

impl Head<'_> {
    /// Whether a sample with this suffix may have an exemplar.
    pub(super) fn takes_exemplars(&self, suffix: Suffix) -> bool {
        match suffix {
            Suffix::Total => self.kind == MetricType::Counter,
            Suffix::Bucket => matches!(
                self.kind,
                MetricType::Histogram | MetricType::GaugeHistogram
            ),
            _ => false,
        }
    }

    /// Whether the unit may be written.
    pub(super) fn takes_unit(&self, unit: &str) -> bool {
        let named = self.name.strip_suffix(unit);
        !matches!(self.kind, MetricType::Info | MetricType::StateSet)
            && !unit.is_empty()
            && named.is_some_and(|name| name.ends_with('_'))
    }
}

/// For text 0.0.4, which lacks three of the types.
pub(super) fn text(family: &Family) -> Head<'_> {
    let kind = match family.kind {
        MetricType::Info | MetricType::StateSet => MetricType::Gauge,
        // A gauge histogram is written as a histogram for its buckets; its sum and count become separate gauges.
        MetricType::GaugeHistogram => MetricType::Histogram,
        kind => kind,
    };
    Head {
        name: family.text_name(),
        kind,
    }
}

/// For OpenMetrics, where no two families may share a name, and no family may have the name of another family's sample.
/// A counter or an info that collides is written under the name of its samples (every Go program has a gauge `x` beside
/// a counter `x_total`). A family that still collides (a gauge `x_created` beside a histogram `x`) is `None` and left
/// out, because it would make the page invalid.
pub(super) fn open_metrics(families: &[Family]) -> Vec<Option<Head<'_>>> {
    let mut taken = HashSet::new();
    let mut heads = vec![None; families.len()];
    let yields = |family: &Family| matches!(kind(family), MetricType::Counter | MetricType::Info);
    for turn in [false, true] {
        let places = families.iter().zip(&mut heads);
        for (family, place) in places.filter(|(family, _)| yields(family) == turn) {
            let own = Head {
                name: Cow::Borrowed(&*family.name),
                kind: kind(family),
            };
            let plain = turn.then(|| Head {
                name: family.text_name(),
                kind: if own.kind == MetricType::Info {
                    MetricType::Gauge
                } else {
                    MetricType::Unknown
                },
            });
            *place = claim(own, &mut taken).or_else(|| claim(plain?, &mut taken));
        }
    }
    heads
}

/// Returns the head if all names that it claims are free, and reserves them.
fn claim<'a>(head: Head<'a>, taken: &mut HashSet<String>) -> Option<Head<'a>> {
    let suffixes: &[Suffix] = match head.kind {
        MetricType::Counter => &[Suffix::Total, Suffix::Created],
        MetricType::Summary => &[Suffix::Count, Suffix::Sum, Suffix::Created],
        MetricType::Histogram => &[Suffix::Count, Suffix::Sum, Suffix::Bucket, Suffix::Created],
        MetricType::GaugeHistogram => &[Suffix::Gcount, Suffix::Gsum, Suffix::Bucket],
        MetricType::Info => &[Suffix::Info],
        _ => &[],
    };
    let suffixes = suffixes.iter().chain([&Suffix::None]);
    let names: Vec<String> = suffixes
        .map(|suffix| format!("{}{}", head.name, suffix.text()))
        .collect();
    if names.iter().any(|name| taken.contains(name)) {
        return None;
    }
    taken.extend(names);
    Some(head)
}

fn kind(family: &Family) -> MetricType {
    let is_bare = || family.samples.iter().any(|s| s.suffix == Suffix::None);
    match family.kind {
        // In OpenMetrics a counter must have the suffix `_total`.
        MetricType::Counter if is_bare() => MetricType::Unknown,
        kind => kind,
    }
}
