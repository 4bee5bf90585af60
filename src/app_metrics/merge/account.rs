//! How much is held, and how much may be.

/// Series and bytes, as estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) series: usize,
    pub(super) bytes: usize,
}

impl Cost {
    pub(super) fn new(series: usize, bytes: usize) -> Self {
        Self { series, bytes }
    }

    /// Bytes that are no series by themselves.
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

/// The part of the memory, one of so many, that is kept for what is known: when new series have taken all that they may, a
/// worker that starts anew still has its numbers counted.
const KEPT: usize = 8;

/// What is held of it all.
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

/// What one family holds, and where it asks for more.
#[derive(Debug)]
pub(super) struct Account<'a> {
    pub(super) budget: &'a mut Budget,
    pub(super) own: &'a mut Cost,
}

impl Account<'_> {
    /// Whether there is room for something new, which is taken then.
    pub(super) fn charge(&mut self, cost: Cost) -> bool {
        let Cost { series, bytes } = self.budget.most;
        self.take(cost, Cost::new(series, bytes - bytes / KEPT))
    }

    /// The same for what one more worker says of a series, or of a family, that is known.
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

    /// Gives back what was charged before.
    pub(super) fn refund(&mut self, cost: Cost) {
        self.budget.used = self.budget.used.minus(cost);
        *self.own = self.own.minus(cost);
    }
}
