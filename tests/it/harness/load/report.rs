//! What the clients met, added up.

use std::collections::BTreeMap;
use std::fmt;

use super::histogram::Histogram;
use super::outcome::{Failure, Kind};

/// Failures that a report keeps one by one; it counts all.
const KEPT: usize = 10_000;
/// Failures that it shows to people.
const SHOWN: usize = 10;

/// What one client or all of them met.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Right answers.
    pub answered: u64,
    /// Right answers by process, where the server names it.
    pub by_pid: BTreeMap<i64, u64>,
    /// Requests that failed, by how.
    pub lost: BTreeMap<Kind, u64>,
    /// The first of them.
    pub failures: Vec<Failure>,
    /// Requests sent once more on a new connection; how they ended then is counted above.
    pub resent: u64,
    /// Kept connections that the server had ended before the client asked again; nothing was sent on them.
    pub ended: u64,
    /// From when a request should have been sent to its whole answer, or to the end of the client's patience.
    pub latency: Histogram,
}

impl Report {
    pub(super) fn fail(&mut self, failure: Failure) {
        *self.lost.entry(failure.kind).or_default() += 1;
        if self.failures.len() < KEPT {
            self.failures.push(failure);
        }
    }

    /// Adds what others met.
    pub fn merge(&mut self, other: Self) {
        self.answered += other.answered;
        self.resent += other.resent;
        self.ended += other.ended;
        for (pid, count) in other.by_pid {
            *self.by_pid.entry(pid).or_default() += count;
        }
        for (kind, count) in other.lost {
            *self.lost.entry(kind).or_default() += count;
        }
        let room = KEPT.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.into_iter().take(room));
        self.latency.merge(&other.latency);
    }

    /// All requests that failed.
    pub fn lost(&self) -> u64 {
        self.lost.values().sum()
    }

    pub fn lost_by(&self, kind: Kind) -> u64 {
        self.lost.get(&kind).copied().unwrap_or(0)
    }

    /// All requests, answered or not.
    pub fn requests(&self) -> u64 {
        self.answered + self.lost()
    }

    /// How unevenly the answers are spread over `workers` processes: the coefficient of variation.
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn variation(&self, workers: usize) -> f64 {
        let mean = self.answered as f64 / workers as f64;
        let silent = workers.saturating_sub(self.by_pid.len());
        let counts = self.by_pid.values().copied();
        let squares = counts
            .chain(std::iter::repeat_n(0, silent))
            .map(|count| (count as f64 - mean).powi(2));
        (squares.sum::<f64>() / workers as f64).sqrt() / mean
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} answered by {} processes, {} lost",
            self.answered,
            self.by_pid.len(),
            self.lost()
        )?;
        for (kind, count) in &self.lost {
            write!(f, ", {} {count}", kind.name())?;
        }
        let Self { resent, ended, .. } = self;
        write!(f, "; {resent} resent, {ended} ended between; us: p50")?;
        for (permille, next) in [(500, ", p99"), (990, ", p99.9"), (999, ", most")] {
            write!(f, " {}{next}", self.latency.permille(permille))?;
        }
        write!(f, " {}", self.latency.most())?;
        for failure in self.failures.iter().take(SHOWN) {
            let at = failure.at.as_millis();
            write!(f, "\n  at {at} ms: {}", failure.text)?;
            if let Some(client) = failure.client {
                write!(f, " (client {client})")?;
            }
        }
        let more = self.failures.len().saturating_sub(SHOWN);
        if more > 0 {
            write!(f, "\n  and {more} more")?;
        }
        Ok(())
    }
}
