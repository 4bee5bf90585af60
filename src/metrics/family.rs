//! Families that are built anew for each scrape.
#![forbid(unsafe_code)]

use prometheus::proto;

/// One metric family under construction; without a series it vanishes from the page.
#[derive(Debug)]
pub(super) struct Family {
    kind: proto::MetricType,
    name: &'static str,
    help: &'static str,
    series: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl Family {
    /// A value that may fall.
    pub(super) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(proto::MetricType::GAUGE, name, help)
    }

    /// A value that somebody else counts and that never falls.
    pub(super) fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(proto::MetricType::COUNTER, name, help)
    }

    fn new(kind: proto::MetricType, name: &'static str, help: &'static str) -> Self {
        Self {
            kind,
            name,
            help,
            series: Vec::new(),
        }
    }

    /// Adds the series with these labels, which are in the order of their names.
    pub(super) fn add<const N: usize>(&mut self, labels: [(&'static str, String); N], value: f64) {
        self.series.push((labels.into(), value));
    }

    /// The family with its only series, absent if there is no value.
    #[must_use]
    pub(super) fn only(mut self, value: impl Into<Option<f64>>) -> Self {
        if let Some(value) = value.into() {
            self.add([], value);
        }
        self
    }

    /// The family with one 0/1 or counting series for each value of one label.
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

    /// In the form the encoder takes, series ordered by their label values; `None` without a series.
    pub(super) fn finish(mut self) -> Option<proto::MetricFamily> {
        if self.series.is_empty() {
            return None;
        }
        self.series
            .sort_by(|(one, _), (other, _)| values(one).cmp(values(other)));
        let mut family = proto::MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        let kind = self.kind;
        let series = self.series.into_iter();
        family.set_metric(
            series
                .map(|(labels, value)| metric(kind, labels, value))
                .collect(),
        );
        Some(family)
    }
}

fn values<'a>(labels: &'a [(&'static str, String)]) -> impl Iterator<Item = &'a str> {
    labels.iter().map(|(_, value)| value.as_str())
}

fn metric(
    kind: proto::MetricType,
    labels: Vec<(&'static str, String)>,
    value: f64,
) -> proto::Metric {
    let labels = labels.into_iter().map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value);
        pair
    });
    let mut metric = proto::Metric::from_label(labels.collect());
    if kind == proto::MetricType::COUNTER {
        let mut counter = proto::Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

/// As samples are: exact up to 2^53, rounded above.
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
