//! A family of a page, as it is merged.

use crate::exposition::{Dropped, Family, Labels, MetricType, Suffix};

/// The label that tells the workers apart, and what is put before a program's own of that name, as Prometheus does.
pub(super) const WORKER: &str = "worker";
const EXPORTED: [&str; 3] = [
    "exported_worker",
    "exported_exported_worker",
    "exported_exported_exported_worker",
];

/// Makes a gauge of a state set, and a counter of what is unknown but named as one.
pub(super) fn plain(family: &mut Family, dropped: &mut Dropped) {
    if family.kind == MetricType::StateSet {
        family.kind = MetricType::Gauge;
    }
    if family.kind != MetricType::Unknown {
        return;
    }
    let name = match family.name.strip_suffix(Suffix::Total.text()) {
        Some(name) if !name.is_empty() => name.into(),
        _ => return,
    };
    family.name = name;
    family.kind = MetricType::Counter;
    let before = family.samples.len();
    family
        .samples
        .retain(|sample| sample.value.is_finite() && sample.value >= 0.0);
    dropped.invalid += (before - family.samples.len()) as u64;
    for sample in &mut family.samples {
        sample.suffix = Suffix::Total;
    }
}

/// Gives a label of our name another; returns whether there was one.
pub(super) fn rename_label(family: &mut Family) -> bool {
    let mut found = false;
    for sample in &mut family.samples {
        if let Some(labels) = renamed(&sample.labels) {
            sample.labels = labels;
            found = true;
        }
    }
    found
}

fn renamed(labels: &Labels) -> Option<Labels> {
    // Most have none, and there are many.
    if !labels.as_str().contains("worker=\"") {
        return None;
    }
    let value = labels.get(WORKER)?;
    let is_free = |name: &&&str| labels.get(name).is_none();
    // One that has all of them loses the longest.
    let name = EXPORTED.iter().find(is_free).unwrap_or(&EXPORTED[2]);
    Some(labels.without(WORKER).with(name, &value))
}
