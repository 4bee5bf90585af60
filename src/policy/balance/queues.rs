//! Selects the listeners that get no new connections for now, by the lengths of their accept queues.
//!
//! The queues are polled every few milliseconds, and between two polls the kernel chooses randomly among the remaining
//! listeners. So not too few may remain: a burst between two polls hits all of them. Two rules:
//!
//! 1. If a queue does not move while others move or are empty, its worker does not accept: it is stopped, loops, or is
//!    busy with one long request. The queue is held back until it moves. The fewer listeners remain, the longer it must
//!    have stood still. The slowest workers of a slow program are not stuck: a queue must have stood still for much
//!    longer than the queue that moved last.
//! 2. Of the queues that move, at most the clearly longer half is held back, and never so many that only one remains.
//!
//! If all queues are alike, none is held back.

use std::cmp::Reverse;
use std::time::Duration;

/// A queue that has not moved for this time, while others have, is stuck.
const STUCK: Duration = Duration::from_millis(50);

/// Factor by which a queue must have stood still longer than the queue that moved last.
const SLOWER: u32 = 4;

/// The state of one accept queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Connections in it at the last poll.
    length: u32,
    /// How long the queue has not been empty and has not become shorter, as far as polls show.
    still: Duration,
    /// Arrivals that were told of before the last poll and that it did not show. If they come into the queue only after
    /// it, the next poll shows them.
    told: u32,
}

impl Queue {
    /// Records the result of a poll, which came `pause` after the previous one. Returns true if nothing changed.
    pub fn seen(&mut self, length: u32, pause: Duration) -> bool {
        let before = self.length;
        // If the queue was empty, its first connection came at an unknown time after the last poll.
        self.still = if length == 0 || length < before || before == 0 {
            Duration::ZERO
        } else {
            self.still.saturating_add(pause)
        };
        self.length = length;
        length == before
    }

    /// Returns how many connections arrived since the last poll, as far as is known: the kernel told of `told` since then, and
    /// a poll shows this `length`. Call it before [`Self::seen`]. The length must have been read before the kernel was asked
    /// what it tells.
    ///
    /// Of connections that are accepted at once it is only told, and of several at once in the queue as of one.
    pub fn arrived(&mut self, length: u32, told: u32) -> u32 {
        let grown = self.grown(length);
        self.told = told.saturating_sub(grown);
        grown.max(told)
    }

    /// How many connections came into the queue since the last poll, beside those that the kernel told of before.
    pub fn grown(&self, length: u32) -> u32 {
        length.saturating_sub(self.length).saturating_sub(self.told)
    }

