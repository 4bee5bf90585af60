use std::cell::Cell;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::checks::testing::{Group, PATIENCE, SHORT, answer, block_on, request, rest, send};
use crate::checks::{Check, Failure, Step, accept, tcp};

fn tcp_of(group: &Group, limit: Duration) -> Check {
    block_on(tcp(group.target(2), group.queue(2), limit))
}

fn accept_of(group: &Group, limit: Duration) -> Check {
    block_on(accept(|| Some(group.target(2)), group.queue(2), limit))
}

#[test]
fn a_worker_that_accepts_passes_and_one_that_does_not_fails() {
    for (addr, v6only) in [("127.0.0.1:0", false), ("[::]:0", false), ("[::1]:0", true)] {
        let group = Group::open(addr, v6only, 4, 64);
        let not_accepted = Failure::TimedOut {
            step: Step::Accept,
            limit: SHORT,
        };
        assert_eq!(tcp_of(&group, SHORT), Check::Failed(not_accepted), "{addr}");
        group.work(2, |stream| drop(rest(&stream)));
        for _ in 0..20 {
            assert_eq!(tcp_of(&group, PATIENCE), Check::Passed, "{addr}");
        }
    }
}

#[test]
fn a_worker_that_is_busy_with_the_queue_before_us_passes() {
    let group = Group::new();
    let crowd = group.crowd(2, 40);
    group.work(2, |stream| drop(rest(&stream)));
    // It accepts the first connection and serves it until the client leaves.
    let worker = thread::spawn(move || {
        for client in crowd {
            drop(client);
            thread::yield_now();
        }
    });
    assert_eq!(tcp_of(&group, PATIENCE), Check::Passed);
    worker.join().unwrap();
}

/// The queue always seems to have the same length; only the worker's own action shows that it reached our connection.
#[test]
fn what_a_worker_does_with_our_connection_counts_whatever_the_queue_looks_like() {
    let group = Group::new();
    group.work(2, |stream| drop(rest(&stream)));
    let same = || Some(5);
    let limit = Duration::from_secs(2);
    let check = block_on(tcp(group.target(2), same, limit));
    assert_eq!(check, Check::Passed);
    let check = block_on(accept(|| Some(group.target(2)), same, limit));
    assert_eq!(check, Check::Passed);
    let greeter = Group::new();
    greeter.work(2, |stream| send(&stream, "220 hello\r\n"));
    assert_eq!(block_on(tcp(greeter.target(2), same, limit)), Check::Passed);
}

#[test]
fn an_empty_queue_passes_and_nobody_is_bothered() {
    let group = Group::new();
    assert_eq!(accept_of(&group, SHORT), Check::Passed);
    let worker = group.accepting(2);
    worker.set_nonblocking(true).unwrap();
    assert_eq!(worker.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_queue_that_does_not_move_though_clients_wait_is_stuck() {
    let group = Group::new();
    let _crowd = group.crowd(2, 3);
    let Check::Failed(Failure::Stuck { waiting, limit }) = accept_of(&group, SHORT) else {
        panic!("it passed");
    };
    // Our own connection waits there too.
    assert_eq!((waiting, limit), (4, SHORT));
    // Other workers are not affected.
    let other = accept(|| Some(group.target(1)), group.queue(1), SHORT);
    assert_eq!(block_on(other), Check::Passed);
    // Without a target, the looks still count.
    let unasked = block_on(accept(|| None, || Some(3), SHORT));
    let expected = Failure::Stuck {
        waiting: 3,
        limit: SHORT,
    };
    assert_eq!(unasked, Check::Failed(expected));
}

#[test]
fn a_full_queue_that_does_not_move_is_stuck() {
    let group = Group::open("127.0.0.1:0", false, 4, 1);
    let _crowd = group.crowd(2, 2);
    assert!(matches!(
        accept_of(&group, SHORT),
        Check::Failed(Failure::Stuck { waiting: 2, .. })
    ));
}

/// The queue is full at almost every look; one look at which it is not is enough.
#[test]
fn one_shorter_look_is_enough() {
    let looks = Cell::new(0);
    let queue = || {
        looks.set(looks.get() + 1);
        Some(if looks.get() == 20 { 4096 } else { 4097 })
    };
    let check = block_on(accept(|| None, queue, PATIENCE));
    assert_eq!(check, Check::Passed);
    assert_eq!(looks.get(), 20);
}

/// Three clients send again as soon as they are answered, and the worker serves one at a time: mostly two of them wait.
#[test]
fn a_worker_that_accepts_while_as_many_arrive_is_not_stuck() {
    let group = Group::new();
    let served = Arc::new(AtomicU32::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let count = Arc::clone(&served);
    group.work(2, move |stream| {
        request(&stream);
        // The time that its work takes.
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let _ = rest(&stream);
        count.fetch_add(1, Ordering::Relaxed);
        send(&stream, "HTTP/1.1 200 OK\r\n\r\n");
    });
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (group, over) = (group.clone(), Arc::clone(&over));
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let client = group.client(2);
                    send(&client, "GET / HTTP/1.1\r\n\r\n");
                    let _ = rest(&client);
                }
            })
        })
        .collect();
    while group.queue(2)() < Some(2) {
        thread::yield_now();
    }
    for _ in 0..10 {
        let check = accept_of(&group, Duration::from_secs(2));
        assert_eq!(check, Check::Passed, "{served:?} were served");
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn a_queue_that_cannot_be_read_says_nothing_of_the_worker() {
    let group = Group::new();
    group.work(2, answer("200 OK").0);
    let unknown = Check::NotMade("the length of its queue cannot be read".into());
    assert_eq!(block_on(tcp(group.target(2), || None, PATIENCE)), unknown);
    let check = block_on(accept(|| Some(group.target(2)), || None, PATIENCE));
    assert_eq!(check, unknown);
}
