//! A tree of files, and real processes.

use std::net::TcpListener;

use super::*;
use crate::sys::listener::inode;
use crate::sys::signals::{send, send_group};
use crate::sys::testing::{Puppet, as_nobody, until};

fn fixture() -> Proc {
    Proc::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/proc"))
}

fn pid(raw: i32) -> Pid {
    Pid::new(raw).unwrap()
}

fn process(raw: i32, state: u8, threads: u32) -> Process {
    Process {
        state,
        threads,
        ..Process::asleep(raw, 1, raw)
    }
}

fn own() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

fn sockets(proc: &Proc, process: &Process) -> (Seen, Vec<u64>) {
    let mut found = Vec::new();
    let seen = proc.sockets(process, &mut |inode| {
        found.push(inode);
        ControlFlow::Continue(())
    });
    (seen, found)
}

#[test]
fn sockets_are_told_and_other_descriptors_are_not() {
    let proc = fixture();
    let (seen, found) = sockets(&proc, &process(101, b'S', 12));
    assert_eq!((seen, found), (Seen::Whole, vec![4242, 4242]));
    assert_eq!(
        sockets(&proc, &process(100, b'S', 1)),
        (Seen::Whole, vec![])
    );
}

#[test]
fn who_has_heard_enough_is_told_no_more() {
    let mut found = Vec::new();
    let seen = fixture().sockets(&process(101, b'S', 12), &mut |inode| {
        found.push(inode);
        ControlFlow::Break(())
    });
    assert_eq!((seen, found), (Seen::Whole, vec![4242]));
}

#[test]
fn nothing_held_nobody_there_and_nothing_seen_are_three_things() {
    let proc = fixture();
    assert_eq!(sockets(&proc, &process(999, b'S', 1)).0, Seen::Over);
    assert_eq!(sockets(&proc, &process(104, b'Z', 1)).0, Seen::Over);
    assert_eq!(sockets(&proc, &process(105, b'Z', 4)).0, Seen::Hidden);
    assert_eq!(sockets(&proc, &process(1, b'S', 4)).0, Seen::Hidden);
}

#[test]
fn own_sockets_are_seen_and_those_of_another_user_are_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proc = Proc::new("/proc");
    let (seen, found) = sockets(&proc, &process(own(), b'S', 2));
    assert_eq!(seen, Seen::Whole);
    assert!(found.contains(&inode(&listener).unwrap()));

    let other = Puppet::start("cat", &[]);
    let other = process(other.pid().get(), b'S', 1);
    assert_eq!(sockets(&proc, &other), (Seen::Whole, vec![]));
    assert_eq!(as_nobody(|| sockets(&proc, &other)), (Seen::Hidden, vec![]));
}

#[test]
fn a_zombie_of_anybodys_holds_nothing() {
    let proc = Proc::new("/proc");
    let child = Puppet::start("true", &[]);
    until("it has ended", || proc.is_over(child.pid()));
    // The state from the time when the processes were listed.
    let before = process(child.pid().get(), b'S', 1);
    // Root may list a directory that is empty.
    assert_eq!(sockets(&proc, &before), (Seen::Whole, vec![]));
    assert_eq!(as_nobody(|| sockets(&proc, &before)), (Seen::Over, vec![]));
    assert!(proc.has_closed_all(&before));
    assert!(proc.has_closed_all(&process(999_999_999, b'S', 1)));
    assert!(!proc.has_closed_all(&process(own(), b'S', 1)));
}

#[test]
fn masks_are_read_bit_by_bit() {
    let found = fixture().dispositions(pid(101)).unwrap();
    let expected = Dispositions {
        caught: 0x1_8000_4202,
        ignored: 0x1000,
        blocked: 0x1_0000,
    };
    assert_eq!(found, expected);
    assert!(
        Dispositions::has(found.caught, Sig::TERM) && Dispositions::has(found.caught, Sig::INT)
    );
    assert!(!Dispositions::has(found.caught, Sig::HUP));
    assert!(Dispositions::has(found.ignored, Sig::PIPE));
    let last = Sig::new(64).unwrap();
    assert!(Dispositions::has(1 << 63, last) && !Dispositions::has(1 << 62, last));
    assert!(fixture().dispositions(pid(999)).is_err());
    assert_eq!(parse_status(b"Name:\tx\nSigCgt:\t0\nSigIgn:\t0\n"), None);
    assert_eq!(
        parse_status(b"SigCgt:\txyz\nSigIgn:\t0\nSigBlk:\t0\n"),
        None
    );
}

#[test]
fn a_real_shells_trap_is_seen_by_anybody() {
    let mut shell = Puppet::start(
        "sh",
        &["-c", "trap : TERM; trap '' INT; echo set; read line"],
    );
    assert_eq!(shell.answer(), "set");
    let proc = Proc::new("/proc");
    for found in [
        proc.dispositions(shell.pid()).unwrap(),
        as_nobody(|| proc.dispositions(shell.pid()).unwrap()),
    ] {
        assert!(Dispositions::has(found.caught, Sig::TERM));
        assert!(Dispositions::has(found.ignored, Sig::INT));
        assert!(!Dispositions::has(
            found.caught | found.ignored | found.blocked,
            Sig::USR1
        ));
    }
}

#[test]
fn a_process_is_stopped_when_each_of_its_threads_is() {
    let proc = fixture();
    assert!(proc.is_stopped(pid(101)).unwrap());
    assert!(!proc.is_stopped(pid(100)).unwrap());
    assert!(proc.is_stopped(pid(999)).unwrap(), "nobody runs there");
    assert!(!Proc::new("/proc").is_stopped(pid(own())).unwrap());
}

#[test]
fn a_group_is_waited_for_until_every_thread_stands() {
    let holder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/payloads/holder.py");
    let mut worker = Puppet::start("python3", &[holder]);
    worker.answer();
    worker.tell("threads 3");
    worker.tell("fork");
    let proc = Proc::new("/proc");
    let group = proc.processes().unwrap().group(worker.pid());
    assert_eq!(group.len(), 2);
    assert!(!proc.stopped_within(&group));
    send_group(worker.pid(), Sig::STOP).unwrap();
    until("all of them stand", || proc.stopped_within(&group));
    for process in &group {
        assert!(proc.is_stopped(pid(process.pid)).unwrap());
    }
    // One running process is enough.
    send(worker.pid(), Sig::CONT).unwrap();
    until("it runs", || !proc.is_stopped(worker.pid()).unwrap());
    assert!(!proc.stopped_within(&group));
    assert!(proc.stopped_within(&[]));
}
