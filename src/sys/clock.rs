//! The only place that reads a clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::model::Tick;

/// Wall time: it may jump, so it measures nothing; a schedule goes by it.
#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Monotonic time, for who measures how long something took.
#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Monotonic time since the start, less the time during which the runtime itself did not run.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    wall: SystemTime,
    /// Shared with the readers, who only ever see it grow.
    lost: Arc<Mutex<Duration>>,
}

impl Clock {
    /// Tick zero is now.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            wall: wall(),
            lost: Arc::default(),
        }
    }

    /// Now.
    pub fn now(&self) -> Tick {
        Tick(self.start.elapsed().saturating_sub(self.lost()))
    }

    /// Takes `gap` out of the count: the runtime was frozen (SIGSTOP, a paused container) for so long, and a deadline
    /// that passed in the meantime says nothing about a worker that was frozen with it.
    pub fn skip(&self, gap: Duration) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) += gap;
    }

    /// The instant of `tick`, for timers.
    pub fn instant(&self, tick: Tick) -> Instant {
        self.start + self.lost() + tick.0
    }

    /// Wall time at tick zero.
    pub fn wall_start(&self) -> SystemTime {
        self.wall
    }

    /// Wall time, whole seconds since 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn unix_seconds(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }

    /// Reads this clock elsewhere.
    pub fn reader(&self) -> impl Fn() -> Tick + 'static {
        let clock = self.clone();
        move || clock.now()
    }

    fn lost(&self) -> Duration {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that is as good as random for spreading retries: the low bits of the time.
    pub fn jitter(&self) -> u16 {
        let nanos = self.start.elapsed().subsec_nanos();
        u16::try_from(nanos.wrapping_mul(0x9e37_79b1) >> 16).unwrap_or(0)
    }
}
