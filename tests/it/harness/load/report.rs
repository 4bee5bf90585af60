//! The results of the clients, added up.

use std::collections::BTreeMap;
use std::fmt;

use super::histogram::Histogram;
use super::outcome::{Failure, Kind};
use super::slow::Slow;

/// Number of failures that a report keeps individually; it counts all.
const KEPT: usize = 10_000;
/// Number of failures to print.
const SHOWN: usize = 10;

/// The results of one client or of all.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Right answers.
    pub answered: u64,
    /// Right answers by process, if the server sends its PID.
    pub by_pid: BTreeMap<i64, u64>,
    /// Failed requests by kind.
    pub lost: BTreeMap<Kind, u64>,
    /// The first failures.
    pub failures: Vec<Failure>,
    /// The first requests that were answered late.
    pub slow: Vec<Slow>,
    /// Requests that were resent on a new connection; their final result is counted above.
    pub resent: u64,
    /// Kept connections that the server closed before the next request; nothing was sent on them.
    pub ended: u64,
    /// Time from when a request was due to its complete answer, or to the client's time limit.
    pub latency: Histogram,
}

impl Report {
    pub(super) fn fail(&mut self, failure: Failure) {
        *self.lost.entry(failure.kind).or_default() += 1;
        if self.failures.len() < KEPT {
            self.failures.push(failure);
        }
    }

    pub(super) fn slow(&mut self, slow: Slow) {
        if self.slow.len() < KEPT {
            self.slow.push(slow);
        }
    }

    /// Adds the results of others.
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
        let room = KEPT.saturating_sub(self.slow.len());
        self.slow.extend(other.slow.into_iter().take(room));
        self.latency.merge(&other.latency);
    }

    /// Number of failed requests.
    pub fn lost(&self) -> u64 {
        self.lost.values().sum()
    }

    pub fn lost_by(&self, kind: Kind) -> u64 {
        self.lost.get(&kind).copied().unwrap_or(0)
    }

    /// Number of requests, answered or not.
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
        for slow in self.slow.iter().take(SHOWN) {
            write!(f, "\n  slow {slow}")?;
        }
        Ok(())
    }
}
