use super::*;
use proptest::prelude::*;

fn of(loads: &[u32], expected: u32) -> Vec<u32> {
    chances(loads, &vec![false; loads.len()], expected)
}

#[test]
fn one_connection_goes_to_one_of_those_with_the_fewest() {
    assert_eq!(of(&[3, 3, 3], 1), [1, 1, 1]);
    assert_eq!(of(&[3, 2, 3, 2], 1), [0, 1, 0, 1]);
    assert_eq!(of(&[3, 2, 3, 4], 1), [0, 1, 0, 0]);
    assert_eq!(
        of(&[3, 1, 3, 4], 0),
        [0, 1, 0, 0],
        "two less is no catching up"
    );
    assert_eq!(of(&[7], 1), [1]);
    assert!(of(&[], 1).is_empty());
}

#[test]
fn the_more_are_expected_the_more_get_their_part() {
    // Of three, the first gets two and the second one.
    assert_eq!(of(&[0, 1, 2, 2], 3), [4, 2, 0, 0]);
    assert_eq!(of(&[2, 1, 2, 2], 5), [4, 8, 4, 4]);
    assert_eq!(of(&[2, 2, 2, 3], 1_000_000), [16, 16, 16, 16]);
}

#[test]
fn who_is_out_for_another_reason_is_nobodys_measure() {
    assert_eq!(
        chances(&[0, 5, 6, 5], &[true, false, false, false], 1),
        [0, 1, 0, 1]
    );
    assert_eq!(chances(&[0, 1], &[true, true], 1), [0, 0]);
}

#[test]
fn a_worker_that_catches_up_gets_every_second_connection_or_four_times_its_share() {
    let share = |chances: &[u32], at: usize| {
        f64::from(chances[at]) / f64::from(chances.iter().sum::<u32>())
    };
    assert_eq!(of(&[9, 0, 9, 9], 1), [6, 16, 6, 6]);
    // Two that catch up share them.
    assert_eq!(of(&[9, 0, 9, 0], 1), [0, 1, 0, 1]);
    let mut many = vec![40; 64];
    many[5] = 0;
    let chances = of(&many, 1);
    assert!(chances.iter().all(|chance| *chance > 0));
    assert!(
        (0.04..=0.0625).contains(&share(&chances, 5)),
        "{}",
        share(&chances, 5)
    );
}

fn count(loads: &mut Loads, of: &[(usize, Option<u32>)]) {
    loads.counted(Tick::default(), &of.iter().copied().collect());
}

#[test]
fn arrivals_are_added_until_the_next_count() {
    let mut loads = Loads::default();
    (0..3).for_each(|number| loads.begin(number));
    loads.arrived(1, 2);
    loads.arrived(9, 5);
    assert_eq!(
        loads.of(&[0, 1, 2, 9]),
        [0, 2, 0, 0],
        "nobody has the last one"
    );
    count(&mut loads, &[(0, Some(4)), (1, Some(3)), (2, Some(0))]);
    loads.arrived(2, 1);
    assert_eq!(loads.of(&[2, 1, 0]), [1, 3, 4]);
    // A new worker has none.
    loads.begin(0);
    assert_eq!(loads.of(&[0, 1, 2]), [0, 3, 1]);
    loads.end(1);
    assert_eq!(loads.of(&[0, 1, 2]), [0, 0, 1]);
}

#[test]
fn a_worker_that_closes_at_once_counts_as_if_it_had_as_many_as_the_others() {
    let open = [(0, Some(0)), (1, Some(12))];
    let mut loads = Loads::default();
    (0..2).for_each(|number| loads.begin(number));
    count(&mut loads, &open);
    assert_eq!(loads.of(&[0, 1]), [0, 12]);
    loads.arrived(0, 8);
    count(&mut loads, &open);
    assert_eq!(loads.of(&[0, 1]), [0, 12], "these may be checks");
    let mut closes = |arrived| {
        loads.arrived(0, arrived);
        count(&mut loads, &open);
        loads.of(&[0, 1])
    };
    assert_eq!(closes(8), [7, 12]);
    assert_eq!(closes(8), [12, 12]);
    assert_eq!(closes(8), [12, 12], "and no more");
    // So does the next worker, if the program dies of its clients.
    loads.end(0);
    loads.begin(0);
    assert_eq!(loads.of(&[0, 1]), [12, 12]);
    // It is forgotten as others come and stay.
    for more in 1..=8 {
        loads.arrived(1, 12);
        count(&mut loads, &[(0, Some(0)), (1, Some(12 + 12 * more))]);
    }
    let known = loads.of(&[0, 1]);
    assert!(known[0] < known[1] / 10, "{known:?}");
}

