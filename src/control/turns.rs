//! How fast all clients together are served, one by one.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::guests::Pace;

/// Turns in the order of those who wait for one. Only who gets a turn uses up time: a client that leaves before is forgotten,
/// or one that comes again and again could make the others wait for hours.
pub(super) struct Turns {
    pace: Mutex<Pace>,
    begun: Instant,
}

impl Turns {
    /// So many turns at once, then one more after each pause.
    pub(super) fn new(burst: u32, pause: Duration) -> Self {
        Self {
            pace: Mutex::new(Pace::new(burst, pause)),
            begun: Instant::now(),
        }
    }

    /// Waits for the next turn.
    pub(super) async fn next(&self) {
        let mut pace = self.pace.lock().await;
        rest(pace.due(self.begun.elapsed())).await;
        pace.pay(self.begun.elapsed());
    }
}

/// Lets this time pass, and others do something in any case.
async fn rest(time: Duration) {
    if time.is_zero() {
        yield_now().await;
    } else {
        sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn who_leaves_before_its_turn_costs_the_others_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().build().unwrap();
        let hour = Duration::from_hours(1);
        runtime.block_on(async {
            let turns = Turns::new(2, hour);
            turns.next().await;
            turns.next().await;
            for _ in 0..100 {
                let early = timeout(Duration::from_millis(1), turns.next());
                assert!(early.await.is_err());
            }
            let due = turns.pace.lock().await.due(turns.begun.elapsed());
            assert!(due <= hour, "{due:?}");
        });
    }
}
