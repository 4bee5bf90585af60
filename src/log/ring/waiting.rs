//! Tasks that wait for something new.

use std::task::Waker;

/// Tasks that wait. One that ends before it is woken has to be forgotten.
#[derive(Debug, Default)]
pub struct Waiting(Vec<Waker>);

impl Waiting {
    /// One more waits; the same one counts once.
    pub fn add(&mut self, waker: &Waker) {
        if !self.0.iter().any(|known| known.will_wake(waker)) {
            self.0.push(waker.clone());
        }
    }

    /// It does not wait any more.
    pub fn forget(&mut self, waker: &Waker) {
        self.0.retain(|known| !known.will_wake(waker));
    }

    /// All that wait, to be woken.
    pub fn take(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.0)
    }
}
