//! Counters: what all workers added.

use std::collections::BTreeMap;

use super::account::{Account, Cost};
use super::processes::Life;
use super::series::{self, ENTRY, newer};
use super::visit::{place, visit};
use crate::exposition::{Exemplar, Labels, Sample, Suffix};

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

/// A number, and what stood behind it.
type Said = (f64, Option<Box<Exemplar>>);

impl Counters {
    /// What `life` says. Returns for how many there was no room.
    pub(super) fn take(
        &mut self,
        life: Life,
        samples: Vec<Sample>,
        account: &mut Account<'_>,
    ) -> usize {
        let (mut left_out, mut usual) = (0, 0);
        let samples = samples.into_iter();
        let new = visit(
            &mut self.series,
            samples.map(|sample| (sample.labels, (sample.value, sample.exemplar))),
            |count, said| left_out += usize::from(!count.take(life, said, &mut usual, account)),
        );
        for (labels, said) in new {
            let taken = match self.series.get_mut(&labels) {
                Some(count) => count.take(life, said, &mut usual, account),
                None => self.begin(life, labels, said, account),
            };
            left_out += usize::from(!taken);
        }
        left_out
    }

    /// A new series; `false` if there is no room for it.
    fn begin(
        &mut self,
        life: Life,
        labels: Labels,
        (value, exemplar): Said,
        account: &mut Account<'_>,
    ) -> bool {
        let bytes = series::bytes(&labels) + size_of::<Count>() + ENTRY;
        let room = account.charge(Cost::new(1, bytes));
        if room {
            let mut count = Count {
                total: value,
                seen: vec![(life, value)],
                exemplar: None,
            };
            newer(&mut count.exemplar, exemplar, account);
            self.series.insert(labels, count);
        }
        room
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

impl Count {
    /// What `life` says; `false` if there is no room for it.
    fn take(
        &mut self,
        life: Life,
        (value, exemplar): Said,
        usual: &mut usize,
        account: &mut Account<'_>,
    ) -> bool {
        match place(&self.seen, life, usual) {
            Ok(at) => {
                let last = &mut self.seen[at].1;
                // Lower than before: it started from zero again.
                let more = if value >= *last { value - *last } else { value };
                *last = value;
                self.add(more);
            }
            Err(at) => {
                if !account.charge_known(Cost::bytes(ENTRY)) {
                    return false;
                }
                self.seen.insert(at, (life, value));
                self.add(value);
            }
        }
        newer(&mut self.exemplar, exemplar, account);
        true
    }

    /// What is beyond all numbers would stay for ever.
    fn add(&mut self, more: f64) {
        let total = self.total + more;
        if total.is_finite() {
            self.total = total;
        }
    }
}