    /// Connections in it at the last poll.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Whether no connection waits.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Returns for each live listener whether it is held back, in the order of `queues`.
pub fn held_back(queues: &[Queue]) -> Vec<bool> {
    let mut held = vec![false; queues.len()];
    let mut left = queues.len();
    let latest = queues.iter().map(|queue| queue.still).min();
    let slow = latest.unwrap_or_default().saturating_mul(SLOWER);
    let mut stillest: Vec<_> = queues.iter().zip(&mut held).collect();
    stillest.sort_by_key(|(queue, _)| Reverse((queue.still, queue.length)));
    for (queue, held) in stillest {
        if left == 1 || queue.still < patience(queues.len(), left - 1).max(slow) {
            break;
        }
        *held = true;
        left -= 1;
    }
    let moving = queues.iter().zip(&mut held).filter(|(_, held)| !**held);
    let mut shortest: Vec<_> = moving.collect();
    shortest.sort_by_key(|(queue, _)| queue.length);
    let least = queues.len().div_ceil(2).max(2);
    if let Some(longest) = shortest.get(least - 1).map(|(queue, _)| queue.length) {
        for (queue, held) in shortest {
            // A difference of one connection is only momentary.
            *held = queue.length > longest.saturating_add(1);
        }
    }
    held
}

/// How long a queue must have stood still, if `left` of `live` listeners remain without it.
fn patience(live: usize, left: usize) -> Duration {
    let live = u32::try_from(live).unwrap_or(u32::MAX);
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    (STUCK.saturating_mul(live) / left / 2).max(STUCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOOK: Duration = Duration::from_millis(5);

    /// Queues of these lengths that have stood still for these times (ms).
    fn queues(of: &[(u32, u64)]) -> Vec<Queue> {
        let queue = |(length, still): &(u32, u64)| Queue {
            length: *length,
            still: Duration::from_millis(*still),
            ..Queue::default()
        };
        of.iter().map(queue).collect()
    }

    /// Indexes of the queues that are not held back.
    fn left(of: &[(u32, u64)]) -> Vec<usize> {
        let held = held_back(&queues(of));
        assert_eq!(held.len(), of.len());
        (0..of.len()).filter(|at| !held[*at]).collect()
    }

    #[test]
    fn where_all_are_alike_all_are_in() {
        for of in [
            vec![(0, 0)],
            vec![(9, 900)],
            vec![(0, 0), (0, 0), (0, 0)],
            vec![(1, 0), (0, 0), (0, 0), (1, 5)],
            vec![(40, 0), (41, 0), (41, 5), (40, 0)],
            // All stand still for about the same time.
            vec![(1, 200), (2, 300), (1, 600)],
            vec![(5, 9_000), (5, 9_100)],
        ] {
            assert_eq!(left(&of), (0..of.len()).collect::<Vec<_>>(), "{of:?}");
        }
        assert!(held_back(&[]).is_empty());
    }

    #[test]
    fn one_that_stands_still_is_left_out() {
        // Of two queues, where the other is empty or moves.
        assert_eq!(left(&[(1, 50), (0, 0)]), [1]);
        assert_eq!(left(&[(1, 50), (7, 10)]), [1]);
        assert_eq!(left(&[(1, 45), (0, 0)]), [0, 1]);
        assert_eq!(left(&[(0, 0), (1, 50), (0, 0), (1, 15)]), [0, 2, 3]);
        // A longer queue that moves is better than a short one that does not.
        assert_eq!(left(&[(1, 50), (30, 0), (30, 5)]), [1, 2]);
    }

    #[test]
    fn the_fewer_are_left_the_longer_it_must_have_stood_still() {
        let half = [(1, 60), (1, 60), (0, 0), (0, 0)];
        assert_eq!(left(&half), [2, 3]);
        let quarter = |still| left(&[(1, still), (1, 400), (1, 400), (0, 0)]);
        assert_eq!(quarter(95), [0, 3]);
        assert_eq!(quarter(100), [3]);
        let eighth = |still| {
            let mut of = vec![(1, 500); 8];
            of[0].1 = still;
            of[7] = (0, 0);
            left(&of)
        };
        assert_eq!(eighth(195), [0, 7]);
        assert_eq!(eighth(200), [7]);
    }

    #[test]
    fn the_slow_are_not_stuck_and_the_stuck_are_not_slow() {
        // Each worker is busy with a request of 200 ms; the one that moved last is not left alone.
        assert_eq!(left(&[(1, 190), (1, 120), (1, 5), (1, 60)]), [2, 3]);
        assert_eq!(left(&[(1, 190), (1, 120), (1, 40), (1, 60)]), [1, 2, 3]);
        assert_eq!(left(&[(1, 190), (1, 120), (1, 50), (1, 80)]), [0, 1, 2, 3]);
        // One of the workers is stopped.
        assert_eq!(left(&[(1, 5_000), (1, 120), (1, 60), (1, 80)]), [1, 2, 3]);
    }

    #[test]
    fn of_those_that_move_the_longer_are_left_out_and_half_is_left() {
        assert_eq!(left(&[(2, 0), (0, 0), (0, 0)]), [1, 2]);
        assert_eq!(left(&[(9, 0), (8, 0), (0, 0), (1, 0)]), [2, 3]);
        assert_eq!(left(&[(9, 0), (8, 0), (6, 0), (0, 0)]), [2, 3]);
        assert_eq!(left(&[(900, 0), (100, 0), (103, 0), (104, 5)]), [1, 2, 3]);
        assert_eq!(left(&[(900, 0), (100, 0), (103, 0), (105, 5)]), [1, 2]);
        // Of two, only one would remain.
        assert_eq!(left(&[(900, 0), (0, 0)]), [0, 1]);
        // A queue that stands still does not count for the half that remains.
        assert_eq!(left(&[(5, 0), (9, 0), (1, 80), (4, 0), (40, 0)]), [0, 1, 3]);
        assert_eq!(left(&[(5, 0), (9, 0), (1, 80), (4, 0)]), [0, 3]);
    }

    #[test]
    fn a_queue_moves_when_it_becomes_shorter_or_is_empty() {
        let mut queue = Queue::default();
        for (length, unchanged, still) in [
            (0, true, 0),
            (1, false, 0),
            (1, true, 5),
            (3, false, 10),
            (2, false, 0),
            (2, true, 5),
            (0, false, 0),
            (4, false, 0),
        ] {
            assert_eq!(queue.seen(length, LOOK), unchanged);
            assert_eq!(queue.is_empty(), length == 0);
            assert_eq!(queue.still, Duration::from_millis(still), "{length}");
        }
    }

    #[test]
    fn an_arrival_counts_once_however_it_is_seen() {
        // Lengths of a queue, how often the kernel told of an arrival since the poll before, and how many those are.
        let check = |polls: &[(u32, u32, u32)]| {
            let mut queue = Queue::default();
            for (at, (length, told, count)) in polls.iter().copied().enumerate() {
                assert_eq!(queue.arrived(length, told), count, "{at} of {polls:?}");
                queue.seen(length, LOOK);
            }
        };
        // Accepted at once; waiting; both at once.
        check(&[(0, 1, 1), (0, 0, 0), (0, 1, 1)]);
        check(&[(1, 1, 1), (1, 0, 0), (3, 1, 2), (0, 0, 0)]);
        check(&[(0, 0, 0), (4, 0, 4), (3, 2, 2)]);
        // Told of between the poll and the question: the next poll shows it, or it was accepted meanwhile.
        check(&[(0, 1, 1), (1, 0, 0), (2, 1, 1)]);
        check(&[(0, 3, 3), (2, 0, 0), (2, 0, 0), (3, 1, 1)]);
        check(&[(0, 1, 1), (0, 0, 0), (1, 1, 1)]);
    }

    /// Simulates steps of 5 ms. In each step the given number of connections arrives, spread randomly over the
    /// listeners that are not held back, and each worker accepts its number per step or none. Returns the number of
    /// connections per listener and how often the set of held-back listeners changed.
    fn play(
        accepts: &[u32],
        arrivals: &[u32],
        mut chance: impl FnMut(usize) -> usize,
    ) -> (Vec<u32>, usize) {
        let mut seen = vec![Queue::default(); accepts.len()];
        let mut lengths = vec![0_u32; accepts.len()];
        let (mut got, mut changes) = (vec![0_u32; accepts.len()], 0);
        let mut held = vec![false; accepts.len()];
        for count in arrivals {
            let open: Vec<usize> = (0..accepts.len()).filter(|at| !held[*at]).collect();
            for _ in 0..*count {
                let to = open[chance(open.len())];
                lengths[to] += 1;
                got[to] += 1;
            }
            for (at, length) in lengths.iter_mut().enumerate() {
                *length = length.saturating_sub(accepts[at]);
                seen[at].seen(*length, LOOK);
            }
            let now = held_back(&seen);
            changes += usize::from(now != held);
            held = now;
        }
        (got, changes)
    }

    fn small_random() -> impl FnMut(usize) -> usize {
        let mut state = 1_u64;
        move |below| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % below
        }
    }

    #[test]
    fn a_stopped_worker_gets_a_handful() {
        // 2 000 connections in one second, on four listeners of which one is stopped; and on two.
        let (got, _) = play(&[0, 50, 50, 50], &[10; 200], small_random());
        assert!(got[0] <= 12, "{got:?}");
        let (got, _) = play(&[0, 50], &[10; 200], small_random());
        assert!(got[0] <= 80, "{got:?}");
        // All but one are stopped.
        let (got, _) = play(&[0, 0, 0, 50], &[10; 200], small_random());
        assert!(got[3] > 1_800, "{got:?}");
    }

    #[test]
    fn queues_of_equal_workers_stay_equal() {
        // No worker keeps up. Pure chance would leave differences of 30 (slightly less than the root of 1 000) and
        // often 60.
        let (got, _) = play(&[2; 8], &[40; 200], small_random());
        assert!(
            got.iter().all(|count| (985..=1_015).contains(count)),
            "{got:?}"
        );
        // All keep up: nothing is held back.
        let (_, changes) = play(&[50; 8], &[40; 200], small_random());
        assert_eq!(changes, 0);
    }

    #[test]
    fn a_slower_worker_gets_what_it_can_take() {
        let (got, _) = play(&[1, 4, 4, 4], &[10; 1_000], small_random());
        assert!((900..=1_200).contains(&got[0]), "{got:?}");
    }

    fn any_queues() -> impl Strategy<Value = Vec<Queue>> {
        let still = prop_oneof![Just(0_u64), 0_u64..80, 0_u64..2_000_000];
        let length = prop_oneof![0_u32..4, 0_u32..5_000, Just(u32::MAX)];
        let queue = (length, still).prop_map(|(length, still)| Queue {
            length,
            still: Duration::from_millis(if length == 0 { 0 } else { still }),
            ..Queue::default()
        });
        prop::collection::vec(queue, 1..40)
    }

    proptest! {
        #[test]
        fn never_all_and_never_half_without_a_reason(queues in any_queues()) {
            let held = held_back(&queues);
            let of = |wanted: bool| -> Vec<Queue> {
                let marked = queues.iter().zip(&held).filter(|(_, held)| **held == wanted);
                marked.map(|(queue, _)| *queue).collect()
            };
            let (out, inside) = (of(true), of(false));
            prop_assert!(!inside.is_empty());
            let least = queues.len().div_ceil(2).max(2).min(queues.len());
            if inside.len() < least {
                // All held-back queues stood still; the fewer remain, the longer.
                let long = patience(queues.len(), inside.len());
                let latest = inside.iter().map(|queue| queue.still).min().unwrap();
                prop_assert!(out.iter().all(|queue| queue.still >= STUCK));
                prop_assert!(out.iter().any(|queue| queue.still >= long));
                prop_assert!(out.iter().all(|queue| queue.still >= latest * SLOWER));
            }
            // An empty queue is never held back, nor a short one that was not seen to stand still.
            prop_assert!(out.iter().all(|queue| !queue.is_empty()));
            let shortest = queues.iter().map(|queue| queue.length).min().unwrap();
            let moving = out.iter().filter(|queue| queue.still < STUCK);
            prop_assert!(moving.clone().all(|queue| queue.length > shortest.saturating_add(1)));
            prop_assert!(moving.count() <= queues.len() / 2);
        }

        #[test]
        fn the_order_means_nothing(queues in any_queues()) {
            let held = held_back(&queues);
            let backwards: Vec<Queue> = queues.iter().rev().copied().collect();
            let there = held_back(&backwards);
            let count = |held: &[bool]| held.iter().filter(|held| **held).count();
            prop_assert_eq!(count(&held), count(&there));
        }

        #[test]
        fn whoever_moves_is_soon_in_again(
            accepts in prop::collection::vec(0_u32..4, 2..12),
            arrivals in prop::collection::vec(0_u32..60, 1..80),
        ) {
            let mut seen = vec![Queue::default(); accepts.len()];
            let (_, _) = play(&accepts, &arrivals, small_random());
            for at in 0..200_u32 {
                for (queue, accepts) in seen.iter_mut().zip(&accepts) {
                    queue.seen((100 + accepts).saturating_sub(at * accepts), LOOK);
                }
            }
            // Workers that accept have empty queues by now; all other queues stand still.
            let held = held_back(&seen);
            for (held, accepts) in held.iter().zip(&accepts) {
                prop_assert!(*accepts == 0 || !held);
            }
            prop_assert!(held.iter().any(|held| !held));
        }
    }
}
