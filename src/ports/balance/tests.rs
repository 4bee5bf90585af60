//! Tests on real sockets, on addresses that no other test binds.

mod least;
mod many;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid as Process;

use super::*;
use crate::model::{ListenerId, Pid, SlotId};
use crate::policy::Rotation;
use crate::policy::handover::PortKey;
use crate::policy::steering::Balance;
use crate::ports::testing::{Worker, open, pause, reset, wait_for};
use crate::ports::told::Options;

const LOOK: Duration = Duration::from_millis(5);

/// A port with `slots` live workers.
fn served(slots: u16, choice: Balance) -> (SharedPorts, PortKey) {
    let (ports, key) = open(4, slots, choice, 4096);
    for number in 0..slots {
        let worker = Pid::new(100 + i32::from(number)).unwrap();
        ports.occupy(ListenerId(number), worker);
        ports.taken(key, ListenerId(number), worker);
    }
    assert!(ports.steer(all_live(slots), None).is_empty());
    (ports, key)
}

fn all_live(slots: u16) -> Rotation {
    let seats: Vec<_> = (0..slots)
        .map(|number| (ListenerId(number), SlotId(number)))
        .collect();
    let all: Vec<ListenerId> = seats.iter().map(|(listener, _)| *listener).collect();
    Rotation {
        live: all.clone(),
        expected: all,
        apart: None,
        seats,
    }
}

/// The queue length of each listener.
fn lengths(ports: &SharedPorts, key: PortKey, slots: u16) -> Vec<u32> {
    (0..slots)
        .map(|number| ports.queue_length(key, ListenerId(number)).unwrap())
        .collect()
}

/// A connection that is reset at once and still stays in the queue.
fn knock(addr: SocketAddr) {
    let client = TcpStream::connect(addr).unwrap();
    reset(&client);
}

/// The listener with this number, as its worker gets it.
fn handed(ports: &SharedPorts, key: PortKey, number: u16) -> OwnedFd {
    let mut events = Vec::new();
    let handed = ports.hand(
        key,
        ListenerId(number),
        (true, &Options::default()),
        &mut events,
    );
    handed.unwrap().unwrap().fd
}

/// A worker that greets each client of this listener.
fn worker(ports: &SharedPorts, key: PortKey, number: u16) -> Worker {
    Worker::start(handed(ports, key, number), |mut client| {
        // The client may have left already.
        let _ = client.write_all(b"!");
    })
}

/// A look after the usual time, without anything that the kernel told.
fn looked(ports: &SharedPorts) -> Look {
    ports.look(LOOK, &mut Ears::new(Waker::new().unwrap()).unwrap())
}

fn changes(ports: &SharedPorts) -> u64 {
    ports.balance().unwrap().changes
}

/// The slots that are reported as passed over.
fn passed_over(ports: &SharedPorts) -> Vec<u16> {
    let slots = ports.balance().unwrap().passed_over.into_iter();
    slots
        .filter_map(|(slot, is_out)| is_out.then_some(slot.0))
        .collect()
}

/// Nothing can be counted.
fn nothing() -> Census {
    Box::new(|| None)
}

fn balancer(ports: &SharedPorts) {
    Balancer::start(ports, |event| panic!("{event:?}"), nothing()).unwrap();
}

