//! Parses the key of an entry: it identifies the sample and its family.
//!
//! `["requests", "requests_total", {"code": "200"}, "What it is about."]`: family, sample, labels, and since
//! prometheus_client 0.16 the help text.

use std::collections::BTreeMap;

use super::Content;
use crate::exposition::{
    DropReason, Labels, MetricType, PageLimits, Suffix, is_metric_name, parse_number,
};

/// Identifies a family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Title {
    pub(super) kind: MetricType,
    /// The name without the suffix of its samples.
    pub(super) name: Box<str>,
    /// A counter whose samples lack `_total`.
    pub(super) bare: bool,
}

/// Identifies a sample.
#[derive(Debug, PartialEq)]
pub(super) struct Key {
    pub(super) title: Title,
    pub(super) suffix: Suffix,
    /// The labels as written, including `le`.
    pub(super) labels: Labels,
    /// The labels without `le`.
    pub(super) group: Labels,
    /// The value of `le`.
    pub(super) bound: f64,
    pub(super) help: Option<Box<str>>,
}

type Pairs = BTreeMap<String, String>;

/// Parses a key from a file that holds `content`. `None` if the sample is not needed: `_created`, and `_count` of
/// histograms, which follows from the buckets.
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
            // Adding 0.0 removes negative zero, which the order of floats would distinguish from zero.
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

/// The kind of the family, its name without suffix, and the suffix of the sample.
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

/// Whether some readers would see a line end in it that no escape can express.
fn ends_lines(text: &str) -> bool {
    text.contains(['\r', '\0'])
}
