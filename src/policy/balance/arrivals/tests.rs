//! The choice in a model of the kernel and of clients.

mod world;

use std::cmp::Reverse;

use super::*;
use world::{CHOICE, Client, FOREVER, How, World};

fn every(gap: u64, count: u64) -> Vec<Client> {
    (1..=count)
        .map(|number| Client {
            at: number * gap,
            life: FOREVER,
        })
        .collect()
}

fn played(how: How, workers: usize, seed: u64, clients: &[Client]) -> World {
    let mut world = World::new(how, workers, seed);
    for client in clients {
        world.arrive(*client);
    }
    world
}

/// Means of the spread over 40 runs.
fn mean_spread(how: How, workers: usize, clients: &[Client]) -> f64 {
    let sum: f64 = (0..40)
        .map(|seed| played(how, workers, seed, clients).spread())
        .sum();
    sum / 40.0
}

#[test]
fn rare_arrivals_differ_by_one_at_most() {
    for how in [How::Ours, How::Unseen] {
        for workers in [2, 4, 8] {
            for gap in [2_000, 20_000, 900_000] {
                for count in [8, 16, 32, 64, 67] {
                    let world = played(how, workers, count, &every(gap, count));
                    let (most, least) = (
                        world.open.iter().max().unwrap(),
                        world.open.iter().min().unwrap(),
                    );
                    assert!(most - least <= 1, "{how:?} {gap} {:?}", world.open);
                }
            }
        }
    }
}

#[test]
fn what_is_opened_at_once_is_spread_better_than_by_chance() {
    for workers in [4, 8] {
        for count in [8, 16, 32, 64] {
            let clients = every(40, count);
            let spread = |how| mean_spread(how, workers, &clients);
            let (ours, random) = (spread(How::Ours), spread(How::Random));
            // Of what chance adds to the ideal, a third is gone at least, if so few come that they can be followed.
            let part = if count <= 16 { 1.5 } else { 1.0 };
            assert!(
                ours - 1.0 < (random - 1.0) / part,
                "{workers} {count}: {ours} {random}"
            );
        }
    }
}

/// On a busy machine, the thread sometimes gets no CPU for a millisecond.
#[test]
fn a_burst_hits_nobody_alone_though_the_choice_is_late() {
    for (workers, count) in [(4, 64), (8, 64)] {
        let late = |seed| {
            let mut world = World::new(How::Ours, workers, seed);
            world.stalls = Some(20);
            for client in every(40, count) {
                world.arrive(client);
            }
            world.spread()
        };
        let spreads: Vec<f64> = (0..40).map(late).collect();
        let mean = spreads.iter().sum::<f64>() / 40.0;
        let random = mean_spread(How::Random, workers, &every(40, count));
        let worst = spreads.iter().copied().fold(0.0, f64::max);
        assert!(mean < random, "{workers}: {mean} {random}");
        assert!(worst < 2.0, "{workers}: {worst}");
    }
}

#[test]
fn a_flood_hits_nobody_alone() {
    for gap in [1, 10] {
        for seed in 0..20 {
            let world = played(How::Ours, 8, seed, &every(gap, 1_000));
            assert!(world.spread() < 1.4, "{gap} {:?}", world.open);
        }
    }
}

/// Coefficient of variation of the connections that each of 8 workers got, in percent; and the CPU time, in percent.
fn variation(how: How, gap: u64) -> (f64, f64) {
    let count = 10_000;
    let mut world = World::new(how, 8, 3);
    let mut got = [0.0_f64; 8];
    for client in every(gap, count) {
        got[world.arrive(Client {
            life: 300,
            ..client
        })] += 1.0;
    }
    let squares: f64 = got.iter().map(|got| (got - 1_250.0).powi(2)).sum();
    let used = f64::from(u32::try_from(world.used).unwrap());
    let time = f64::from(u32::try_from(gap * count).unwrap());
    ((squares / 8.0).sqrt() / 12.5, used / time * 100.0)
}

#[test]
fn short_connections_are_spread_evenly() {
    for gap in [2_000, 4_000, 8_000] {
        let (ours, random) = (variation(How::Ours, gap).0, variation(How::Random, gap).0);
        assert!(ours < 0.7 && random > 2.0, "{gap}: {ours} % {random} %");
    }
    // Where more come than can be followed, it is never worse than chance.
    for gap in [20, 50, 100, 200, 1_000] {
        let (ours, random) = (variation(How::Ours, gap).0, variation(How::Random, gap).0);
        assert!(ours <= random * 1.2, "{gap}: {ours} % {random} %");
    }
}

