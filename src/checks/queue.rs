//! Checks whether one worker accepts connections.

use std::future::pending;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{sleep, timeout_at};

use crate::policy::Motion;

use super::check::{Check, Failure, NotPassed, Step};
use super::client::{Connection, Deadline};
use super::target::Target;

/// First pause between two looks at a queue. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// Approximate number of looks within the time of a check. It is large because a queue that refills at once (with a
/// constant number of clients, or when it is full) is shorter only for moments.
const LOOKS: u32 = 200;

/// Connects to one worker. Passes when the worker has accepted this or another waiting connection. `queue` returns the
/// length of its accept queue.
pub async fn tcp(target: Target, queue: impl Fn() -> Option<u32>, limit: Duration) -> Check {
    let looks = Looks::within(limit);
    accepts(target, &queue, looks, limit).await.into()
}

/// As [`tcp`], with given pauses between the looks.
pub(super) async fn accepts(
    target: Target,
    queue: &impl Fn() -> Option<u32>,
    looks: Looks,
    limit: Duration,
) -> Result<(), NotPassed> {
    let deadline = Deadline::new(limit);
    let mut connection = Connection::open(target, &deadline).await?;
    let accepted = either(looks.until_moving(queue), connection.used(limit / 4));
    deadline.step(Step::Accept, accepted).await
}

/// Looks at the accept queue of one worker. Passes when the queue is empty or moves. For half of the time it only
/// looks. Then it opens a connection of its own, if there is a `target`, and closes its sending side at once. When the
/// worker accepts that connection, it closes too, and so shows that it accepts, even if the queue has the same length
/// at each look.
pub async fn accept(
    target: impl Fn() -> Option<Target>,
    queue: impl Fn() -> Option<u32>,
    limit: Duration,
) -> Check {
    let mut looks = Looks::within(limit);
    match queue() {
        Some(0) => return Check::Passed,
        Some(waiting) => looks.motion.look(waiting),
        None => return Err(NotPassed::no_queue()).into(),
    };
    let deadline = Deadline::new(limit);
    let half = deadline.at(limit / 2);
    if let Ok(result) = timeout_at(half, looks.until_moving(&queue)).await {
        return result.into();
    }
    let used = async {
        let own = async {
            let target = target().ok_or_else(NotPassed::no_target)?;
            let mut connection = Connection::open(target, &deadline).await?;
            connection.used(Duration::ZERO).await
        };
        match own.await {
            Ok(()) => Ok(()),
            // A full queue takes no connection of ours, but it may still move.
            Err(_) => pending().await,
        }
    };
    let moves = either(looks.until_moving(&queue), used);
    let stuck = |limit| Failure::Stuck {
        waiting: queue().unwrap_or(0),
        limit,
    };
    deadline.bound(moves, stuck).await.into()
}

/// A sequence of looks at a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looks {
    motion: Motion,
    pause: Duration,
    longest: Duration,
}

impl Looks {
    /// Pauses grow up to `longest`.
    pub fn up_to(longest: Duration) -> Self {
        Self {
            motion: Motion::default(),
            pause: FIRST_PAUSE,
            longest,
        }
    }

    /// As many looks as a check of that length may have.
    fn within(limit: Duration) -> Self {
        Self::up_to((limit / LOOKS).max(FIRST_PAUSE))
    }

    /// Returns when the queue is seen to move.
    async fn until_moving(mut self, queue: &impl Fn() -> Option<u32>) -> Result<(), NotPassed> {
        loop {
            // Pause first, because the kernel may defer the last step of a handshake for a moment.
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(self.longest);
            if self.motion.look(queue().ok_or_else(NotPassed::no_queue)?) {
                return Ok(());
            }
        }
    }
}

/// Returns the output of the future that is ready first.
async fn either<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    std::future::poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => second.as_mut().poll(context),
    })
    .await
}
