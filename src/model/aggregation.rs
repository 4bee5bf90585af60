//! The words of RPM_APP_METRICS_GAUGES.

/// What becomes of a gauge that several workers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// One series each, with the label `worker`.
    Worker,
    /// All together.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The one of the youngest worker.
    Last,
    /// All together, divided by the workers that have it.
    Avg,
    /// It is left out.
    Drop,
}

impl Aggregation {
    /// Every one, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Sum,
        Self::Max,
        Self::Min,
        Self::Last,
        Self::Avg,
        Self::Worker,
        Self::Drop,
    ];

    /// As it is written in RPM_APP_METRICS_GAUGES.
    pub fn word(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
            Self::Last => "last",
            Self::Avg => "avg",
            Self::Drop => "drop",
        }
    }
}
