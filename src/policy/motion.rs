//! Whether the worker of an accept queue accepts connections.

/// Consecutive polls of one accept queue. It is first in, first out, and only `accept` removes a connection. So if a
/// poll finds it shorter than the previous one, the worker accepts, no matter how many connections arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Motion {
    before: u32,
    empty: u32,
}

impl Motion {
    /// Consecutive polls that must find the queue empty. A single empty poll is not enough: a connection whose
    /// handshake the kernel has deferred to its own thread is not in the queue yet, and looks like an accepted one.
    const EMPTY: u32 = 2;

    /// Records one poll. Returns true if the worker accepts.
    pub fn look(&mut self, length: u32) -> bool {
        let shorter = length < self.before;
        self.before = length;
        self.empty = if length == 0 { self.empty + 1 } else { 0 };
        shorter || self.empty >= Self::EMPTY
    }

    /// Connections in the queue at the last poll.
    pub fn waiting(&self) -> u32 {
        self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moves(looks: &[u32]) -> bool {
        let mut motion = Motion::default();
        looks.iter().any(|length| motion.look(*length))
    }

    #[test]
    fn a_shorter_or_an_empty_queue_moves_and_no_other() {
        let moving: [&[u32]; 5] = [&[0, 0], &[1, 0], &[5, 4], &[3, 7, 6], &[0, 2, 1]];
        for looks in moving {
            assert!(moves(looks), "{looks:?}");
        }
        let still: [&[u32]; 5] = [&[], &[0], &[0, 1, 1], &[4, 4, 4], &[1, 2, 3, 4097, 4097]];
        for looks in still {
            assert!(!moves(looks), "{looks:?}");
        }
    }

    proptest! {
        #[test]
        fn a_queue_that_only_grows_does_not_move(mut looks in prop::collection::vec(1_u32..5000, 0..100)) {
            looks.sort_unstable();
            prop_assert!(!moves(&looks));
        }
    }
}
