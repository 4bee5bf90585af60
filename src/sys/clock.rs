//! The only place that reads a clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};

use crate::model::Tick;

/// Wall time. It may jump, so never measure with it; schedules use it.
#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Wall time since 1970; zero before.
pub fn since_1970() -> Duration {
    let since = wall().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// Monotonic time, for measuring durations.
#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// CPU time that the calling thread has used. Unlike wall time, it does not grow while the thread waits for a CPU, so it
/// measures what something costs also under a CPU limit. Zero if the kernel does not tell (clock_gettime(2)).
pub fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Monotonic time since the start, without the time during which the runtime itself did not run.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    wall: SystemTime,
    /// Shared with the readers. It only grows.
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

    /// Subtracts `gap` from the clock. The runtime was frozen for this time (SIGSTOP, a paused container), and so
    /// were its workers: a deadline that passed meanwhile says nothing about a worker.
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
    pub fn unix_seconds(&self) -> u64 {
        since_1970().as_secs()
    }

    /// A function that reads this clock, for other owners.
    pub fn reader(&self) -> impl Fn() -> Tick + 'static {
        let clock = self.clone();
        move || clock.now()
    }

    fn lost(&self) -> Duration {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that is random enough to spread retries: the low bits of the time.
    pub fn jitter(&self) -> u16 {
        let nanos = self.start.elapsed().subsec_nanos();
        u16::try_from(nanos.wrapping_mul(0x9e37_79b1) >> 16).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::until;

    #[test]
    fn cpu_time_grows_with_work_and_not_while_the_thread_waits() {
        let before = thread_cpu();
        until("work is counted", || thread_cpu() > before);
        let (began, before) = (Clock::start(), thread_cpu());
        let (_tell, told) = std::sync::mpsc::channel::<()>();
        let wait = Duration::from_millis(300);
        assert!(told.recv_timeout(wait).is_err());
        let waited = began.now().since(Tick::default());
        assert!(waited >= wait);
        assert!(thread_cpu().saturating_sub(before) < waited / 2);
    }
}
