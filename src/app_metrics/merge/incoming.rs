//! Prepares a family of a page for merging.

use crate::exposition::{Dropped, Family, Labels, MetricType, Suffix};

/// The label that distinguishes the workers, and (below) the names for a program's own label of that name, as
/// Prometheus chooses them.
pub(super) const WORKER: &str = "worker";
const EXPORTED: [&str; 3] = [
    "exported_worker",
    "exported_exported_worker",
    "exported_exported_exported_worker",
];

/// Converts a state set to a gauge, and a family of unknown type to a counter if its name ends in `_total`.
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

/// Renames a program's own label `worker`; returns whether there was one.
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
    // A quick check, because most series have no such label.
    if !labels.as_str().contains("worker=\"") {
        return None;
    }
    let value = labels.get(WORKER)?;
    let is_free = |name: &&&str| labels.get(name).is_none();
    // If all names are in use, the last one is replaced.
    let name = EXPORTED.iter().find(is_free).unwrap_or(&EXPORTED[2]);
    Some(labels.without(WORKER).with(name, &value))
}
