//! Emptying the queue of a worker that is about to stop.

use std::net::{Shutdown, TcpStream as StdStream};

use super::{LEFT, Stage, nonblocking};
use crate::model::ListenerId;
use crate::ports::Waiting;
use crate::ports::testing::{PATIENCE, ask, echo, wait_for};

/// Clients that wait for the worker of `LEFT`, which is out of the steering now.
fn waiting(stage: &Stage, count: u32) -> Vec<StdStream> {
    stage.live(&[LEFT]);
    let clients: Vec<StdStream> = (0..count)
        .map(|_| {
            let client = StdStream::connect(stage.key.addr).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client
        })
        .collect();
    wait_for("they are queued", || {
        stage.ports.queue_length(stage.key, LEFT) == Some(count)
    });
    stage.live(&[ListenerId(0), ListenerId(1)]);
    clients
}

#[test]
fn who_waits_for_a_worker_that_shuts_its_listener_down_is_served_by_another() {
    let stage = Stage::new(1024);
    let _workers = stage.workers(echo);
    for blocking in [false, true] {
        stage.occupy(LEFT);
        let own = stage.hand(LEFT, !blocking);
        assert_eq!(stage.ports.waits(LEFT), None, "nobody waits");
        let mut clients = waiting(&stage, 5);
        let connections = 5;
        assert_eq!(
            stage.ports.waits(LEFT),
            Some(Waiting {
                connections,
                blocking
            })
        );
        assert_eq!(stage.rescue(LEFT), 5);
        assert_eq!(nonblocking(&own), !blocking, "the mode is as before");
        // As a program does it when it is told to stop.
        let own = StdStream::from(std::os::fd::OwnedFd::from(own));
        own.shutdown(Shutdown::Both).unwrap();
        clients.iter_mut().for_each(ask);
        assert!(stage.ports.repair(stage.key).unwrap().error.is_none());
    }
}

#[test]
fn without_a_live_worker_the_queue_is_left_to_the_next_one_unless_workers_shut_it_down() {
    let stage = Stage::new(1024);
    stage.occupy(LEFT);
    let _clients = waiting(&stage, 2);
    stage.live(&[]);
    assert_eq!((stage.ports.waits(LEFT), stage.rescue(LEFT)), (None, 0));
    let own = stage.hand(ListenerId(1), true);
    let own = StdStream::from(std::os::fd::OwnedFd::from(own));
    own.shutdown(Shutdown::Both).unwrap();
    assert!(stage.ports.repair(stage.key).unwrap().error.is_none());
    assert_eq!(
        stage.ports.waits(LEFT).map(|waits| waits.connections),
        Some(2)
    );
    assert_eq!(stage.rescue(LEFT), 2);
}