#[test]
fn a_connection_that_a_count_has_seen_vanishes_too_if_it_was_young() {
    let others = (1, Some(20));
    for (seconds, known) in [(0, 4), (3, 4), (5, 0)] {
        let mut loads = Loads::default();
        (0..2).for_each(|number| loads.begin(number));
        let at = |seconds: u64| Tick(Duration::from_secs(10 + seconds));
        loads.counted(at(0), &[(0, Some(0)), others].into());
        loads.arrived(0, 12);
        loads.counted(at(1), &[(0, Some(12)), others].into());
        // Nothing arrives, and time passes.
        (1..=seconds).for_each(|later| loads.counted(at(later), &[(0, Some(12)), others].into()));
        loads.counted(at(seconds + 1), &[(0, Some(0)), others].into());
        assert_eq!(loads.of(&[0, 1]), [known, 20], "{seconds}");
    }
}

#[test]
fn what_a_worker_keeps_while_it_drains_is_not_held_against_the_next_one() {
    let mut loads = Loads::default();
    (0..2).for_each(|number| loads.begin(number));
    loads.arrived(0, 30);
    loads.leave(0);
    loads.end(0);
    loads.begin(0);
    count(&mut loads, &[(0, Some(0)), (1, Some(25))]);
    assert_eq!(loads.of(&[0, 1]), [0, 25]);
}

#[test]
fn where_connections_vanish_everywhere_nobody_is_worse_for_it() {
    let mut loads = Loads::default();
    (0..3).for_each(|number| loads.begin(number));
    for _ in 0..5 {
        (0..3).for_each(|number| loads.arrived(number, 9));
        count(&mut loads, &[(0, Some(2)), (1, Some(12)), (2, Some(12))]);
    }
    let known = loads.of(&[0, 1, 2]);
    assert!(known[0] <= 3 && known[1..] == [12, 12], "{known:?}");
}

#[test]
fn workers_that_cannot_be_seen_take_turns() {
    let mut loads = Loads::default();
    (0..3).for_each(|number| loads.begin(number));
    let nothing = [(0, None), (1, None), (2, None)];
    for _ in 0..3 {
        count(&mut loads, &nothing);
    }
    loads.arrived(0, 1);
    loads.arrived(1, 1);
    count(&mut loads, &nothing);
    // A count that sees nothing does not take their turns away.
    assert_eq!(loads.of(&[0, 1, 2]), [1, 1, 0]);
    loads.arrived(2, 1);
    count(&mut loads, &nothing);
    assert_eq!(loads.of(&[0, 1, 2]), [0, 0, 0]);
    // Beside others it counts as their mean, and it has had more only if it got more than they.
    let beside = [(0, Some(10)), (1, Some(20)), (2, None)];
    count(&mut loads, &beside);
    loads.arrived(2, 1);
    assert_eq!(loads.of(&[0, 1, 2]), [10, 20, 16]);
    count(&mut loads, &beside);
    assert_eq!(loads.of(&[0, 1, 2]), [10, 20, 16]);
    loads.arrived(0, 3);
    count(&mut loads, &[(0, Some(13)), (1, Some(20)), (2, None)]);
    assert_eq!(loads.of(&[0, 1, 2]), [13, 20, 17]);
    // Once it can be seen, what is seen counts.
    count(&mut loads, &[(0, Some(10)), (1, Some(20)), (2, Some(7))]);
    assert_eq!(loads.of(&[0, 1, 2]), [10, 20, 7]);
    // A worker without a seat keeps what it has.
    loads.begin(5);
    count(&mut loads, &[(0, Some(10)), (1, Some(20)), (2, Some(7))]);
    assert_eq!(loads.of(&[5]), [0]);
}

#[test]
fn of_two_workers_the_new_one_catches_up() {
    assert_eq!(of(&[50, 0], 1), [6, 16]);
    assert_eq!(of(&[50, 49], 1), [0, 1]);
}

proptest! {
    #[test]
    fn never_nobody_and_never_more_before_fewer(
        all in prop::collection::vec((prop_oneof![0_u32..6, 0_u32..5_000, Just(u32::MAX)], any::<bool>()), 1..40),
        expected in prop_oneof![0_u32..9, any::<u32>()],
    ) {
        let (loads, out): (Vec<u32>, Vec<bool>) = all.iter().copied().unzip();
        let chances = chances(&loads, &out, expected);
        prop_assert_eq!(chances.len(), loads.len());
        let live: Vec<(u32, u32)> = loads.iter().zip(&out).zip(&chances)
            .filter(|((_, out), _)| !**out).map(|((load, _), chance)| (*load, *chance)).collect();
        prop_assert!(live.is_empty() || live.iter().any(|(_, chance)| *chance > 0));
        prop_assert!(out.iter().zip(&chances).all(|(out, chance)| !out || *chance == 0));
        for (load, chance) in &live {
            for (other, its) in &live {
                prop_assert!(load < other || chance <= its || load == other, "{live:?}");
            }
        }
        // Whoever has the fewest is never left behind, and equals are equal.
        let fewest = live.iter().map(|(load, _)| *load).min();
        for (load, chance) in &live {
            prop_assert!(Some(*load) != fewest || *chance > 0);
        }
    }
}
