//! The content of a page: families, samples and metadata.

use std::borrow::Cow;

use super::{Format, Labels};

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricType {
    /// Never decreases while its process lives.
    Counter,
    /// May decrease.
    Gauge,
    /// Counts of observations by bounds, since the start.
    Histogram,
    /// Present counts of observations by bounds. OpenMetrics only.
    GaugeHistogram,
    /// Sum and count of observations, and perhaps quantiles.
    Summary,
    /// Always 1; its labels contain the information. OpenMetrics only.
    Info,
    /// 1 for each state that applies, 0 for the others. OpenMetrics only.
    StateSet,
    /// No type given. `untyped` in text 0.0.4.
    Unknown,
}

impl MetricType {
    /// The type that `word` means after `# TYPE` in this format.
    pub(in crate::exposition) fn parse(word: &str, format: Format) -> Option<Self> {
        let found = match (word, format) {
            ("counter", _) => Self::Counter,
            ("gauge", _) => Self::Gauge,
            ("histogram", _) => Self::Histogram,
            ("summary", _) => Self::Summary,
            ("unknown", _) | ("untyped", Format::Text) => Self::Unknown,
            ("gaugehistogram", Format::OpenMetrics) => Self::GaugeHistogram,
            ("info", Format::OpenMetrics) => Self::Info,
            ("stateset", Format::OpenMetrics) => Self::StateSet,
            // Older programs write types in capitals.
            (word, Format::Text) if word.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                return Self::parse(&word.to_ascii_lowercase(), format);
            }
            _ => return None,
        };
        Some(found)
    }

    /// The word for it after `# TYPE` in this format.
    pub(in crate::exposition) fn word(self, format: Format) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown if format == Format::Text => "untyped",
            Self::Unknown => "unknown",
        }
    }
}

/// The suffix of a sample name after the family's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suffix {
    /// No suffix: the sample has the family's name.
    None,
    /// Of a counter.
    Total,
    /// Observations up to the bound in the label `le`.
    Bucket,
    /// Sum of all observations.
    Sum,
    /// Number of observations.
    Count,
    /// Sum of a gauge histogram.
    Gsum,
    /// Number of observations of a gauge histogram.
    Gcount,
    /// Time when the series began.
    Created,
    /// Of an info.
    Info,
}

impl Suffix {
    /// The suffix as written after the family's name.
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

/// An exemplar: one observation that a number counts, usually with a trace id.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The labels that identify the observation.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// The time in seconds since 1970.
    pub timestamp: Option<f64>,
}

impl Exemplar {
    /// Most characters of its labels, names and values together, that OpenMetrics allows.
    const MOST_CHARS: usize = 128;

    /// Whether OpenMetrics allows labels of this length.
    pub(in crate::exposition) fn is_short(&self) -> bool {
        let chars = self
            .labels
            .iter()
            .map(|(name, value)| name.chars().count() + value.chars().count());
        chars.sum::<usize>() <= Self::MOST_CHARS
    }
}

/// One number. A timestamp that the program wrote is not kept; the time of the scrape counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The suffix of its name.
    pub suffix: Suffix,
    /// Its labels, including `le` or `quantile`.
    pub labels: Labels,
    /// The value.
    pub value: f64,
    /// The exemplar of a counter or a bucket.
    pub exemplar: Option<Box<Exemplar>>,
}

impl Sample {
    /// A sample without suffix.
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
/// Two families may have the same name: a counter `foo`, written `foo_total`, and a gauge `foo` (every Go program has
/// such a pair). Their [`text_name`](Self::text_name)s differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name without the suffix of its samples: `foo` for `foo_total` and for `foo_bucket`.
    pub name: Box<str>,
    /// The type.
    pub kind: MetricType,
    /// The help text, not escaped.
    pub help: Option<Box<str>>,
    /// The unit; the name ends with it.
    pub unit: Option<Box<str>>,
    /// The samples. Those of one histogram or summary are adjacent: buckets by bound, sum, count.
    pub samples: Vec<Sample>,
}

impl Family {
    /// The name in `# TYPE` of text 0.0.4. It includes `_total` for a counter and `_info` for an info if the samples
    /// have that suffix. It is unique in a page.
    pub fn text_name(&self) -> Cow<'_, str> {
        match self.samples.first().map(|sample| sample.suffix) {
            Some(suffix @ (Suffix::Total | Suffix::Info)) => {
                Cow::Owned(format!("{}{}", self.name, suffix.text()))
            }
            _ => Cow::Borrowed(&self.name),
        }
    }
}

/// The metrics of one process, or of all processes merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Sorted by [`text_name`](Family::text_name); each has at least one sample.
    pub families: Vec<Family>,
}
