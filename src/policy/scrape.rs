//! The last scrape of a worker: its metrics are read before its stop signal, so that its counts are not lost.

use std::time::Duration;

use crate::model::Tick;

/// Limit of the last scrape. It delays the stop signal, so it is also at most the grace divided by [`PART`].
const LIMIT: Duration = Duration::from_secs(1);
const PART: u32 = 4;

/// Additional time for the answer after the limit; then the stop continues without it.
const MARGIN: Duration = Duration::from_millis(100);

/// A worker that waits for a quiet moment continues to count. After this time its scrape is outdated and is repeated.
const FRESH: Duration = Duration::from_millis(100);

/// Scrapes may take this part of the wait: a worker cannot be paused for a look while it is scraped.
const SHARE: u32 = 5;

/// Limit of the last scrape for this grace; `None` if there is no time for one.
pub fn limit(grace: Duration) -> Option<Duration> {
    Some(LIMIT.min(grace / PART)).filter(|limit| !limit.is_zero())
}

/// State of the last scrape of a worker that waits for a quiet moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastScrape {
    /// No scrape is needed.
    Unneeded,
    /// The scrape was requested.
    Asked { since: Tick, until: Tick },
    /// The scrape has ended.
    Done { at: Tick, took: Duration },
}

impl LastScrape {
    /// A scrape that is requested at `now` with this limit.
    pub fn asked(now: Tick, limit: Duration) -> Self {
        Self::Asked {
            since: now,
            until: now.after(limit).after(MARGIN.min(limit)),
        }
    }

    /// The scrape was answered or is no longer waited for.
    #[must_use]
    pub fn answered(self, now: Tick) -> Self {
        match self {
            Self::Asked { since, .. } => Self::Done {
                at: now,
                took: now.since(since),
            },
            Self::Unneeded | Self::Done { .. } => self,
        }
    }

    /// Whether the worker must run at `now`, because it is being scraped or will be scraped again.
    pub fn keeps_from_looks(self, now: Tick) -> bool {
        matches!(self, Self::Asked { .. }) || self.is_old(now)
    }

    /// The time of the next change without an event: the answer is late, or the scrape is outdated.
    pub fn deadline(self) -> Option<Tick> {
        match self {
            Self::Unneeded => None,
            Self::Asked { until, .. } => Some(until),
            Self::Done { at, took } => Some(at.after(FRESH.max(took * SHARE))),
        }
    }

    /// Whether the last scrape is outdated.
    pub fn is_old(self, now: Tick) -> bool {
        matches!(self, Self::Done { .. }) && self.deadline().is_some_and(|due| due <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_worker_that_serves_on_is_asked_again_but_not_most_of_the_time() {
        let at = Tick::default().after(Duration::from_secs(9));
        let old = |took: u64, age: u64| {
            let done = LastScrape::Done { at, took: ms(took) };
            done.is_old(at.after(ms(age)))
        };
        assert!(!old(2, 0) && !old(2, 99) && old(2, 100));
        // A slow scrape.
        assert!(!old(300, 1499) && old(300, 1500));
        let asked = LastScrape::asked(at, ms(250));
        assert!(!asked.is_old(at.after(ms(60_000))));
        assert_eq!(asked.deadline(), Some(at.after(ms(350))));
        let done = asked.answered(at.after(ms(30)));
        assert_eq!(done.deadline(), Some(at.after(ms(180))));
    }

    #[test]
    fn the_last_scrape_takes_a_part_of_the_grace_and_never_long() {
        assert_eq!(limit(Duration::from_secs(10)), Some(Duration::from_secs(1)));
        assert_eq!(limit(Duration::from_secs(2)), Some(ms(500)));
        assert_eq!(limit(Duration::ZERO), None);
    }
}
