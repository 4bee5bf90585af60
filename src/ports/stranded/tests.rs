//! Tests on real sockets, on addresses that no other test binds. Workers and clients are threads.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener as StdListener, TcpStream as StdStream};
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::*;
use crate::model::Pid;
use crate::policy::steering::Balance;
use crate::ports::testing::{PATIENCE, Worker, ask, echo, open, reset, wait_for};

mod rescue;
mod stage;

use stage::{LEFT, Stage};

fn nonblocking(listener: impl AsFd) -> bool {
    let flags = fcntl(listener.as_fd(), FcntlArg::F_GETFL).unwrap();
    OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

#[test]
fn a_connection_that_stranded_is_answered_by_a_live_worker() {
    let stage = Stage::new(1024);
    let _workers = stage.workers(echo);
    let mut clients: Vec<StdStream> = (0..5).map(|_| stage.strand()).collect();
    stage.idle(&[LEFT]);
    clients.iter_mut().for_each(ask);
    stage.stranded(5);
    // One more that comes later, and the first five again.
    clients.push(stage.strand());
    stage.idle(&[LEFT]);
    clients.iter_mut().for_each(ask);
    stage.stranded(6);
    assert_eq!(stage.ports.queue_length(stage.key, LEFT), Some(0));
}

#[test]
fn each_side_may_end_before_the_other() {
    /// Reads everything, then answers with the number of bytes.
    fn count(mut client: StdStream) {
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        write!(client, "{}", all.len()).unwrap();
    }
    /// Sends its greeting, then reads to the end.
    fn greet(mut client: StdStream) {
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut all = String::new();
        client.read_to_string(&mut all).unwrap();
        assert_eq!(all, "thanks");
    }
    let stage = Stage::new(1024);
    let workers = stage.workers(count);
    let mut client = stage.strand();
    stage.idle(&[LEFT]);
    client.write_all(&[7; 12_345]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "12345");
    drop(workers);
    let _workers = stage.workers(greet);
    let mut client = stage.strand();
    stage.idle(&[LEFT]);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
    client.write_all(b"thanks").unwrap();
    drop(client);
}

/// A program may trust loopback addresses and may treat the families differently.
#[test]
fn it_comes_in_the_family_in_which_the_client_came() {
    fn say_who(mut client: StdStream) {
        write!(client, "{}", client.peer_addr().unwrap().ip()).unwrap();
    }
    let (ports, _) = open(6, 2, Balance::Random, 1024);
    let free = StdListener::bind("[::]:0").unwrap();
    let key = PortKey::dual_stack(free.local_addr().unwrap().port());
    drop(free);
    ports.open(key).unwrap();
    let stage = Stage::with(ports, key);
    let _workers = stage.workers(say_who);
    for (at, who) in [("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "::1")] {
        let addr = SocketAddr::new(at.parse().unwrap(), key.addr.port());
        let mut client = stage.strand_at(addr);
        stage.idle(&[LEFT]);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, who);
    }
    stage.stranded(2);
}

#[test]
fn large_bodies_go_both_ways_at_the_same_time() {
    const SIZE: usize = 8 << 20;
    let stage = Stage::new(1024);
    let _workers = stage.workers(echo);
    let mut client = stage.strand();
    stage.idle(&[LEFT]);
    let sent: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
    let mut writer = client.try_clone().unwrap();
    let mut got = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        client.read_to_end(&mut got).unwrap();
    });
    assert!(got == sent, "{} of {SIZE} bytes", got.len());
}