#[test]
fn a_worker_that_accepts_nothing_gets_a_handful() {
    const CLIENTS: usize = 4;
    let (ports, key) = served(4, Balance::Adaptive);
    balancer(&ports);
    let mut workers: Vec<Worker> = (1..4).map(|number| worker(&ports, key, number)).collect();
    let client = || {
        let mut waiting = Vec::new();
        let mut greeted = 0;
        for _ in 0..2_000 / CLIENTS {
            let mut client = TcpStream::connect(key.addr).unwrap();
            // About 2 ms, so that the whole takes a second.
            pause(Duration::from_millis(2));
            client.set_nonblocking(true).unwrap();
            match client.read(&mut [0]) {
                Ok(count) => greeted += count,
                Err(_) => waiting.push(client),
            }
        }
        (greeted, waiting)
    };
    let results: Vec<(usize, Vec<TcpStream>)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut greeted: usize = results.iter().map(|(greeted, _)| greeted).sum();
    let mut waiting: Vec<TcpStream> = results
        .into_iter()
        .flat_map(|(_, waiting)| waiting)
        .collect();
    let stuck = usize::try_from(lengths(&ports, key, 4)[0]).unwrap();
    // By chance it would be 500.
    assert!((1..=100).contains(&stuck), "{stuck}");
    // All other connections are served.
    while greeted + stuck < 2_000 {
        waiting.retain_mut(|client| {
            let served = client.read(&mut [0]).is_ok();
            greeted += usize::from(served);
            !served
        });
        pause(Duration::from_millis(1));
    }
    assert_eq!((greeted, waiting.len()), (2_000 - stuck, stuck));
    assert!(changes(&ports) > 0);
    // The worker recovers. The balancer notices it as soon as there is traffic.
    workers.push(worker(&ports, key, 0));
    wait_for("its queue is empty", || lengths(&ports, key, 4)[0] == 0);
    let in_again = || {
        knock(key.addr);
        !held_now(&ports)[0]
    };
    wait_for("it gets connections again", in_again);
}

/// 10 000 connections on eight listeners, with a look after every 50: by chance alone, the coefficient of variation is
/// 2.6 %.
#[test]
fn where_nobody_keeps_up_the_queues_stay_equal() {
    let spread = |choice| {
        let (ports, key) = served(8, choice);
        for _ in 0..200 {
            (0..50).for_each(|_| knock(key.addr));
            looked(&ports);
        }
        let total = || lengths(&ports, key, 8).iter().sum::<u32>();
        wait_for("all have arrived", || total() == 10_000);
        let squares = lengths(&ports, key, 8)
            .into_iter()
            .map(|length| (f64::from(length) - 1_250.0).powi(2));
        (squares.sum::<f64>() / 8.0).sqrt() / 12.5
    };
    let adaptive = spread(Balance::Adaptive);
    // By chance, this has a probability below one in a hundred.
    assert!(adaptive < 1.0, "{adaptive} %");
    let random = spread(Balance::Random);
    assert!(random > adaptive, "{random} %, {adaptive} %");
}

/// Polls four listeners `looks` times. The queue of the first does not move; the others have workers.
fn stuck(looks: u32) -> (SharedPorts, PortKey, Vec<Worker>) {
    let (ports, key) = served(4, Balance::Adaptive);
    let workers = (1..4).map(|number| worker(&ports, key, number)).collect();
    wait_for("one waits where nobody accepts", || {
        knock(key.addr);
        lengths(&ports, key, 4)[0] == 1
    });
    wait_for("the others are empty", || {
        lengths(&ports, key, 4)[1..] == [0, 0, 0]
    });
    for _ in 0..looks {
        looked(&ports);
    }
    (ports, key, workers)
}

fn held_now(ports: &SharedPorts) -> Vec<bool> {
    let state = ports.lock();
    let listeners = state.groups[0].listeners.iter();
    listeners.map(|one| one.standing.held_back).collect()
}

#[test]
fn one_that_stands_still_is_held_back_until_it_moves() {
    let (ports, key, mut workers) = stuck(10);
    assert!(!held_now(&ports)[0]);
    let before = changes(&ports);
    let look = looked(&ports);
    assert!(look.replaced == 1 && look.waiting);
    assert_eq!(held_now(&ports), [true, false, false, false, false]);
    assert_eq!(passed_over(&ports), [0]);
    assert_eq!(ports.balance().unwrap().passed_over.len(), 4, "no spares");
    assert_eq!(changes(&ports), before + 1);
    // The rotation did not change.
    assert!(ports.queues()[0].in_rotation);
    (0..200).for_each(|_| knock(key.addr));
    wait_for("the others take all", || {
        lengths(&ports, key, 4) == [1, 0, 0, 0]
    });
    let look = looked(&ports);
    assert!(look.waiting && !look.is_news(), "{look:?}");
    workers.push(worker(&ports, key, 0));
    wait_for("its queue is empty", || lengths(&ports, key, 4)[0] == 0);
    looked(&ports);
    assert_eq!(held_now(&ports), [false; 5]);
    assert_eq!(passed_over(&ports), [0; 0]);
}

