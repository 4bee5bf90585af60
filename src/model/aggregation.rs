//! The values of RPM_APP_METRICS_GAUGES.

use super::Word;

/// How to merge a gauge that several workers export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// One series for each worker, with the label `worker`.
    Worker,
    /// The sum.
    Sum,
    /// The maximum.
    Max,
    /// The minimum.
    Min,
    /// The value of the youngest worker.
    Last,
    /// The sum, divided by the number of workers that export it.
    Avg,
    /// The gauge is left out.
    Drop,
}

impl Word for Aggregation {
    const ALL: &'static [Self] = &[
        Self::Sum,
        Self::Max,
        Self::Min,
        Self::Last,
        Self::Avg,
        Self::Worker,
        Self::Drop,
    ];

    fn word(self) -> &'static str {
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