#[test]
fn who_breaks_off_is_seen_to_break_off() {
    /// Breaks off in the middle of its answer.
    fn break_off(mut client: StdStream) {
        client.write_all(b"hal").unwrap();
        let mut word = [0; 1];
        client.read_exact(&mut word).unwrap();
        reset(&client);
    }
    let stage = Stage::new(1024);
    let _workers = stage.workers(break_off);
    let mut client = stage.strand();
    stage.idle(&[LEFT]);
    let mut half = [0; 3];
    client.read_exact(&mut half).unwrap();
    client.write_all(b"?").unwrap();
    let error = client.read(&mut half).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_client_that_breaks_off_is_told_to_the_worker() {
    static TOLD: Mutex<Vec<ErrorKind>> = Mutex::new(Vec::new());
    fn wait(mut client: StdStream) {
        client.write_all(b"!").unwrap();
        if let Err(error) = client.read(&mut [0]) {
            TOLD.lock().unwrap().push(error.kind());
        }
    }
    let stage = Stage::new(1024);
    let _workers = stage.workers(wait);
    let mut client = stage.strand();
    stage.idle(&[LEFT]);
    client.read_exact(&mut [0]).unwrap();
    reset(&client);
    drop(client);
    wait_for("the worker knows", || {
        *TOLD.lock().unwrap() == [ErrorKind::ConnectionReset]
    });
}

#[test]
fn with_nobody_live_it_waits_for_somebody() {
    let stage = Stage::new(1024);
    let _workers = stage.workers(echo);
    let mut client = stage.strand();
    stage.live(&[]);
    stage.idle(&[LEFT]);
    stage.stranded(1);
    client.write_all(b"ping").unwrap();
    stage.live(&[ListenerId(1)]);
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    // It did not strand a second time.
    stage.stranded(1);
}

#[test]
fn one_that_comes_late_is_found_too() {
    let stage = Stage::new(1024);
    let _workers = stage.workers(echo);
    ask_after(&stage, stage.strand());
    // The queue is empty now, and the runtime accepts there.
    for count in 2..5 {
        stage.turn(&[], &[LEFT]);
        let late = StdStream::connect(stage.key.addr).unwrap();
        late.set_read_timeout(Some(PATIENCE)).unwrap();
        stage.stranded(count);
        stage.live(&[ListenerId(0)]);
        ask_after(&stage, late);
    }
}

fn ask_after(stage: &Stage, mut client: StdStream) {
    stage.idle(&[LEFT]);
    ask(&mut client);
}

#[test]
fn with_the_port_let_go_it_is_reset() {
    let stage = Stage::new(1024);
    let mut client = stage.strand();
    stage.live(&[]);
    stage.idle(&[LEFT]);
    stage.stranded(1);
    stage.ports.let_go();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    wait_for("nobody listens", || {
        StdStream::connect(stage.key.addr).is_err()
    });
}

#[test]
fn no_more_than_there_is_room_for() {
    // One permit.
    let stage = Stage::new(4);
    let _workers = stage.workers(echo);
    let mut clients: Vec<StdStream> = (0..3).map(|_| stage.strand()).collect();
    stage.idle(&[LEFT]);
    ask(&mut clients[0]);
    clients[1].write_all(b"ping").unwrap();
    let brief = Some(Duration::from_millis(200));
    clients[1].set_read_timeout(brief).unwrap();
    let error = clients[1].read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(stage.ports.queue_length(stage.key, LEFT), Some(1));
    // The second connection was accepted and must be served although the claim ended. The third still waits for a
    // worker.
    let listener = stage.hand(LEFT, true);
    drop(clients.remove(0));
    clients[0].set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 4];
    clients[0].read_exact(&mut answer).unwrap();
    let _worker = Worker::start(listener, echo);
    ask(&mut clients[1]);
    stage.stranded(2);
}

#[test]
fn a_listener_that_is_taken_into_use_is_its_workers_alone() {
    let stage = Stage::new(1024);
    let _workers = stage.workers(echo);
    let mut rescued = stage.strand();
    stage.idle(&[LEFT]);
    ask(&mut rescued);
    // The program blocks in accept. Nothing else may take its connections or make accept return.
    let listener = stage.hand(LEFT, false);
    assert!(!nonblocking(&listener));
    let worker = Pid::new(102).unwrap();
    stage.ports.occupy(LEFT, worker);
    stage.ports.taken(stage.key, LEFT, worker);
    // This comes too late and must have no effect while the worker is present.
    stage.idle(&[LEFT]);
    stage.live(&[LEFT]);
    for _ in 0..50 {
        let mut client = StdStream::connect(stage.key.addr).unwrap();
        let (served, _) = listener.accept().unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let serving = thread::spawn(move || echo(served));
        ask(&mut client);
        drop(client);
        serving.join().unwrap();
        assert!(!nonblocking(&listener));
    }
    // The connection that was rescued earlier goes on.
    ask(&mut rescued);
    stage.stranded(1);
}

/// A worker comes and goes while clients connect continuously. Each client is answered, by this worker or by another.
#[test]
fn while_a_listener_changes_hands_nobody_is_lost() {
    let stage = Stage::new(1024);
    let _workers = stage.workers(echo);
    let worker = Pid::new(102).unwrap();
    let over = AtomicBool::new(false);
    let client = || {
        let mut answered = 0;
        while !over.load(Ordering::Relaxed) {
            let mut client = StdStream::connect(stage.key.addr).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            ask(&mut client);
            reset(&client);
            answered += 1;
        }
        answered
    };
    let answered: u32 = thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        for _ in 0..40 {
            stage.ports.occupy(LEFT, worker);
            let listener = stage.hand(LEFT, false);
            assert!(!nonblocking(&listener));
            stage.live(&[ListenerId(0), LEFT]);
            // It has connections in its queue and serves one of them.
            let (served, _) = listener.accept().unwrap();
            let serving = scope.spawn(move || echo(served));
            assert!(!nonblocking(&listener));
            serving.join().unwrap();
            stage.live(&[ListenerId(0), ListenerId(1)]);
            drop(listener);
            stage.ports.release(LEFT, worker);
            stage.idle(&[LEFT]);
        }
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!(answered > 40, "{answered}");
    assert_eq!(stage.ports.queue_length(stage.key, LEFT), Some(0));
    assert!(*stage.stranded.lock().unwrap() > 0);
}