#[test]
fn however_many_arrive_it_costs_two_percent_and_what_was_saved() {
    for (gap, count) in [
        (50, 1_000),
        (50, 20_000),
        (200, 4_000),
        (1_000, 300),
        (4_000, 40_000),
    ] {
        let mut world = World::new(How::Ours, 8, 1);
        world.count = count;
        for client in every(gap, 60_000_000 / gap) {
            world.arrive(client);
        }
        let time = f64::from(u32::try_from(world.noted).unwrap());
        // The first counts are made before it is known what they cost.
        let saved = 50_000.0 + f64::from(u32::try_from(CHOICE + 3 * count).unwrap());
        let used = f64::from(u32::try_from(world.used).unwrap());
        assert!(
            used <= time * 0.02 + saved,
            "{gap} {count}: {used} of {time}"
        );
        // It does not turn in circles.
        let most = 60_000_000 / gap + 60_000 / 5 + 60_000 / 100;
        assert!(world.looks <= 2 * most, "{gap} {count}: {}", world.looks);
    }
}

/// Connections that live from 0.2 s to minutes, few of them long (Pareto, 1.2), some 100 a second at any time.
fn heavy_tailed(seed: u64) -> Vec<Client> {
    let mut chance = World::new(How::Random, 1, seed).chance;
    let mut unit = || f64::from(u32::try_from(chance() & 0xffff).unwrap() + 1) / 65_536.0;
    let mut at = 0.0;
    (0..6_000)
        .map(|_| {
            at -= unit().ln() * 10_000.0;
            let life = (200_000.0 * unit().powf(-1.0 / 1.2)).min(300e6);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small and positive"
            )]
            let (at, life) = (at as u64, life as u64);
            Client { at, life }
        })
        .collect()
}

/// Mean of the spread, at each arrival after a while.
fn over_time(how: How, clients: &[Client]) -> f64 {
    let mut world = World::new(how, 4, 7);
    let mut sum = 0.0;
    for (number, client) in clients.iter().enumerate() {
        world.arrive(*client);
        sum += if number < 1_000 { 0.0 } else { world.spread() };
    }
    sum / f64::from(u32::try_from(clients.len() - 1_000).unwrap())
}

#[test]
fn long_and_short_lives_are_spread_better_than_in_turn() {
    let clients = heavy_tailed(5);
    let [ideal, ours, unseen, turn, random] = [
        How::Ideal,
        How::Ours,
        How::Unseen,
        How::RoundRobin,
        How::Random,
    ]
    .map(|how| over_time(how, &clients) - 1.0);
    assert!(
        ours < turn * 0.6 && turn < random,
        "{ideal} {ours} {turn} {random}"
    );
    assert!(ours < ideal + 0.1, "{ours} {ideal}");
    assert!(unseen < random, "{unseen} {random}");
}

#[test]
fn after_a_reload_all_have_the_same_again() {
    for how in [How::Ours, How::Unseen] {
        let mut world = played(how, 4, 9, &every(3_000, 64));
        for worker in 0..4 {
            world.replace(worker, 1_000_000 * (1 + worker as u64));
        }
        // The last one has caught up with some new clients.
        for number in 0..32 {
            let at = 6_000_000 + number * 20_000;
            world.arrive(Client { at, life: FOREVER });
        }
        let fewest = world.open.iter().min().unwrap();
        match how {
            How::Ours => assert!(
                world.open.iter().all(|open| *open == 24),
                "{:?}",
                world.open
            ),
            // Nobody saw that the others have more.
            _ => assert!(*fewest >= 8, "{:?}", world.open),
        }
    }
}

#[test]
fn a_worker_that_takes_longer_gets_less() {
    let mut world = World::new(How::Ours, 4, 1);
    let mut got = [0_u32; 4];
    for client in every(4_000, 10_000) {
        world.run_until(client.at);
        // Nobody knows beforehand whom it will reach.
        let before = world.ends.len();
        let to = world.arrive(Client {
            life: 80_000,
            ..client
        });
        got[to] += 1;
        if to == 0 {
            let mut ends: Vec<_> = std::mem::take(&mut world.ends).into_vec();
            let own = ends
                .iter_mut()
                .find(|Reverse((at, worker))| (*at, *worker) == (client.at + 80_000, 0));
            own.unwrap().0.0 += 320_000;
            world.ends = ends.into();
        }
        assert_eq!(world.ends.len(), before + 1);
    }
    assert!(got[0] * 4 < got[1] * 3, "{got:?}");
}

