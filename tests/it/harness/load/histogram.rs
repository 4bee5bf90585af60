//! A histogram of response times, in constant space and without a package.

/// Steps for each doubling: a time is stored with an error of about 3 %.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Counts of times in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    most: u64,
}

impl Histogram {
    pub fn add(&mut self, micros: u64) {
        let at = place(micros);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
        self.most = self.most.max(micros);
    }

    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
        self.total += other.total;
        self.most = self.most.max(other.most);
    }

    /// Number of recorded times.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The longest time, exact.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// The time that `permille` of 1000 requests did not exceed, rounded up to its step; 0 without data.
    pub fn permille(&self, permille: u64) -> u64 {
        let wanted = (self.total * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return last(at).min(self.most);
            }
        }
        self.most
    }
}

/// The index of a value. Each value below `STEPS` has its own; from there, each doubling is divided into `STEPS`.
fn place(value: u64) -> usize {
    let place = if value < STEPS {
        value
    } else {
        let shift = value.ilog2() - STEP_BITS;
        u64::from(shift) * STEPS + (value >> shift)
    };
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The largest value of an index.
fn last(place: usize) -> u64 {
    let place = place as u64;
    if place < STEPS {
        return place;
    }
    let shift = place / STEPS - 1;
    ((place % STEPS + STEPS + 1) << shift) - 1
}
