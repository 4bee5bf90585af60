//! Repeats checks of a starting worker until one passes: readiness.

use std::time::Duration;

use tokio::time::sleep;

use crate::model::Page;

use super::check::{Check, Failure, NotPassed};
use super::http::http;
use super::queue::{Looks, accepts};
use super::target::Target;

/// First and longest pause, between two attempts and between two looks at a queue.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(200));

/// First and largest time limit of one attempt: a program may take long for its first answer, and it may never answer a
/// particular request.
const LIMIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Returns when the worker has answered a request for the page with 2xx or 3xx. Never gives up: the caller drops the future when
/// the start times out or the worker ends. `heard` receives each result that did not pass.
pub async fn until_http(target: impl Fn() -> Option<Target>, page: &Page, heard: impl Fn(&Check)) {
    let mut tries = Tries::new();
    loop {
        let check = match target() {
            Some(target) => http(target, page, tries.limit).await,
            None => Err(NotPassed::no_target()).into(),
        };
        if check == Check::Passed {
            return;
        }
        heard(&check);
        tries.pause_after(&check).await;
    }
}

/// Returns when the worker has accepted a connection, see [`super::tcp`]. Never gives up, as [`until_http`].
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
            None => Err(NotPassed::no_target()).into(),
        };
        if check == Check::Passed {
            return;
        }
        heard(&check);
        tries.pause_after(&check).await;
    }
}

/// Time limit of the next attempt, and the pause before it. Each pause doubles. The time limit doubles after an attempt
/// that timed out, so that few abandoned connections wait in the worker's queue.
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
