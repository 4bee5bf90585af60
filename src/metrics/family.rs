//! Metric families that are built anew for each scrape.

use prometheus::proto;

use crate::exposition::{self, Labels, MetricType, Sample, Suffix};

/// Units at the end of our names, which OpenMetrics shows separately.
const UNITS: [&str; 3] = ["bytes", "cores", "seconds"];

/// A metric family under construction. Without a series it is left out of the page.
#[derive(Debug)]
pub(super) struct Family {
    kind: MetricType,
    name: &'static str,
    help: &'static str,
    samples: Vec<Sample>,
}

impl Family {
    /// A value that may decrease.
    pub(super) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(MetricType::Gauge, name, help)
    }

    /// A value that another component counts and that never decreases. The name ends with `_total`.
    pub(super) fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(MetricType::Counter, name, help)
    }

    /// Always 1; the labels contain the information. The name ends with `_info`.
    pub(super) fn info(name: &'static str, help: &'static str) -> Self {
        Self::new(MetricType::Info, name, help)
    }

    fn new(kind: MetricType, name: &'static str, help: &'static str) -> Self {
        Self {
            kind,
            name,
            help,
            samples: Vec::new(),
        }
    }

    /// Adds the series with these labels.
    pub(super) fn add<const N: usize>(&mut self, labels: [(&'static str, String); N], value: f64) {
        // Our label names are valid and distinct, so this never fails.
        if let Some(labels) = Labels::new(labels) {
            let suffix = name_and_suffix(self.kind, self.name).1;
            self.samples.push(Sample::with(suffix, labels, value));
        }
    }

    /// Sets the only series of the family; absent without a value.
    #[must_use]
    pub(super) fn only(mut self, value: impl Into<Option<f64>>) -> Self {
        if let Some(value) = value.into() {
            self.add([], value);
        }
        self
    }

    /// Adds one series for each value of one label.
    #[must_use]
    pub(super) fn each<'a>(
        mut self,
        label: &'static str,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Self {
        for (value, number) in values {
            self.add([(label, value.to_owned())], number);
        }
        self
    }

    /// The family for a page, with series sorted by labels; `None` without a series.
    pub(super) fn finish(mut self) -> Option<exposition::Family> {
        self.samples
            .sort_by(|one, other| one.labels.cmp(&other.labels));
        family(self.kind, self.name, self.help, self.samples)
    }
}

/// Converts a family of the registry; `None` without a series, or for a kind that we do not use.
pub(super) fn counted(found: &proto::MetricFamily) -> Option<exposition::Family> {
    let kind = match found.get_field_type() {
        proto::MetricType::COUNTER => MetricType::Counter,
        proto::MetricType::GAUGE => MetricType::Gauge,
        proto::MetricType::HISTOGRAM => MetricType::Histogram,
        proto::MetricType::SUMMARY | proto::MetricType::UNTYPED => return None,
    };
    let suffix = name_and_suffix(kind, found.name()).1;
    let mut samples = Vec::new();
    for metric in found.get_metric() {
        let pairs = metric.get_label().iter();
        let labels = Labels::new(pairs.map(|pair| (pair.name(), pair.value())))?;
        match kind {
            MetricType::Histogram => observations(metric.get_histogram(), &labels, &mut samples),
            MetricType::Counter => {
                let value = metric.get_counter().get_value();
                samples.push(Sample::with(suffix, labels, value));
            }
            _ => samples.push(Sample::new(labels, metric.get_gauge().get_value())),
        }
    }
    family(kind, found.name(), found.help(), samples)
}

fn observations(histogram: &proto::Histogram, labels: &Labels, samples: &mut Vec<Sample>) {
    let mut bucket = |bound: &str, count: u64| {
        let labels = labels.with("le", bound);
        samples.push(Sample::with(Suffix::Bucket, labels, number(count)));
    };
    for bound in histogram.get_bucket() {
        bucket(&bound.upper_bound().to_string(), bound.cumulative_count());
    }
    let count = histogram.get_sample_count();
    bucket("+Inf", count);
    let sum = histogram.get_sample_sum();
    samples.push(Sample::with(Suffix::Sum, labels.clone(), sum));
    samples.push(Sample::with(Suffix::Count, labels.clone(), number(count)));
}

fn family(
    kind: MetricType,
    full_name: &str,
    help: &str,
    samples: Vec<Sample>,
) -> Option<exposition::Family> {
    if samples.is_empty() {
        return None;
    }
    let name = name_and_suffix(kind, full_name).0;
    let unit = UNITS.into_iter().find(|unit| {
        let before = name.strip_suffix(unit);
        before.is_some_and(|before| before.ends_with('_'))
    });
    Some(exposition::Family {
        name: name.into(),
        kind,
        help: Some(help.into()),
        unit: unit.map(Into::into),
        samples,
    })
}

/// The name of the family and the suffix of its samples.
fn name_and_suffix(kind: MetricType, full_name: &str) -> (&str, Suffix) {
    let suffix = match kind {
        MetricType::Counter => Suffix::Total,
        MetricType::Info => Suffix::Info,
        _ => return (full_name, Suffix::None),
    };
    match full_name.strip_suffix(suffix.text()) {
        Some(name) => (name, suffix),
        None => (full_name, Suffix::None),
    }
}

/// Converts to the float of a sample: exact up to 2^53, rounded above.
#[expect(
    clippy::cast_precision_loss,
    reason = "a sample is a float by the format's definition"
)]
pub(super) fn number(value: u64) -> f64 {
    value as f64
}

/// 1 or 0.
pub(super) fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}
