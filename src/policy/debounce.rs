//! Combines a burst of changes into one.

use std::time::Duration;

use crate::model::Tick;

/// A burst that does not end counts as one after this multiple of the delay.
const MOST: u32 = 10;

/// Changes that have not been acted on yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debounce {
    delay: Duration,
    pending: Option<(Tick, Tick)>,
}

impl Debounce {
    /// Acts when nothing has changed for `delay`.
    pub fn new(delay: Duration) -> Self {
        Self {
            delay,
            pending: None,
        }
    }

    /// Records a change at `now`. Returns true if it is the first of a burst.
    pub fn change(&mut self, now: Tick) -> bool {
        let first = self.pending.map(|(first, _)| first);
        self.pending = Some((first.unwrap_or(now), now));
        first.is_none()
    }

    /// The time to act if nothing else changes until then.
    pub fn due(&self) -> Option<Tick> {
        let (first, last) = self.pending?;
        Some(
            last.after(self.delay)
                .min(first.after(self.delay.saturating_mul(MOST))),
        )
    }

    /// Returns whether it is time to act. If so, the pending changes are cleared.
    pub fn act(&mut self, now: Tick) -> bool {
        let over = self.due().is_some_and(|due| due <= now);
        if over {
            self.pending = None;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Tick {
        Tick(Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_burst_is_acted_upon_once_when_it_is_over() {
        let mut debounce = Debounce::new(Duration::from_secs(1));
        assert_eq!(debounce.due(), None);
        assert!(!debounce.act(at(5)));
        assert!(debounce.change(at(10)));
        assert!(!debounce.change(at(900)));
        assert_eq!(debounce.due(), Some(at(1900)));
        assert!(!debounce.act(at(1899)));
        assert!(debounce.act(at(1900)));
        assert!(!debounce.act(at(9999)));
        assert!(debounce.change(at(10_000)));
    }

    #[test]
    fn a_burst_without_end_is_acted_upon_after_ten_delays() {
        let mut debounce = Debounce::new(Duration::from_secs(1));
        let mut acts = Vec::new();
        for now in (0..30_000).step_by(100) {
            debounce.change(at(now));
            if debounce.act(at(now)) {
                acts.push(now);
            }
        }
        assert_eq!(acts, [10_000, 20_100]);
    }
}
