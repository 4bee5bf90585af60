//! Counters: what all workers added.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::account::{Account, Cost};
use super::lives::Life;
use super::series::{self, ENTRY, newer};
use crate::metrics::exposition::{Exemplar, Labels, Sample, Suffix};

/// The series of one family.
#[derive(Debug, Default)]
pub(super) struct Counters {
    series: BTreeMap<Labels, Count>,
}

/// One series.
#[derive(Debug)]
struct Count {
    /// Only ever added to: a sum made anew could fall by a rounding, which would be read as a start from zero.
    total: f64,
    /// What each worker said last, in the order of their lives.
    seen: Vec<(Life, f64)>,
    exemplar: Option<Box<Exemplar>>,
}

impl Counters {
    /// What `life` says; `false` if there is no room for it.
    pub(super) fn take(&mut self, life: Life, sample: Sample, account: &mut Account<'_>) -> bool {
        let value = sample.value;
        let Some(count) = self.series.get_mut(&sample.labels) else {
            let bytes = series::bytes(&sample.labels) + size_of::<Count>() + ENTRY;
            let room = account.charge(Cost::new(1, bytes));
            if room {
                let mut count = Count {
                    total: value,
                    seen: vec![(life, value)],
                    exemplar: None,
                };
                newer(&mut count.exemplar, sample.exemplar, account);
                self.series.insert(sample.labels, count);
            }
            return room;
        };
        match count.seen.binary_search_by_key(&life, |(life, _)| *life) {
            Ok(at) => {
                let last = &mut count.seen[at].1;
                // Lower than before: it started from zero again.
                count.total += if value >= *last { value - *last } else { value };
                *last = value;
            }
            Err(at) => {
                if !account.charge(Cost::bytes(ENTRY)) {
                    return false;
                }
                count.seen.insert(at, (life, value));
                count.total += value;
            }
        }
        newer(&mut count.exemplar, sample.exemplar, account);
        true
    }

    /// It ended: what it counted stays.
    pub(super) fn gone(&mut self, life: Life, account: &mut Account<'_>) {
        for count in self.series.values_mut() {
            if let Ok(at) = count.seen.binary_search_by_key(&life, |(life, _)| *life) {
                count.seen.remove(at);
                account.refund(Cost::bytes(ENTRY));
            }
        }
    }

    pub(super) fn samples(&self, bare: bool) -> Vec<Sample> {
        let suffix = if bare { Suffix::None } else { Suffix::Total };
        let sample = |(labels, count): (&Labels, &Count)| Sample {
            suffix,
            labels: labels.clone(),
            value: count.total,
            exemplar: count.exemplar.clone(),
        };
        self.series.iter().map(sample).collect()
    }
}
