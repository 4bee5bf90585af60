//! Measures how long a writer was blocked because nothing read its output.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::sys::clock;

/// A write that took longer than this waited for its reader; a shorter one only copied.
const WAITED: Duration = Duration::from_millis(1);

/// The blocked time of one output.
#[derive(Debug)]
pub struct Stall {
    start: Instant,
    /// Start of the present write, as nanoseconds since `start` plus one; 0 if there is none.
    since: AtomicU64,
    total: AtomicU64,
}

impl Stall {
    pub fn new() -> Self {
        Self {
            start: clock::instant(),
            since: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    /// Marks the begin of a write.
    pub fn begin(&self) {
        self.since.store(self.elapsed() + 1, Relaxed);
    }

    /// Marks the end of a write.
    pub fn end(&self) {
        let since = self.since.swap(0, Relaxed);
        self.total.fetch_add(self.waited(since), Relaxed);
    }

    /// The total so far, including the present write.
    pub fn total(&self) -> Duration {
        let now = self.waited(self.since.load(Relaxed));
        Duration::from_nanos(self.total.load(Relaxed) + now)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX - 1)
    }

    fn waited(&self, since: u64) -> u64 {
        let Some(since) = since.checked_sub(1) else {
            return 0;
        };
        let took = self.elapsed().saturating_sub(since);
        if u128::from(took) < WAITED.as_nanos() {
            0
        } else {
            took
        }
    }
}
