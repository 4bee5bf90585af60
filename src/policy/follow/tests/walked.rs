//! Whatever the looks find.

use proptest::prelude::*;

use super::*;

fn look() -> impl Strategy<Value = Result<Seen, String>> {
    prop_oneof![
        8 => (1_u64..9000, 1_u64..4096).prop_map(|(milli, memory)| seen(milli, memory)),
        1 => Just(Err("gone".to_owned())),
        1 => Just(Ok(Seen { cpus: CpuBudget::default(), memory: None, leaving: 0 })),
    ]
}

fn rule() -> impl Strategy<Value = FollowRule> {
    let room = proptest::option::of((1_u64..512, 0_u16..4));
    (0_u16..4, any::<[bool; 2]>(), room).prop_map(|(less, [fixed, percent], room)| {
        let room = room.map(|(each, surge)| (Bytes(each << 20), Share::Number(surge)));
        let rule = FollowRule {
            instances: Instances::Max { less },
            room: room.filter(|_| !percent),
            ..max(2)
        };
        let rule = if percent { half(rule) } else { rule };
        if fixed { rule.without_workers() } else { rule }
    })
}

proptest! {
    #[test]
    fn two_limits_that_alternate_change_nothing(
        rule in rule(), [one, other] in [look(), look()], looks in 1_usize..60
    ) {
        let mut follow = Follow::new(rule);
        // What holds is what one of them grants.
        for _ in 0..FALL {
            follow.look(one.clone());
        }
        for at in 0..looks {
            let seen = if at % 2 == 0 { &other } else { &one };
            let steps = follow.look(seen.clone());
            let changes = |step: &Step| !matches!(step, Step::Stays { .. });
            prop_assert!(!steps.iter().any(changes), "{steps:?} at look {at}");
        }
    }

    /// Whatever the limits do, and though no worker ever ends.
    #[test]
    fn workers_that_drain_for_ever_do_not_pile_up(
        looks in proptest::collection::vec((1_u64..9000, 1..9_u8), 1..60)
    ) {
        let mut follow = Follow::new(max(2));
        let mut leaving = 0;
        for (milli, times) in looks {
            for _ in 0..times {
                let before = usize::from(follow.workers.held.get());
                follow.look(cpus(milli).map(|seen| Seen { leaving, ..seen }));
                leaving += before.saturating_sub(usize::from(follow.workers.held.get()));
                // At most nine are granted.
                prop_assert!(leaving + usize::from(follow.workers.held.get()) <= 2 * 9);
            }
        }
    }

    /// However long each of them lasts, below the time of a fall.
    #[test]
    fn two_limits_that_alternate_slowly_cost_one_rise(
        rule in rule(), limits in [(1_u64..9000, 1_u64..4096), (1_u64..9000, 1_u64..4096)],
        lasts in proptest::collection::vec(1..FALL, 1..40)
    ) {
        let mut follow = Follow::new(rule);
        let [one, other] = limits.map(|(milli, memory)| seen(milli, memory));
        for _ in 0..FALL {
            follow.look(one.clone());
        }
        let (mut workers, mut limit) = (0, 0);
        for (at, looks) in lasts.into_iter().enumerate() {
            for _ in 0..looks {
                let before = follow.clone();
                follow.look(if at % 2 == 0 { other.clone() } else { one.clone() });
                prop_assert!(follow.workers.held >= before.workers.held);
                prop_assert!(follow.limit.held >= before.limit.held);
                workers += u32::from(follow.workers.held != before.workers.held);
                limit += u32::from(follow.limit.held != before.limit.held);
            }
        }
        prop_assert!(workers <= 1 && limit <= 1);
    }

    #[test]
    fn there_is_at_most_one_step_down_in_the_time_of_a_fall(
        rule in rule(), looks in proptest::collection::vec((look(), 1..9_u8), 1..30)
    ) {
        let mut follow = Follow::new(rule);
        let mut since = FALL;
        for (seen, times) in looks {
            for _ in 0..times {
                let held = follow.workers.held;
                follow.look(seen.clone());
                since = since.saturating_add(1);
                if follow.workers.held < held {
                    prop_assert!(since >= FALL);
                    since = 0;
                }
            }
        }
    }

    #[test]
    fn a_limit_that_stays_is_followed_after_two_falls_at_the_latest_and_then_nothing_moves(
        rule in rule(), before in proptest::collection::vec(look(), 0..20), last in look()
    ) {
        let mut follow = Follow::new(rule);
        for seen in before {
            follow.look(seen);
        }
        for _ in 0..2 * FALL {
            follow.look(last.clone());
        }
        let settled = follow.clone();
        prop_assert_eq!(follow.look(last.clone()), []);
        prop_assert_eq!(&follow, &settled);
        if let Ok(seen) = last && seen.cpus.is_known() {
            let mut fresh = Follow::new(rule);
            for _ in 0..FALL {
                fresh.look(Ok(seen));
            }
            prop_assert_eq!(fresh.workers.held, follow.workers.held);
        }
    }

    #[test]
    fn there_is_at_most_one_step_of_a_kind_in_a_look_and_a_number_changes_in_every_second_at_most(
        rule in rule(), looks in proptest::collection::vec(look(), 1..60)
    ) {
        let mut follow = Follow::new(rule);
        let (mut workers, mut held) = (0, rule.workers);
        let number = looks.len();
        for seen in looks {
            let steps = follow.look(seen);
            let of = |kind: fn(&Step) -> bool| steps.iter().filter(|step| kind(step)).count();
            let memory = of(|step| matches!(step, Step::Memory { .. }));
            let stays = of(|step| matches!(step, Step::Stays { .. }));
            prop_assert!(memory <= 1 && stays <= 1);
            for step in &steps {
                match step {
                    Step::Workers { from, to, .. } => {
                        prop_assert_eq!(*from, held);
                        prop_assert!(from != to);
                        held = *to;
                        workers += 1;
                    }
                    Step::Memory { from, to, .. } => prop_assert!(from != to && *to >= LEAST_MEMORY),
                    Step::Stays { .. } => {}
                }
            }
        }
        prop_assert!(workers <= number / 2);
    }
}
