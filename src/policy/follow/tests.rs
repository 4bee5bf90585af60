use proptest::prelude::*;

use super::*;

fn count(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

/// `max` with this number of workers at the start.
fn max(workers: u16) -> FollowRule {
    FollowRule {
        instances: Instances::Max { less: 0 },
        workers: count(workers),
        room: None,
        percent: None,
    }
}

/// 50 % of 1 GiB, for this number of workers.
fn half(rule: FollowRule) -> FollowRule {
    let limit = 1 << 30;
    let (each, _) = share_of_limit(50, limit, rule.workers.get());
    FollowRule {
        percent: Some(PercentRule {
            percent: 50,
            limit,
            each,
        }),
        ..rule
    }
}

/// A quota in thousandths of a CPU on a machine with 64 CPUs, and MiB of memory.
#[expect(clippy::unnecessary_wraps, reason = "as a look returns it")]
fn seen(milli: u64, memory: u64) -> Result<Seen, String> {
    Ok(Seen {
        cpus: CpuBudget {
            quota_milli: Some(milli),
            affinity: Some(64),
            ..CpuBudget::default()
        },
        memory: Some(memory << 20),
    })
}

fn cpus(milli: u64) -> Result<Seen, String> {
    seen(milli, 1024)
}

/// The numbers of workers that follow from these looks.
fn numbers(follow: &mut Follow, looks: impl IntoIterator<Item = u64>) -> Vec<u16> {
    let steps = looks.into_iter().flat_map(|milli| follow.look(cpus(milli)));
    let numbers = steps.map(|step| match step {
        Step::Workers { to, .. } => to.get(),
        other => panic!("{other:?}"),
    });
    numbers.collect()
}

#[test]
fn the_second_look_that_finds_a_new_number_counts() {
    let mut follow = Follow::new(max(2));
    assert_eq!(follow.look(cpus(2000)), []);
    assert_eq!(follow.look(cpus(4000)), []);
    let expected = Step::Workers {
        from: count(2),
        to: count(4),
        how: "cgroup quota 4 CPUs, affinity 64 -> 4".to_owned(),
    };
    assert_eq!(follow.look(cpus(4000)), [expected]);
    assert_eq!(follow.look(cpus(4000)), []);
}

#[test]
fn a_number_falls_when_four_looks_were_below_it_and_to_the_highest_of_them() {
    let mut follow = Follow::new(max(4));
    assert_eq!(numbers(&mut follow, [500; 3]), [0; 0]);
    assert_eq!(numbers(&mut follow, [500; 3]), [1]);
    let mut follow = Follow::new(max(6));
    assert_eq!(numbers(&mut follow, [1000, 3000, 1000]), [0; 0]);
    let steps = follow.look(cpus(1000));
    let [Step::Workers { to, how, .. }] = &steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(
        (to.get(), how.as_str()),
        (3, "cgroup quota 3 CPUs, affinity 64 -> 3")
    );
    assert_eq!(numbers(&mut follow, [1000; 3]), [0; 0]);
    assert_eq!(numbers(&mut follow, [1000]), [1]);
    // One look at what is held begins anew, and so does one that finds nothing.
    let mut follow = Follow::new(max(4));
    assert_eq!(numbers(&mut follow, [1000, 1000, 1000, 4000]), [0; 0]);
    assert_eq!(numbers(&mut follow, [1000; 3]), [0; 0]);
    assert_eq!(follow.look(Err("gone".to_owned())), []);
    assert_eq!(numbers(&mut follow, [1000; 3]), [0; 0]);
    assert_eq!(numbers(&mut follow, [1000]), [1]);
}

/// The memory limit falls as late as the number of workers: else the workers that are about to leave would make the share
/// of the others small for a while, and these would be replaced.
#[test]
fn a_share_of_memory_is_never_smaller_on_the_way_down_than_at_its_end() {
    let mut follow = Follow::new(half(max(4)));
    let steps = [0; 4].map(|_| follow.look(seen(2000, 512))).concat();
    let shares = steps
        .iter()
        .filter(|step| matches!(step, Step::Memory { .. }));
    assert_eq!(
        shares.count(),
        0,
        "half as much for half as many: {steps:?}"
    );
    assert_eq!(
        (follow.workers.held, follow.limit.held),
        (count(2), 512 << 20)
    );
}

#[test]
fn what_comes_and_goes_changes_nothing() {
    let mut follow = Follow::new(max(2));
    assert_eq!(numbers(&mut follow, [4000, 2000, 4000, 2000, 1000]), [0; 0]);
    assert_eq!(numbers(&mut follow, [3000, 1000, 3000, 1000]), [0; 0]);
    // Another quota that keeps as many workers busy is no other number.
    assert_eq!(numbers(&mut follow, [1500, 1400, 1300, 1200]), [0; 0]);
    assert_eq!(numbers(&mut follow, [3100, 3900]), [4]);
}

#[test]
fn a_limit_below_one_cpu_keeps_one_worker_and_some_are_left_free() {
    let mut follow = Follow::new(FollowRule {
        instances: Instances::Max { less: 2 },
        ..max(2)
    });
    assert_eq!(numbers(&mut follow, [50, 50, 50, 50, 8000, 8000]), [1, 6]);
    assert_eq!(
        numbers(&mut follow, [2000, 2000, 2000, 2000, 1_000_000, 1_000_000]),
        [1, 62]
    );
}

#[test]
fn a_plain_number_stays_and_nothing_is_followed() {
    let rule = max(3).without_workers();
    assert_eq!(
        (rule.counts(), rule.weighs(), rule.if_any()),
        (false, false, None)
    );
    assert_eq!(numbers(&mut Follow::new(rule), [9000, 9000]), [0; 0]);
    assert!(max(3).counts() && !max(3).weighs());
    assert!(half(rule).if_any().is_some_and(|rule| rule.weighs()));
}

#[test]
fn room_in_memory_bounds_the_workers() {
    let mut follow = Follow::new(FollowRule {
        room: Some((Bytes(256 << 20), Share::Number(1))),
        ..max(3)
    });
    assert_eq!(follow.look(seen(8000, 2048)), []);
    let steps = follow.look(seen(8000, 2048));
    assert!(
        matches!(&steps[..], [Step::Workers { to, .. }] if to.get() == 7),
        "{steps:?}"
    );
    let steps = [0; 4].map(|_| follow.look(seen(8000, 512)));
    assert!(
        matches!(&steps[3][..], [Step::Workers { to, .. }] if to.get() == 1),
        "{steps:?}"
    );
}

#[test]
fn a_percentage_follows_the_limit_and_the_number_of_workers() {
    let mut follow = Follow::new(half(max(2)));
    assert_eq!(follow.look(seen(2000, 2048)), []);
    let doubled = Step::Memory {
        from: Bytes(256 << 20),
        to: Bytes(512 << 20),
        how: "50% of memory limit 2Gi for 2 workers".to_owned(),
    };
    assert_eq!(follow.look(seen(2000, 2048)), [doubled]);
    assert_eq!(follow.look(seen(4000, 2048)), []);
    let steps = follow.look(seen(4000, 2048));
    let halved = Step::Memory {
        from: Bytes(512 << 20),
        to: Bytes(256 << 20),
        how: "50% of memory limit 2Gi for 4 workers".to_owned(),
    };
    assert!(matches!(steps[0], Step::Workers { .. }), "{steps:?}");
    assert_eq!(steps[1..], [halved]);
    // The number of workers stays as it is without `max`.
    let mut fixed = Follow::new(half(max(2)).without_workers());
    let steps = [0; 4].map(|_| fixed.look(seen(8000, 512)));
    assert!(
        matches!(steps[3][..], [Step::Memory { to, .. }] if to == Bytes(128 << 20)),
        "{steps:?}"
    );
}

#[test]
fn what_cannot_be_followed_stays_and_is_told_once() {
    let why = |text: &str| Step::Stays {
        why: text.to_owned(),
    };
    let mut follow = Follow::new(half(max(2)));
    let lost = || Err("cpu.max is gone".to_owned());
    assert_eq!(follow.look(lost()), []);
    assert_eq!(follow.look(lost()), [why("cpu.max is gone")]);
    assert_eq!(follow.look(lost()), []);
    // A look that has found nothing is between two that found the same.
    assert_eq!(follow.look(cpus(4000)), []);
    assert_eq!(follow.look(lost()), []);
    assert_eq!(follow.look(cpus(4000)), []);
    assert_eq!(follow.look(cpus(4000)).len(), 2);

    let no_limit = Ok(Seen {
        memory: None,
        ..cpus(4000).unwrap()
    });
    assert_eq!(follow.look(no_limit.clone()), []);
    let told = [why("there is no memory limit any more")];
    assert_eq!(follow.look(no_limit.clone()), told);
    assert_eq!(follow.look(no_limit), []);

    let mut tiny = Follow::new(half(max(2)));
    let steps = [0; 4].map(|_| tiny.look(seen(2000, 2)));
    let text = "50% of memory limit 2Mi for 2 workers is 512Ki, less than any program needs";
    assert_eq!(steps.concat(), []);
    assert_eq!(tiny.look(seen(2000, 2)), [why(text)]);

    let unknown = Ok(Seen {
        cpus: CpuBudget::default(),
        memory: Some(1 << 30),
    });
    let mut follow = Follow::new(max(8));
    assert_eq!(follow.look(unknown.clone()), []);
    let told = [why("the number of CPUs is not known any more")];
    assert_eq!(follow.look(unknown), told);
}

fn look() -> impl Strategy<Value = Result<Seen, String>> {
    prop_oneof![
        8 => (1_u64..9000, 1_u64..4096).prop_map(|(milli, memory)| seen(milli, memory)),
        1 => Just(Err("gone".to_owned())),
        1 => Just(Ok(Seen { cpus: CpuBudget::default(), memory: None })),
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