#[test]
fn who_is_held_back_gets_everything_when_nobody_else_is_live() {
    let (ports, key, _workers) = stuck(11);
    let alone = Rotation {
        live: vec![ListenerId(0)],
        ..all_live(4)
    };
    assert!(ports.steer(alone, None).is_empty());
    assert!(held_now(&ports)[0]);
    assert_eq!(passed_over(&ports), [0; 0], "nobody else is there");
    (0..40).for_each(|_| knock(key.addr));
    wait_for("all came to it", || lengths(&ports, key, 4)[0] == 41);
    looked(&ports);
    assert!(!held_now(&ports)[0]);
}

#[test]
fn a_successor_does_not_pay_for_the_one_before() {
    let (ports, key, _workers) = stuck(11);
    let before = Pid::new(100).unwrap();
    let after = Pid::new(200).unwrap();
    ports.release(ListenerId(0), before);
    ports.occupy(ListenerId(0), after);
    ports.taken(key, ListenerId(0), after);
    // It takes effect at once, without a new program.
    assert!(!held_now(&ports)[0]);
    (0..200).for_each(|_| knock(key.addr));
    wait_for("it gets its share", || lengths(&ports, key, 4)[0] > 10);
}

#[test]
fn only_adaptive_looks() {
    for choice in [Balance::Random, Balance::Hash, Balance::Cpu] {
        let (ports, key) = served(2, choice);
        (0..20).for_each(|_| knock(key.addr));
        assert_eq!(looked(&ports), Look::default());
        assert_eq!(ports.balance(), None);
        assert!(Balancer::spawn(&ports, drop, nothing()).unwrap().is_none());
    }
}

/// With only one live listener, no listener is held back; but the thread looks at it when it wakes.
fn arrival_is_seen(ports: &SharedPorts, key: PortKey, number: u16) {
    let alone = Rotation {
        live: vec![ListenerId(number)],
        ..all_live(2)
    };
    assert!(ports.steer(alone, None).is_empty());
    knock(key.addr);
    wait_for("the thread looks", || {
        let state = ports.lock();
        let mut groups = state.groups.iter().filter(|group| group.key == key);
        let listener = &groups.next().unwrap().listeners[usize::from(number)];
        listener.standing != Standing::default()
    });
}

#[test]
fn what_is_new_is_watched_until_the_ports_are_let_go() {
    let (ports, key) = served(2, Balance::Adaptive);
    let spawn = || Balancer::spawn(&ports, |event| panic!("{event:?}"), nothing()).unwrap();
    let balancer = spawn().unwrap();
    // A second thread is not started.
    assert!(spawn().is_none());
    arrival_is_seen(&ports, key, 0);
    let add = |key: PortKey, number: u16| {
        let worker = Pid::new(300 + i32::from(number)).unwrap();
        ports.occupy(ListenerId(number), worker);
        drop(handed(&ports, key, number));
        ports.taken(key, ListenerId(number), worker);
    };
    // A spare, a listener that was not prepared, and another port.
    for number in [2, 5] {
        add(key, number);
        arrival_is_seen(&ports, key, number);
    }
    let other = PortKey::new(SocketAddr::from(([127, 73, 0, 5], key.addr.port())), false);
    add(other, 1);
    arrival_is_seen(&ports, other, 1);
    ports.let_go();
    wait_for("the thread ends", || balancer.is_finished());
    balancer.join().unwrap();
    assert!(spawn().is_none());
}

/// RPM_BALANCE=cpu. The CPU is the client's, because on the loopback device a request stays on its CPU.
#[test]
fn by_cpu() {
    let before = sched_getaffinity(Process::from_raw(0)).unwrap();
    let allowed = (0..CpuSet::count()).filter(|cpu| before.is_set(*cpu).unwrap());
    for cpu in allowed {
        let mut only = CpuSet::new();
        only.set(cpu).unwrap();
        // This thread belongs to this test alone.
        sched_setaffinity(Process::from_raw(0), &only).unwrap();
        let (ports, key) = served(3, Balance::Cpu);
        (0..20).for_each(|_| knock(key.addr));
        let mut expected = [0; 3];
        expected[cpu % 3] = 20;
        wait_for("all are where they belong", || {
            lengths(&ports, key, 3) == expected
        });
    }
    sched_setaffinity(Process::from_raw(0), &before).unwrap();
}
