use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use crate::checks::testing::{Group, PATIENCE, answer, block_on, page, request, rest, send};
use crate::checks::{Check, Failure, Target, until_accepts, until_http};

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap()
}

/// A target that is known from the third attempt on.
fn late(target: Target) -> impl Fn() -> Option<Target> {
    let asked = AtomicU32::new(0);
    move || (asked.fetch_add(1, Ordering::Relaxed) >= 2).then_some(target)
}

#[test]
fn it_is_asked_until_it_answers_well() {
    let group = Group::new();
    let (serve, status) = answer("503 Starting");
    group.work(2, serve);
    let heard = RefCell::new(Vec::new());
    let hear = |check: &Check| {
        heard.borrow_mut().push(check.clone());
        if heard.borrow().len() == 5 {
            "200 OK".clone_into(&mut status.lock().unwrap());
        }
    };
    block_on(in_time(until_http(
        late(group.target(2)),
        &page("/ready"),
        hear,
    )));
    let unknown = Check::NotMade("it has no shared port on which it can be asked".into());
    let sick = Check::Failed(Failure::Status(503));
    let expected = [&unknown, &unknown, &sick, &sick, &sick].map(Check::clone);
    assert_eq!(heard.into_inner(), expected);
}

#[test]
fn a_question_that_is_lost_is_asked_again() {
    let group = Group::new();
    let clients = AtomicU32::new(0);
    let lost = Mutex::new(Vec::new());
    group.work(2, move |stream| {
        if clients.fetch_add(1, Ordering::Relaxed) == 0 {
            lost.lock().unwrap().push(stream);
        } else {
            request(&stream);
            send(&stream, "HTTP/1.1 200 OK\r\n\r\n");
        }
    });
    let heard = RefCell::new(Vec::new());
    let hear = |check: &Check| heard.borrow_mut().push(check.clone());
    let target = group.target(2);
    block_on(in_time(until_http(|| Some(target), &page("/"), hear)));
    assert!(
        matches!(
            heard.borrow()[..],
            [Check::Failed(Failure::TimedOut { .. })]
        ),
        "{heard:?}"
    );
}

/// In a task of its own, as in the supervisor.
#[test]
fn it_is_asked_until_it_accepts() {
    let group = Group::new();
    block_on(in_time(async {
        let (target, queue) = (late(group.target(2)), group.queue(2));
        let heard = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&heard);
        let asking = tokio::spawn(until_accepts(target, queue, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        // The connection is made but not accepted.
        let queue = group.queue(2);
        while queue() != Some(1) || heard.load(Ordering::Relaxed) < 3 {
            tokio::task::yield_now().await;
        }
        assert!(!asking.is_finished());
        group.work(2, |stream| drop(rest(&stream)));
        asking.await.unwrap();
    }));
}

#[test]
fn one_that_is_dropped_leaves_nothing_open() {
    let group = Group::new();
    let worker = group.accepting(2);
    let target = group.target(2);
    block_on(async {
        let asking =
            tokio::spawn(async move { until_http(|| Some(target), &page("/"), |_| {}).await });
        let queue = group.queue(2);
        while queue() != Some(1) {
            tokio::task::yield_now().await;
        }
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
    });
    let (client, _) = worker.accept().unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let said = request(&client);
    assert!(said.is_empty() || said.starts_with("GET / HTTP/1.1\r\n"));
    assert_eq!(rest(&client).unwrap(), 0);
}
