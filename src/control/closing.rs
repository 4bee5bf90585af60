//! The end of the streams, when the runtime ends.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch::{Receiver, Sender};
use tokio::time::{Instant, sleep};

/// How long the streams may take in all, and how long none of them may go on: a client that reads has all by then, and one
/// that does not is not waited for.
const MOST: Duration = Duration::from_secs(1);
const STUCK: Duration = Duration::from_millis(200);

/// Time for the streams between two looks at them.
const LOOK: Duration = Duration::from_millis(1);

/// Ends the streams. Clones end the same ones.
#[derive(Clone, Debug, Default)]
pub struct Closing(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    over: Sender<bool>,
    /// How many pages the clients have taken.
    pages: Cell<u64>,
}

impl Closing {
    /// Has every stream send what there is, and its result, as long as any client takes something: 1 second at most.
    pub async fn close(&self) {
        self.close_within(MOST, STUCK).await;
    }

    /// The same with other times.
    pub(super) async fn close_within(&self, most: Duration, stuck: Duration) {
        let Inner { over, pages } = &*self.0;
        over.send_replace(true);
        let begun = Instant::now();
        let mut last = (pages.get(), over.receiver_count(), begun);
        while over.receiver_count() > 0 {
            sleep(LOOK).await;
            let now = Instant::now();
            let (taken, left) = (pages.get(), over.receiver_count());
            if (taken, left) != (last.0, last.1) {
                last = (taken, left, now);
            }
            if now - begun > most || now - last.2 > stuck {
                return;
            }
        }
    }

    /// For a stream, as long as it is there: whether it is to end.
    pub(super) fn enter(&self) -> Receiver<bool> {
        self.0.over.subscribe()
    }

    /// How many streams there are.
    #[cfg(test)]
    pub(super) fn streams(&self) -> usize {
        self.0.over.receiver_count()
    }

    /// The client of a stream has taken a page.
    pub(super) fn went_on(&self) {
        let pages = &self.0.pages;
        pages.set(pages.get() + 1);
    }
}
