//! Counting connections by slot.

use std::collections::BTreeMap;

use super::*;
use crate::model::SlotId;

fn slots(counts: &[(u16, u64)]) -> BTreeMap<SlotId, u64> {
    counts
        .iter()
        .map(|(slot, count)| (SlotId(*slot), *count))
        .collect()
}

fn count(
    sight: &mut Inspector,
    scenes: &[(u16, &Scene)],
    ports: &[SocketAddr],
) -> Option<BTreeMap<SlotId, u64>> {
    let workers: Vec<(SlotId, Pid)> = scenes
        .iter()
        .map(|(slot, scene)| (SlotId(*slot), scene.leader()))
        .collect();
    sight.connections(&workers, ports)
}

#[test]
fn each_slot_has_the_connections_of_its_workers() {
    let mut scenes = [Scene::new(), Scene::on("::"), Scene::new()];
    for (times, scene) in scenes.iter_mut().enumerate() {
        for _ in 0..times {
            scene.connect();
        }
    }
    let ports = scenes.each_ref().map(|scene| scene.port);
    let mut sight = Inspector::new();
    let [first, second, third] = &scenes;
    let all = [(0, first), (7, second), (9, third)];
    let found = count(&mut sight, &all, &ports);
    assert_eq!(found, Some(slots(&[(0, 0), (7, 1), (9, 2)])));
    // Two of one slot: the one that serves, and one before it that drains.
    let found = count(&mut sight, &[(0, first), (7, second), (7, third)], &ports);
    assert_eq!(found, Some(slots(&[(0, 0), (7, 3)])));
    // Another port is other people's.
    let found = count(&mut sight, &all, &ports[..2]);
    assert_eq!(found, Some(slots(&[(0, 0), (7, 1), (9, 0)])));
    assert_eq!(sight.connections(&[], &ports), Some(BTreeMap::new()));
    assert_eq!(
        count(&mut sight, &all, &[]),
        Some(slots(&[(0, 0), (7, 0), (9, 0)]))
    );
}

#[test]
fn a_connection_counts_once_and_until_the_worker_closes_it() {
    let mut scene = Scene::new();
    let mut sight = Inspector::new();
    let open = |sight: &mut Inspector, scene: &Scene| {
        count(sight, &[(0, scene)], &[scene.port]).unwrap()[&SlotId(0)]
    };
    let _waits = TcpStream::connect(scene.port).unwrap();
    assert_eq!(open(&mut sight, &scene), 0, "nobody has accepted it");
    scene.worker.tell("accept");
    scene.connect();
    assert_eq!(open(&mut sight, &scene), 2);
    scene.worker.tell("twice 0");
    scene.worker.tell("fork");
    assert_eq!(open(&mut sight, &scene), 2);
    // The client is gone; the worker does not care yet.
    scene.clients.clear();
    until("the end has come", || {
        look(&mut sight, scene.leader(), scene.port).busy > 0
    });
    assert_eq!(open(&mut sight, &scene), 2);
}

#[test]
fn what_a_worker_passed_on_is_still_its() {
    let mut scene = Scene::new();
    scene.connect();
    scene.connect();
    scene.worker.tell("give 0");
    let other = Scene::new();
    let found = count(
        &mut Inspector::new(),
        &[(0, &other), (1, &scene)],
        &[scene.port, other.port],
    );
    assert_eq!(found, Some(slots(&[(0, 0), (1, 2)])));
}

#[test]
fn closed_connections_do_not_count_and_a_dead_worker_has_none() {
    let mut scene = Scene::new();
    let mut sight = Inspector::new();
    for number in 0..3 {
        scene.connect();
        scene.serve(number);
    }
    scene.worker.tell("close 1");
    let count = |sight: &mut Inspector, scene: &Scene| count(sight, &[(3, scene)], &[scene.port]);
    assert_eq!(count(&mut sight, &scene), Some(slots(&[(3, 2)])));
    crate::sys::signals::send(scene.leader(), Sig::KILL).unwrap();
    // It is not reaped.
    until("it is over", || {
        count(&mut sight, &scene) == Some(slots(&[(3, 0)]))
    });
}

#[test]
fn who_cannot_be_seen_is_missing_unless_all_is_known_without() {
    let mut scene = Scene::new();
    let idle = as_nobody(|| count(&mut Inspector::new(), &[(0, &scene)], &[scene.port]));
    assert_eq!(idle, Some(slots(&[(0, 0)])), "there is none on that port");
    scene.connect();
    let hidden = as_nobody(|| count(&mut Inspector::new(), &[(0, &scene)], &[scene.port]));
    assert_eq!(hidden, Some(slots(&[])));
    let mut sight = Inspector::new();
    sight.proc = Proc::new("/nonexistent");
    assert_eq!(
        count(&mut sight, &[(0, &scene)], &[scene.port]),
        Some(slots(&[]))
    );
}

#[test]
fn without_netlink_the_files_tell_and_without_both_nothing_is_known() {
    let mut scene = Scene::new();
    scene.connect();
    scene.connect();
    for errno in REFUSALS {
        let found = without_sock_diag(errno, || {
            count(&mut Inspector::new(), &[(0, &scene)], &[scene.port])
        });
        assert_eq!(found, Some(slots(&[(0, 2)])));
    }
    let found = without_sock_diag(REFUSALS[0], || {
        let mut sight = Inspector::new();
        sight.proc = Proc::new("/nonexistent");
        count(&mut sight, &[(0, &scene)], &[scene.port])
    });
    assert_eq!(found, None);
}

#[test]
fn what_is_known_from_the_last_count_is_counted_anew() {
    let mut sight = Inspector::new();
    let mut scenes = [Scene::new(), Scene::new()];
    for scene in &mut scenes {
        scene.connect();
        scene.connect();
    }
    let ports = scenes.each_ref().map(|scene| scene.port);
    let all = |sight: &mut Inspector, scenes: &[Scene; 2]| {
        count(sight, &[(0, &scenes[0]), (1, &scenes[1])], &ports)
    };
    assert_eq!(all(&mut sight, &scenes), Some(slots(&[(0, 2), (1, 2)])));
    // Known connections need no second look at the processes, so this works even without a readable /proc.
    let proc = std::mem::replace(&mut sight.proc, Proc::new("/nonexistent"));
    assert_eq!(all(&mut sight, &scenes), Some(slots(&[(0, 2), (1, 2)])));
    scenes[0].worker.tell("close 1");
    assert_eq!(all(&mut sight, &scenes), Some(slots(&[(0, 1), (1, 2)])));
    scenes[0].connect();
    assert_eq!(all(&mut sight, &scenes), Some(slots(&[])), "a new one");
    sight.proc = proc;
    assert_eq!(all(&mut sight, &scenes), Some(slots(&[(0, 2), (1, 2)])));
    // The same process in another slot, as after a reload that took it out of its own.
    let moved = count(&mut sight, &[(4, &scenes[1])], &ports[1..]);
    assert_eq!(moved, Some(slots(&[(4, 2)])));
}
