//! How often something may be done, or be told.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use tokio::time::Instant;

/// Slows the requests of one connection down: a client that sends one after the other without a pause would take a whole
/// CPU from the runtime, and its time from the clients beside it.
#[derive(Debug)]
pub(super) struct Pace {
    /// Requests that are answered at once.
    left: Cell<u32>,
    step: Duration,
    /// When the last request was answered, or will be.
    last: Cell<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(burst: u32, step: Duration) -> Self {
        Self {
            left: Cell::new(burst),
            step,
            last: Cell::new(None),
        }
    }

    /// When a request that arrives now is answered; `None`: at once. After the burst that is a step after the one before
    /// it, so a client that asks once in a step does not wait.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let due = if let Some(left) = self.left.get().checked_sub(1) {
            self.left.set(left);
            now
        } else {
            let next = self.last.get().map(|last| last + self.step);
            next.map_or(now, |next| next.max(now))
        };
        self.last.set(Some(due));
        (due > now).then_some(due)
    }
}

/// Time without a failure after which accepting works again.
const CALM: Duration = Duration::from_mins(1);

/// Says that connections cannot be accepted, and that they can again. Where descriptors are just enough, it fails now
/// and then; that is one trouble.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    failures: u64,
    last: Option<Instant>,
}

impl Trouble {
    pub(super) fn failed(&mut self, error: &io::Error) {
        if self.failures == 0 {
            tracing::warn!(%error, "cannot accept admin connections; trying again");
        }
        self.count(Instant::now());
    }

    pub(super) fn passed(&mut self) {
        if let Some(failures) = self.calm(Instant::now()) {
            tracing::info!(failures, "admin connections are accepted again");
        }
    }

    fn count(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
    }

    /// The number of failures, once they are over.
    fn calm(&mut self, now: Instant) -> Option<u64> {
        self.last.filter(|last| now >= *last + CALM)?;
        self.last = None;
        Some(std::mem::take(&mut self.failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    fn instants() -> impl Fn(u32) -> Instant {
        let start = Instant::now();
        move |steps| start + STEP * steps
    }

    #[test]
    fn a_burst_is_answered_at_once_and_what_follows_at_a_pace() {
        let at = instants();
        let pace = Pace::new(2, STEP);
        assert_eq!(pace.due(at(0)), None);
        assert_eq!(pace.due(at(0)), None);
        assert_eq!(pace.due(at(0)), Some(at(1)));
        assert_eq!(pace.due(at(1)), Some(at(2)));
        // Requests that were sent ahead wait for each other.
        assert_eq!(pace.due(at(1)), Some(at(3)));
        // A pause earns one answer and no further burst.
        assert_eq!(pace.due(at(10)), None);
        assert_eq!(pace.due(at(10)), Some(at(11)));
    }

    #[test]
    fn a_client_that_asks_no_oftener_than_the_pace_never_waits() {
        let at = instants();
        let pace = Pace::new(2, STEP);
        for second in 0..100 {
            assert_eq!(pace.due(at(second * 10)), None, "second {second}");
        }
        // Just as often.
        for step in 991..1100 {
            assert_eq!(pace.due(at(step)), None, "step {step}");
        }
        assert_eq!(pace.due(at(1099)), Some(at(1100)));
    }

    #[test]
    fn failures_now_and_then_are_one_trouble() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut trouble = Trouble::default();
        assert_eq!(trouble.calm(after(0)), None);
        for second in [0, 30, 80] {
            trouble.count(after(second));
            assert_eq!(trouble.calm(after(second + 1)), None);
        }
        assert_eq!(trouble.calm(after(139)), None);
        assert_eq!(trouble.calm(after(140)), Some(3));
        assert_eq!(trouble.calm(after(300)), None);
        trouble.count(after(400));
        assert_eq!(trouble.calm(after(460)), Some(1));
    }
}
