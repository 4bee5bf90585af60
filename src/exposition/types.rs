//! What a page holds: families, their samples, and what is known of them.

use std::borrow::Cow;

use super::Labels;

/// What a family measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It never falls while its process lives.
    Counter,
    /// It may fall.
    Gauge,
    /// Observations counted by bounds, since the start.
    Histogram,
    /// Observations counted by bounds, as they are now. OpenMetrics only.
    GaugeHistogram,
    /// Observations, and perhaps their quantiles.
    Summary,
    /// Always 1: its labels say what there is to say. OpenMetrics only.
    Info,
    /// 1 for each state that holds, 0 for the others. OpenMetrics only.
    StateSet,
    /// Nothing was said of it. `untyped` in text 0.0.4.
    Unknown,
}

/// What follows the name of the family in the name of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suffix {
    /// Nothing: the sample has the family's name.
    None,
    /// Of a counter.
    Total,
    /// Observations up to the bound that the label `le` names.
    Bucket,
    /// Sum of all observations.
    Sum,
    /// How many observations.
    Count,
    /// Sum, of a gauge histogram.
    Gsum,
    /// How many, of a gauge histogram.
    Gcount,
    /// When the series began.
    Created,
    /// Of an info.
    Info,
}

impl Suffix {
    /// As it is written behind the family's name.
    pub fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Total => "_total",
            Self::Bucket => "_bucket",
            Self::Sum => "_sum",
            Self::Count => "_count",
            Self::Gsum => "_gsum",
            Self::Gcount => "_gcount",
            Self::Created => "_created",
            Self::Info => "_info",
        }
    }
}

/// What stood behind a number: one observation that it counts, as a rule with the id of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// What the observation is known by.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When, in seconds since 1970.
    pub timestamp: Option<f64>,
}

/// One number. Its own time, if the program wrote one, is not kept: the scrape's counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What follows the family's name.
    pub suffix: Suffix,
    /// Its labels, with `le` or `quantile`.
    pub labels: Labels,
    /// The number.
    pub value: f64,
    /// Of a counter or a bucket.
    pub exemplar: Option<Box<Exemplar>>,
}

impl Sample {
    /// A sample that has the family's name.
    pub fn new(labels: Labels, value: f64) -> Self {
        Self::with(Suffix::None, labels, value)
    }

    /// A sample with `suffix`.
    pub fn with(suffix: Suffix, labels: Labels, value: f64) -> Self {
        Self {
            suffix,
            labels,
            value,
            exemplar: None,
        }
    }
}

/// All samples of one name and its suffixes.
///
/// Two families may share a name: a counter `foo`, written `foo_total`, and a gauge `foo` (every Go program has such a
/// pair). Their [`text_name`](Self::text_name) differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Without the suffix of its samples: `foo` for `foo_total` and for `foo_bucket`.
    pub name: Box<str>,
    /// What it measures.
    pub kind: Kind,
    /// What it is about, not escaped.
    pub help: Option<Box<str>>,
    /// Its unit, with which the name ends.
    pub unit: Option<Box<str>>,
    /// The samples. Those of one histogram or summary stand together: buckets by their bounds, sum, count.
    pub samples: Vec<Sample>,
}

impl Family {
    /// The name that text 0.0.4 gives it in `# TYPE`: a counter's with `_total` and an info's with `_info`, where the
    /// samples have it. No two families of a page share it.
    pub fn text_name(&self) -> Cow<'_, str> {
        match self.samples.first().map(|sample| sample.suffix) {
            Some(suffix @ (Suffix::Total | Suffix::Info)) => {
                Cow::Owned(format!("{}{}", self.name, suffix.text()))
            }
            _ => Cow::Borrowed(&self.name),
        }
    }
}

/// What one process offers, or all together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Ordered by their [`text_name`](Family::text_name); none without a sample.
    pub families: Vec<Family>,
}
