//! Accounting of the memory for series, and its limits.

/// Number of series, and estimated bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) series: usize,
    pub(super) bytes: usize,
}

impl Cost {
    pub(super) fn new(series: usize, bytes: usize) -> Self {
        Self { series, bytes }
    }

    /// Bytes that are not a series of their own.
    pub(super) fn bytes(bytes: usize) -> Self {
        Self::new(0, bytes)
    }

    fn plus(self, other: Self) -> Self {
        Self::new(self.series + other.series, self.bytes + other.bytes)
    }

    fn minus(self, other: Self) -> Self {
        Self::new(
            self.series.saturating_sub(other.series),
            self.bytes.saturating_sub(other.bytes),
        )
    }
}

/// The fraction of the memory (1/KEPT) that is reserved for known series. When new series have used up the rest, the
/// numbers of a worker that starts again are still counted.
const KEPT: usize = 8;

/// The use of the whole memory.
#[derive(Debug)]
pub(super) struct Budget {
    most: Cost,
    used: Cost,
}

impl Budget {
    pub(super) fn new(most: Cost) -> Self {
        Self {
            most,
            used: Cost::default(),
        }
    }

    pub(super) fn used(&self) -> Cost {
        self.used
    }
}

/// The account of one family.
#[derive(Debug)]
pub(super) struct Account<'a> {
    pub(super) budget: &'a mut Budget,
    pub(super) own: &'a mut Cost,
}

impl Account<'_> {
    /// Reserves room for something new. Returns false if there is none.
    pub(super) fn charge(&mut self, cost: Cost) -> bool {
        let Cost { series, bytes } = self.budget.most;
        self.take(cost, Cost::new(series, bytes - bytes / KEPT))
    }

    /// Reserves room for one more worker of a known series or family; may use the reserved part.
    pub(super) fn charge_known(&mut self, cost: Cost) -> bool {
        self.take(cost, self.budget.most)
    }

    fn take(&mut self, cost: Cost, most: Cost) -> bool {
        let used = self.budget.used.plus(cost);
        let room = used.series <= most.series && used.bytes <= most.bytes;
        if room {
            self.budget.used = used;
            *self.own = self.own.plus(cost);
        }
        room
    }

    /// Releases room.
    pub(super) fn refund(&mut self, cost: Cost) {
        self.budget.used = self.budget.used.minus(cost);
        *self.own = self.own.minus(cost);
    }
}
