//! What the key of an entry says: which sample of which family it is.
//!
//! `["requests", "requests_total", {"code": "200"}, "What it is about."]`: the family, the sample, its labels, and, since
//! prometheus_client 0.16, the help text.

use std::collections::BTreeMap;

use super::Content;
use crate::exposition::{
    DropReason, Labels, MetricType, PageLimits, Suffix, is_metric_name, parse_number,
};

/// A family, by what tells it from others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Title {
    pub(super) kind: MetricType,
    /// Without the suffix of its samples.
    pub(super) name: Box<str>,
    /// A counter whose samples have no `_total`.
    pub(super) bare: bool,
}

/// Which sample it is.
#[derive(Debug, PartialEq)]
pub(super) struct Key {
    pub(super) title: Title,
    pub(super) suffix: Suffix,
    /// As they are written, with `le`.
    pub(super) labels: Labels,
    /// Without `le`.
    pub(super) group: Labels,
    /// The value of `le`.
    pub(super) bound: f64,
    pub(super) help: Option<Box<str>>,
}

type Pairs = BTreeMap<String, String>;

/// Reads a key of a file that holds `content`; `None` if the sample is of no use: when a series began, and counts of
/// histograms, which the buckets give.
pub(super) fn read(
    json: &[u8],
    content: Content,
    limits: &PageLimits,
) -> Result<Option<Key>, DropReason> {
    let (family, sample, pairs, help) = parts(json).ok_or(DropReason::Invalid)?;
    let Some((kind, family, suffix)) = role(&family, &sample, content)? else {
        return Ok(None);
    };
    if sample.len() > limits.name {
        return Err(DropReason::Limit);
    }
    let labels = labels(&pairs, limits)?;
    let (group, bound) = match suffix {
        Suffix::Bucket => {
            let bound = pairs.get("le").and_then(|le| parse_number(le));
            let bound = bound.filter(|bound| !bound.is_nan());
            // No negative zero: the order of floats would tell it from zero.
            (
                labels.without("le"),
                bound.ok_or(DropReason::Invalid)? + 0.0,
            )
        }
        _ => (labels.clone(), 0.0),
    };
    let help = help.filter(|help| {
        let len = help.len();
        (1..=limits.help).contains(&len) && !ends_lines(help)
    });
    Ok(Some(Key {
        title: Title {
            kind,
            name: family.into(),
            bare: kind == MetricType::Counter && suffix == Suffix::None,
        },
        suffix,
        labels,
        group,
        bound,
        help: help.map(Into::into),
    }))
}

fn parts(json: &[u8]) -> Option<(String, String, Pairs, Option<String>)> {
    if let Ok((family, sample, pairs, help)) = serde_json::from_slice(json) {
        return Some((family, sample, pairs, Some(help)));
    }
    let (family, sample, pairs) = serde_json::from_slice(json).ok()?;
    Some((family, sample, pairs, None))
}

/// What the family is, its name without suffix, and what follows that in the sample's name.
fn role<'a>(
    family: &'a str,
    sample: &str,
    content: Content,
) -> Result<Option<(MetricType, &'a str, Suffix)>, DropReason> {
    let rest = sample.strip_prefix(family).ok_or(DropReason::Invalid)?;
    if !is_metric_name(family) || !is_metric_name(sample) {
        return Err(DropReason::Invalid);
    }
    let (kind, suffix) = match (content, rest) {
        (_, "_created") | (Content::Histogram, "_count") => return Ok(None),
        (Content::Counter, "_total") => (MetricType::Counter, Suffix::Total),
        (Content::Counter, "") => {
            let total = family.strip_suffix(Suffix::Total.text());
            return Ok(Some(match total.filter(|name| is_metric_name(name)) {
                Some(name) => (MetricType::Counter, name, Suffix::Total),
                None => (MetricType::Counter, family, Suffix::None),
            }));
        }
        (Content::Gauge(_), "") => (MetricType::Gauge, Suffix::None),
        (Content::Histogram, "_bucket") => (MetricType::Histogram, Suffix::Bucket),
        (Content::Histogram, "_sum") => (MetricType::Histogram, Suffix::Sum),
        (Content::Summary, "_sum") => (MetricType::Summary, Suffix::Sum),
        (Content::Summary, "_count") => (MetricType::Summary, Suffix::Count),
        _ => return Err(DropReason::Invalid),
    };
    Ok(Some((kind, family, suffix)))
}

fn labels(pairs: &Pairs, limits: &PageLimits) -> Result<Labels, DropReason> {
    let is_long = |(name, value): (&String, &String)| {
        name.len() > limits.label_name || value.len() > limits.label_value
    };
    if pairs.len() > limits.labels || pairs.iter().any(is_long) {
        return Err(DropReason::Limit);
    }
    if pairs.values().any(|value| ends_lines(value)) {
        return Err(DropReason::Invalid);
    }
    Labels::new(pairs).ok_or(DropReason::Invalid)
}

/// Whether some readers would see the end of a line in it, which nothing escapes.
fn ends_lines(text: &str) -> bool {
    text.contains(['\r', '\0'])
}