#[test]
fn where_nothing_is_followed_all_have_the_same_chance_and_nothing_is_counted() {
    let mut arrivals = Arrivals::new(false);
    arrivals.begin(0);
    arrivals.begin(1);
    arrivals.arrived(0, 2, Tick::default());
    assert_eq!(arrivals.seen(), Seen::default());
    assert_eq!(
        arrivals.chances(Tick::default(), &[0, 1], &[false, false]),
        [1, 1]
    );
    assert_eq!(
        arrivals.chances(Tick::default(), &[0, 1], &[true, false]),
        [0, 1]
    );
    assert_eq!(
        (arrivals.count_at(true), arrivals.attention()),
        (None, None)
    );
}

#[test]
fn a_count_is_used_for_workers_where_nobody_came_meanwhile_or_at_last_for_all() {
    let mut arrivals = Arrivals::new(true);
    (0..2).for_each(|number| arrivals.begin(number));
    let mut count = |first: u32, busy: &[usize]| {
        arrivals.arrived(0, 1, Tick::default());
        let open = BTreeMap::from([(0, Some(first)), (1, Some(9))]);
        let busy = busy.iter().copied().collect();
        arrivals.counted((Tick::default(), Duration::ZERO), open, &busy);
        (arrivals.seen().counts, arrivals.known(&[0, 1]))
    };
    assert_eq!(count(5, &[0]), (0, vec![1, 9]));
    assert_eq!(count(6, &[0]), (0, vec![2, 9]));
    assert_eq!(count(7, &[0]), (0, vec![3, 9]));
    assert_eq!(count(7, &[0]), (1, vec![7, 9]), "the fourth in a row");
    assert_eq!(count(8, &[0]), (1, vec![8, 9]));
    assert_eq!(count(9, &[]), (2, vec![9, 9]));
}

/// 64 connections at any time, which come again when they are closed; one worker closes its own soon.
#[test]
fn a_worker_that_closes_soon_gets_less_than_twice_its_share() {
    for workers in [2, 4, 8] {
        for gap in [2_000, 20_000, 200_000, 1_000_000] {
            for soon in [0, 10_000, 50_000, 200_000] {
                let mut world = World::new(How::Ours, workers, 3);
                let mut got = 0_u64;
                for client in every(gap, 2_000) {
                    world.run_until(client.at);
                    let life = gap * 64;
                    let to = world.arrive(Client { life, ..client });
                    if to == 0 {
                        world.hang_up(to, client.at + soon);
                        got += u64::from(client.at > gap * 256);
                    }
                }
                let share = f64::from(u32::try_from(got).unwrap()) / 1_744.0;
                let fair = 1.0 / f64::from(u32::try_from(workers).unwrap());
                assert!(share < fair * 2.0, "{workers} {gap} {soon}: {share}");
            }
        }
    }
}

/// Under a CPU limit the whole container stands still for most of each period, and connections go on arriving.
#[test]
fn what_arrives_while_nothing_runs_is_spread_by_chance() {
    let mut world = World::new(How::Ours, 4, 3);
    let mut most = 0;
    for period in 1..=100_u64 {
        let start = period * 100_000;
        world.busy = world.busy.max(start + 60_000);
        let before = world.open.clone();
        for number in 0..24 {
            let at = start + number * 2_500;
            world.arrive(Client { at, life: 30_000 });
        }
        let got = world
            .open
            .iter()
            .zip(&before)
            .map(|(now, before)| now.saturating_sub(*before));
        most += got.max().unwrap();
    }
    // Six each would be ideal, and all 24 at one worker the worst.
    assert!(most < 100 * 14, "{most}");
}

#[test]
fn it_comes_to_rest_whatever_a_look_costs() {
    for choice in [50, 1_000, 5_000, 40_000] {
        let mut world = World::new(How::Ours, 8, 1);
        world.choice = choice;
        for client in every(1_000, 500) {
            world.arrive(client);
        }
        world.run_until(60_000_000);
        assert_eq!(world.next(), None, "{choice}: {:?}", world.plan);
    }
}
