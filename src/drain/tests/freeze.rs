//! Stopping workers in a quiet moment, and what they do with signals.

use std::cell::Cell;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use super::{Scene, look};
use crate::drain::{FreezeOutcome, Frozen, Inspector};
use crate::model::{Pid, Sig};
use crate::policy::drain::Disposition;
use crate::sys::family::Process;
use crate::sys::proc::Proc;
use crate::sys::signals;
use crate::sys::testing::{Puppet, until};

fn stopped(leader: Pid) -> bool {
    Proc::new("/proc").is_stopped(leader).unwrap()
}

#[test]
fn a_quiet_worker_is_left_stopped_with_all_its_processes() {
    let (mut sight, mut scene) = (Inspector::new(), Scene::new());
    scene.connect();
    scene.serve(0);
    scene.worker.tell("threads 2");
    scene.worker.tell("fork");
    until("the moment has come", || {
        sight.freeze_if_nothing_is_at_work(scene.leader(), &[scene.port], || 0)
            == FreezeOutcome::Quiet
    });
    let group = sight.group(scene.leader()).unwrap();
    assert_eq!(group.len(), 2);
    for process in group {
        assert!(stopped(Pid::new(process.pid).unwrap()));
    }
    // A request that arrives now waits until the processes continue or are replaced.
    scene.clients[0].write_all(b"request").unwrap();
    until("it is seen", || scene.look(&mut sight).busy == 1);
    signals::send_group(scene.leader(), Sig::CONT).unwrap();
    scene.worker.tell("read 0 7");
}

#[test]
fn a_busy_worker_is_not_left_stopped() {
    let (mut sight, mut scene) = (Inspector::new(), Scene::new());
    scene.connect();
    scene.ask(0);
    let moment = sight.freeze_if_nothing_is_at_work(scene.leader(), &[scene.port], || 0);
    assert_eq!(moment, FreezeOutcome::Busy);
    assert!(!stopped(scene.leader()));
    scene.worker.tell("write 0 6");
    scene.until_quiet(&mut sight);
    let moment = sight.freeze_if_nothing_is_at_work(scene.leader(), &[scene.port], || 1);
    assert_eq!(moment, FreezeOutcome::Busy, "a client waits in the queue");
    assert!(!stopped(scene.leader()));
}

#[test]
fn a_worker_that_somebody_else_has_stopped_is_one_with_no_process_that_runs() {
    let (sight, mut scene) = (Inspector::new(), Scene::new());
    scene.worker.tell("fork");
    let leader = scene.leader();
    assert!(!Frozen::is_already(leader));
    signals::send(leader, Sig::STOP).unwrap();
    until("the leader is stopped", || stopped(leader));
    assert!(!Frozen::is_already(leader), "its child runs");
    signals::send_group(leader, Sig::STOP).unwrap();
    until("all are stopped", || Frozen::is_already(leader));
    for process in sight.group(leader).unwrap() {
        assert!(stopped(Pid::new(process.pid).unwrap()), "it stays so");
    }
    signals::send_group(leader, Sig::CONT).unwrap();
    until("all run", || !Frozen::is_already(leader));
}

/// What comes between the first look and the second is seen by the second, which finds the worker stopped.
#[test]
fn a_request_that_comes_while_it_is_being_stopped_sets_it_going_again() {
    let (mut sight, mut scene) = (Inspector::new(), Scene::new());
    scene.connect();
    scene.serve(0);
    scene.until_quiet(&mut sight);
    let (leader, port) = (scene.leader(), scene.port);
    let client = Cell::new(scene.clients.pop());
    let mut other = Inspector::new();
    let second = |sight: &mut Inspector| {
        assert!(stopped(leader));
        let mut speaker = client.take().unwrap();
        speaker.write_all(b"request").unwrap();
        until("it has come", || look(sight, leader, port).busy == 1);
        client.set(Some(speaker));
    };
    // On a busy machine it may not stop in time.
    until("it has stopped", || {
        let other = Cell::new(Some(&mut other));
        let looks = Cell::new(0);
        let moment = sight.freeze_if_nothing_is_at_work(leader, &[port], || {
            looks.set(looks.get() + 1);
            if looks.get() == 2 {
                second(other.take().unwrap());
            }
            0
        });
        assert_eq!(moment, FreezeOutcome::Busy);
        looks.get() == 2
    });
    scene.worker.tell("read 0 7");
}

#[test]
fn whatever_happens_on_the_way_the_worker_goes_on() {
    let (mut sight, mut scene) = (Inspector::new(), Scene::new());
    scene.connect();
    scene.serve(0);
    scene.until_quiet(&mut sight);
    until("it has stopped", || {
        let looks = Cell::new(0);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            sight.freeze_if_nothing_is_at_work(scene.leader(), &[scene.port], || {
                looks.set(looks.get() + 1);
                assert!(looks.get() < 2, "in the middle of it");
                0
            })
        }));
        outcome.is_err()
    });
    scene.worker.tell("write 0 1");
    // An ended worker has nothing to lose, and no other process is stopped instead.
    let gone = Puppet::start("true", &[]);
    let processes = Proc::new("/proc");
    let ended = |pid: Pid| {
        let group = processes.processes().unwrap().group(pid);
        group.iter().all(Process::is_over)
    };
    until("it has ended", || ended(gone.pid()));
    let moment = sight.freeze_if_nothing_is_at_work(gone.pid(), &[scene.port], || 0);
    assert_eq!(moment, FreezeOutcome::Quiet);
}

#[test]
fn those_that_hold_connections_say_what_a_signal_does() {
    let (mut sight, mut scene) = (Inspector::new(), Scene::new());
    let (leader, port) = (scene.leader(), scene.port);
    let mut disposition = |sig| sight.disposition(leader, &[port], sig);
    // No process holds a connection, so the leader decides.
    assert_eq!(disposition(Sig::TERM), Disposition::Default);
    for (how, expected) in [
        ("catch", Disposition::Caught),
        ("ignore", Disposition::Ignored),
        ("default", Disposition::Default),
        ("block", Disposition::Caught),
    ] {
        scene.worker.tell(&format!("signal 15 {how}"));
        assert_eq!(disposition(Sig::TERM), expected, "{how}");
    }
    assert_eq!(disposition(Sig::KILL), Disposition::Default);
    let nobody = Pid::new(i32::MAX).unwrap();
    assert_eq!(
        Inspector::new().disposition(nobody, &[port], Sig::TERM),
        Disposition::Unknown
    );
}

#[test]
fn a_shell_in_front_of_the_server_does_not_answer_for_it() {
    let holder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/payloads/holder.py");
    let command = format!("trap : TERM; python3 {holder}; :");
    let mut worker = Puppet::start("sh", &["-c", &command]);
    let port: u16 = worker.answer().parse().unwrap();
    let port = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut sight = Inspector::new();
    let mut disposition = || sight.disposition(worker.pid(), &[port], Sig::TERM);
    assert_eq!(disposition(), Disposition::Caught, "the shell's own");
    let mut scene = Scene {
        worker,
        port,
        clients: Vec::new(),
    };
    scene.connect();
    let mut disposition = || sight.disposition(scene.worker.pid(), &[port], Sig::TERM);
    assert_eq!(disposition(), Disposition::Default, "the server's");
    scene.worker.tell("signal 15 catch");
    let mut disposition = || sight.disposition(scene.worker.pid(), &[port], Sig::TERM);
    assert_eq!(disposition(), Disposition::Caught);
}
