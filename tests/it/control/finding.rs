//! Suspended, deaf and lying neighbours: how `rpmctl` finds the runtime that is meant among them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};

use super::Home;
use crate::harness::Signal;
use crate::harness::shared_port::stop;

/// A listener that takes nobody and whose queue is full, until it is dropped.
pub struct Frozen {
    _listener: OwnedFd,
    _waiting: Vec<OwnedFd>,
}

impl Frozen {
    #[track_caller]
    pub fn at(path: &Path) -> Self {
        let address = UnixAddr::new(path).unwrap();
        let open = |flags| socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        let listener = open(SockFlag::empty());
        bind(listener.as_raw_fd(), &address).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let waiting: Vec<_> = (0..4).map(|_| open(SockFlag::SOCK_NONBLOCK)).collect();
        let tried = waiting
            .iter()
            .map(|client| connect(client.as_raw_fd(), &address));
        let tried: Vec<_> = tried.collect();
        assert_eq!(tried.last(), Some(&Err(Errno::EAGAIN)), "its queue is full");
        Self {
            _listener: listener,
            _waiting: waiting,
        }
    }
}

#[test]
fn a_neighbour_that_accepts_nobody_hides_no_living_runtime_and_is_told() {
    let home = Home::new("deaf");
    let path = home.path().join("1-5.sock");
    let frozen = Frozen::at(&path);
    let alone = home.ctl(&["wait", "--timeout", "300ms"]);
    assert_eq!(alone.code, 2, "{alone:?}");
    assert!(alone.err.contains("accepts no connection"), "{alone:?}");
    let alone = home.ctl(&["list"]);
    assert_eq!(alone.code, 69, "{alone:?}");

    let runtime = home.start(1);
    let seen = home.ctl(&["health"]);
    assert_eq!(seen.code, 0, "{seen:?}");
    assert!(seen.out.starts_with("ready: "), "{seen:?}");
    assert!(
        seen.err.contains("1-5.sock: it accepts no connection"),
        "{seen:?}"
    );
    drop(frozen);
    stop(runtime);
    fs::remove_file(path).unwrap();
}

#[test]
fn a_suspended_runtime_hides_no_living_one_and_is_not_waited_for_without_end() {
    let home = Home::new("suspended");
    let suspended = home.start(1);
    let living = home.start(2);
    suspended.signal(Signal::SIGSTOP);
    let seen = home.ctl(&["health", "--json"]);
    assert_eq!(seen.code, 0, "{seen:?}");
    assert!(seen.out.contains("\"desired\":2"), "{seen:?}");
    let pid = suspended.pid().to_string();
    assert!(seen.err.contains("only the one at"), "{seen:?}");
    assert!(seen.err.contains(&format!("{pid}-")), "{seen:?}");

    let late = home.ctl(&["wait", "--timeout", "300ms", "--pid", &pid]);
    assert_eq!(late.code, 2, "{late:?}");
    assert!(late.err.contains("does not answer within"), "{late:?}");
    suspended.signal(Signal::SIGCONT);
    stop(suspended);
    stop(living);
}

#[test]
fn an_answer_without_an_end_is_cut_with_its_reason() {
    let home = Home::new("endless");
    let listener = UnixListener::bind(home.path().join("1-5.sock")).unwrap();
    let liar = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = String::new();
        BufReader::new(&stream).read_line(&mut question).unwrap();
        // It ends when rpmctl has closed the connection.
        while stream.write_all(&[b'['; 4096]).is_ok() {}
        question
    });
    let cut = home.ctl(&["list"]);
    assert_eq!(cut.code, 69, "{cut:?}");
    assert!(
        cut.err.contains("its answer is longer than 4 MiB"),
        "{cut:?}"
    );
    assert_eq!(liar.join().unwrap(), "{\"v\":1,\"command\":\"list\"}\n");
}

#[test]
fn the_time_of_wait_includes_the_first_answer() {
    let home = Home::new("late");
    let suspended = home.start(1);
    suspended.signal(Signal::SIGSTOP);
    for words in [
        &["reload"][..],
        &["restart", "0"],
        &["stop", "0"],
        &["scale", "2"],
    ] {
        let late = home.ctl(&[words, &["--wait", "--timeout", "300ms"]].concat());
        assert_eq!(late.code, 2, "{words:?}: {late:?}");
        assert!(
            late.err.starts_with("rpmctl: after 300ms: "),
            "{words:?}: {late:?}"
        );
    }
    suspended.signal(Signal::SIGCONT);
    stop(suspended);
}
