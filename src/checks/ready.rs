//! Asking a starting worker until it does what is asked.

use std::time::Duration;

use tokio::time::sleep;

use super::check::{Check, Failure, Fault};
use super::http::http;
use super::queue::{Looks, accepts};
use super::target::Target;

/// First and longest pause, between two questions and between two looks at a queue.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(200));

/// Time for the first question, and the most for one: a program may take long for its first answer, and a question may
/// be lost in it for ever.
const LIMIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Returns when the worker has answered `GET path` with 2xx or 3xx. Never gives up: the caller drops it when the time is
/// over or the worker is gone. `heard` is told of every question that did not pass.
pub async fn until_http(target: impl Fn() -> Option<Target>, path: &str, heard: impl Fn(&Check)) {
    let mut tries = Tries::new();
    loop {
        let check = match target() {
            Some(target) => http(target, path, tries.limit).await,
            None => Err(Fault::no_target()).into(),
        };
        if check == Check::Passed {
            return;
        }
        heard(&check);
        tries.pause_after(&check).await;
    }
}

/// Returns when the worker has accepted a connection, see [`super::tcp`]. Never gives up, as above.
pub async fn until_accepts(
    target: impl Fn() -> Option<Target>,
    queue: impl Fn() -> Option<u32>,
    heard: impl Fn(&Check),
) {
    let mut tries = Tries::new();
    loop {
        let check = match target() {
            Some(target) => accepts(target, &queue, Looks::up_to(PAUSE.1), tries.limit)
                .await
                .into(),
            None => Err(Fault::no_target()).into(),
        };
        if check == Check::Passed {
            return;
        }
        heard(&check);
        tries.pause_after(&check).await;
    }
}

/// How long the next question may take, and the pause before it. Each pause is twice as long as the one before. So is a
/// question after one that got no answer in time: few connections shall wait in the worker's queue which nobody wants
/// any more.
#[derive(Debug)]
struct Tries {
    limit: Duration,
    pause: Duration,
}

impl Tries {
    fn new() -> Self {
        Self {
            limit: LIMIT.0,
            pause: PAUSE.0,
        }
    }

    async fn pause_after(&mut self, check: &Check) {
        if let Check::Failed(Failure::TimedOut { .. }) = check {
            self.limit = (self.limit * 2).min(LIMIT.1);
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
    }
}
