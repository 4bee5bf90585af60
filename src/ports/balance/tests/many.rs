//! Chances of many listeners, in a real group.

use super::*;

#[test]
fn with_hundreds_of_workers_each_has_its_own_chance() {
    const WORKERS: u16 = 400;
    let (ports, key) = served(WORKERS, Balance::Least);
    let best = 300..310;
    let chance = |number: usize| match number {
        _ if best.contains(&number) => 16,
        _ if number < 100 => u32::from(number.is_multiple_of(2)),
        _ => 0,
    };
    {
        let mut state = ports.lock();
        let state = &mut *state;
        let group = &mut state.groups[0];
        for (number, one) in group.listeners.iter_mut().enumerate() {
            one.standing.chance = chance(number);
        }
        assert_eq!(group.steer(&state.rotation), Ok(true));
    }
    (0..420).for_each(|_| knock(key.addr));
    let arrived = || lengths(&ports, key, WORKERS);
    wait_for("all are in queues", || arrived().iter().sum::<u32>() == 420);
    let arrived = arrived();
    for (number, count) in arrived.iter().enumerate() {
        assert!(*count == 0 || chance(number) > 0, "{number}: {count}");
    }
    // They have 160 of 210 parts: 320 connections, with a standard deviation of 8.7.
    let best: u32 = arrived[best.clone()].iter().sum();
    assert!((255..=385).contains(&best), "{best}");
}
