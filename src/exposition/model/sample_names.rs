//! Which sample names belong to a family, so that no two families use the same name.

use std::borrow::Cow;

use super::{MetricType, Suffix};

/// How a family claims a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Samples of the family have this name.
    Sample(Suffix),
    /// No sample of the family has this name, and no other family may use it.
    Reserved,
    /// No sample of the family has this name, but another family may use it.
    Shared,
}

impl Claim {
    /// Whether no other family may use the name. `_created` samples are never kept, so they block no name.
    pub fn is_firm(self) -> bool {
        !matches!(self, Self::Shared | Self::Sample(Suffix::Created))
    }
}

/// The names that a family claims. `name` has no suffix; `bare` says that the samples of a counter lack `_total`.
pub fn claims(
    name: &str,
    kind: MetricType,
    bare: bool,
) -> impl Iterator<Item = (Cow<'_, str>, Claim)> {
    use Claim::{Reserved, Sample, Shared};
    const COUNTER: &[(&str, Claim)] = &[
        ("_total", Sample(Suffix::Total)),
        ("_created", Sample(Suffix::Created)),
        ("", Shared),
    ];
    const BARE: &[(&str, Claim)] = &[("", Sample(Suffix::None))];
    const HISTOGRAM: &[(&str, Claim)] = &[
        ("", Reserved),
        ("_bucket", Sample(Suffix::Bucket)),
        ("_sum", Sample(Suffix::Sum)),
        ("_count", Sample(Suffix::Count)),
        ("_created", Sample(Suffix::Created)),
    ];
    const GAUGE_HISTOGRAM: &[(&str, Claim)] = &[
        ("", Reserved),
        ("_bucket", Sample(Suffix::Bucket)),
        ("_gsum", Sample(Suffix::Gsum)),
        ("_gcount", Sample(Suffix::Gcount)),
    ];
    const SUMMARY: &[(&str, Claim)] = &[
        ("", Sample(Suffix::None)),
        ("_sum", Sample(Suffix::Sum)),
        ("_count", Sample(Suffix::Count)),
        ("_created", Sample(Suffix::Created)),
    ];
    const INFO: &[(&str, Claim)] = &[("_info", Sample(Suffix::Info)), ("", Shared)];
    let table = match kind {
        MetricType::Counter if !bare => COUNTER,
        MetricType::Info => INFO,
        MetricType::Histogram => HISTOGRAM,
        MetricType::GaugeHistogram => GAUGE_HISTOGRAM,
        MetricType::Summary => SUMMARY,
        MetricType::Counter | MetricType::Gauge | MetricType::StateSet | MetricType::Unknown => {
            BARE
        }
    };
    table.iter().map(move |(suffix, claim)| {
        let claimed = match *suffix {
            "" => Cow::Borrowed(name),
            suffix => Cow::Owned([name, suffix].concat()),
        };
        (claimed, *claim)
    })
}
