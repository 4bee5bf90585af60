//! The end of the streams, when the runtime ends.

use std::rc::Rc;

use tokio::sync::watch::{Receiver, Sender};
use tokio::task::yield_now;

/// How often every stream has its turn at the end. A client that reads has all by then; one that does not is not waited for.
const TURNS: usize = 200;

/// Ends the streams. Clones end the same ones.
#[derive(Clone, Debug, Default)]
pub struct Closing(Rc<Sender<bool>>);

impl Closing {
    /// Has every stream send what there is, and its result. It takes a number of turns of the loop, and waits for nothing.
    pub async fn close(&self) {
        self.0.send_replace(true);
        for _ in 0..TURNS {
            if self.0.receiver_count() == 0 {
                return;
            }
            yield_now().await;
        }
    }

    /// For a stream, as long as it is there: whether it is to end.
    pub(super) fn enter(&self) -> Receiver<bool> {
        self.0.subscribe()
    }
}
