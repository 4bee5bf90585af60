use super::*;

mod walked;

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
        leaving: 0,
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
fn a_number_does_not_rise_while_more_workers_than_that_are_leaving() {
    let crowd = |leaving| cpus(4000).map(|seen| Seen { leaving, ..seen });
    let mut follow = Follow::new(max(2));
    let why = "4 workers are granted, but more than 4 old ones are still leaving".to_owned();
    let steps = [5, 6, 7, 5].map(|leaving| follow.look(crowd(leaving)));
    assert_eq!(steps.concat(), [Step::Stays { why }], "told once");
    assert_eq!(follow.look(crowd(4)), []);
    let steps = follow.look(crowd(4));
    assert!(
        matches!(&steps[..], [Step::Workers { to, .. }] if to.get() == 4),
        "{steps:?}"
    );
    // It falls all the same.
    let few = || cpus(1000).map(|seen| Seen { leaving: 9, ..seen });
    assert_eq!([0; 4].map(|_| follow.look(few())).concat().len(), 1);
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
        leaving: 0,
    });
    let mut follow = Follow::new(max(8));
    assert_eq!(follow.look(unknown.clone()), []);
    let told = [why("the number of CPUs is not known any more")];
    assert_eq!(follow.look(unknown), told);
}
