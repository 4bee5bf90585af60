//! Sockets of others in the group. To the group it is the same that this process has them.

use super::*;

fn stranger(group: &Group) -> std::os::fd::OwnedFd {
    listener::open(group.key.addr, false, 64, true).unwrap()
}

fn got_nothing(stranger: &std::os::fd::OwnedFd) {
    assert_eq!(listener::queue(stranger).unwrap().length, 0);
}

/// The listeners of all slots, and two that are added.
fn all() -> Vec<u16> {
    (0..SLOTS + 2).collect()
}

#[test]
fn listeners_that_join_after_a_stranger_are_where_they_should_be_also_when_it_leaves() {
    let mut group = group();
    let [first, second] = [stranger(&group), stranger(&group)];
    for number in [SLOTS, SLOTS + 1] {
        group.join(ListenerId(number), &nobody()).unwrap();
    }
    assert!(group.order.is_fragile());
    slots_are_where_they_should_be(&mut group, all());
    got_nothing(&first);
    got_nothing(&second);
    drop(first);
    slots_are_where_they_should_be(&mut group, all());
    got_nothing(&second);
    let third = stranger(&group);
    drop(second);
    slots_are_where_they_should_be(&mut group, all());
    got_nothing(&third);
    drop(third);
    slots_are_where_they_should_be(&mut group, all());
    assert!(!group.order.is_fragile());
}

#[test]
fn strangers_that_leave_together_are_seen_through() {
    let mut group = group();
    let strangers = [stranger(&group), stranger(&group), stranger(&group)];
    for number in [SLOTS, SLOTS + 1] {
        group.join(ListenerId(number), &nobody()).unwrap();
    }
    slots_are_where_they_should_be(&mut group, all());
    drop(strangers);
    slots_are_where_they_should_be(&mut group, all());
}

#[test]
fn a_group_is_repaired_among_strangers() {
    let mut group = group();
    every_slot_is_where_it_should_be(&mut group);
    let mut strangers = vec![stranger(&group)];
    for (round, left) in [vec![1], vec![0], vec![2, 3], vec![4]]
        .into_iter()
        .enumerate()
    {
        for number in &left {
            shut(&group, *number);
        }
        let now = Tick(std::time::Duration::from_secs(60 * round as u64));
        let repaired = group.repair(&nobody(), now);
        assert_eq!((repaired.mended, repaired.error), (left, None));
        every_slot_is_where_it_should_be(&mut group);
        strangers.push(stranger(&group));
    }
    strangers.iter().for_each(got_nothing);
}
