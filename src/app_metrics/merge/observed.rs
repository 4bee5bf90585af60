//! Merges histograms and summaries: the observations of all workers.

use std::collections::BTreeMap;

use super::account::{Account, Cost};
use super::groups::Group;
use super::layout::Layouts;
use super::observations::{NoRoom, Observations};
use super::processes::ProcessKey;
use super::series;
use crate::exposition::{Dropped, Labels, MetricType, Sample, Suffix};

/// The series of one family, by labels without `le`.
#[derive(Debug, Default)]
pub(super) struct Observed {
    layouts: Layouts,
    series: BTreeMap<Labels, Observations>,
}

impl Observed {
    /// Takes the samples of `process`, in adjacent groups. Returns whether its bounds differ from those of the first
    /// worker.
    pub(super) fn take(
        &mut self,
        process: ProcessKey,
        kind: MetricType,
        mut samples: Vec<Sample>,
        account: &mut Account<'_>,
        dropped: &mut Dropped,
    ) -> bool {
        // Quantiles of several workers cannot be merged.
        samples.retain(|sample| sample.suffix != Suffix::None);
        let mut differs = false;
        let (mut rest, mut ahead) = (samples.into_iter(), None);
        while let Some(group) = Group::next(&mut rest, &mut ahead) {
            let len = group.len() as u64;
            let labels = group.labels.clone();
            let Some((snap, exemplars)) = group.snap(kind, &mut self.layouts) else {
                dropped.invalid += len;
                continue;
            };
            let taken = if let Some(series) = self.series.get_mut(&labels) {
                series.take(process, snap, account)
            } else {
                let Cost { series, bytes } = Observations::cost(&snap);
                let cost = Cost::new(series, bytes + series::bytes(&labels));
                if account.charge(cost) {
                    let series = Observations::new(process, snap);
                    self.series.insert(labels.clone(), series);
                    Ok(())
                } else {
                    Err(NoRoom)
                }
            };
            match (taken, self.series.get_mut(&labels)) {
                (Ok(()), Some(series)) => {
                    series.exemplify(process, exemplars, account);
                    differs |= series.differs(process);
                }
                _ => dropped.limit += len,
            }
        }
        differs
    }

    /// Handles the end of a process: its observations stay.
    pub(super) fn process_ended(&mut self, process: ProcessKey, account: &mut Account<'_>) {
        for series in self.series.values_mut() {
            series.process_ended(process, account);
        }
    }

    pub(super) fn samples(&self, kind: MetricType) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (labels, series) in &self.series {
            series.samples(labels, kind == MetricType::Histogram, &mut samples);
        }
        samples
    }
}
