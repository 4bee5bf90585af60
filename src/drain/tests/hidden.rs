//! Workers whose processes cannot be inspected: another uid, or hidden.

use std::net::TcpStream;

use super::Scene;
use crate::drain::{Existing, FreezeOutcome, Handshakes, Inspector, Subject};
use crate::model::{Pid, Sig};
use crate::policy::drain::{Aim, Disposition, Look};
use crate::sys::proc::Proc;
use crate::sys::testing::as_nobody;

/// The worker's open connections, those of them whose process is not seen, and whether a process of it is hidden.
fn unseen(look: Look) -> (u32, u32, bool) {
    (look.open, look.unseen, look.hidden)
}

#[test]
fn connections_of_no_visible_process_count_as_the_workers_that_cannot_be_inspected() {
    let mut scene = Scene::new();
    let bare = as_nobody(|| scene.look(&mut Inspector::new()));
    assert_eq!(
        unseen(bare),
        (0, 0, false),
        "there is none on that port, so nothing is asked"
    );
    scene.connect();
    scene.ask(0);
    let hidden = as_nobody(|| scene.look(&mut Inspector::new()));
    assert_eq!(unseen(hidden), (1, 1, true));
    assert!(
        hidden.visible && hidden.busy == 1,
        "its request is not answered"
    );
    let moment = |scene: &Scene| {
        as_nobody(|| {
            Inspector::new().freeze_if_nothing_is_at_work(scene.leader(), &[scene.port], || 0)
        })
    };
    assert_eq!(moment(&scene), FreezeOutcome::Busy);
    scene.serve(0);
    scene.until_quiet(&mut Inspector::new());
    let hidden = as_nobody(|| scene.look(&mut Inspector::new()));
    assert_eq!((unseen(hidden), hidden.busy), ((1, 1, true), 0));
    assert_eq!(moment(&scene), FreezeOutcome::Blind, "nobody may stop it");
    // Signal dispositions are readable for other users.
    scene.worker.tell("signal 15 catch");
    let disposition =
        as_nobody(|| Inspector::new().disposition(scene.leader(), &[scene.port], Sig::TERM));
    assert_eq!(disposition, Disposition::Caught);
}

/// Connections that came after the worker left the steering are those of others, which may be invisible too.
#[test]
fn only_connections_that_existed_when_the_worker_left_count_as_its_own() {
    let mut scene = Scene::new();
    scene.connect();
    let waits = TcpStream::connect(scene.port).unwrap();
    let existing =
        |scene: &Scene| as_nobody(|| Inspector::new().existing(scene.leader(), &[scene.port]));
    let before = existing(&scene).expect("another user's worker cannot be inspected");
    let own = Inspector::new().existing(scene.leader(), &[scene.port]);
    assert_eq!(own, None, "one of our own can");
    // The one that waited in the queue is accepted now, the other is new.
    scene.worker.tell("accept");
    scene.connect();
    let look = |existing| {
        let subject = Subject {
            leader: scene.leader(),
            handshakes: &Handshakes::default(),
            existing,
            aim: None,
            queued: 0,
        };
        as_nobody(|| unseen(Inspector::new().look(&[subject], &[scene.port])[0]))
    };
    assert_eq!(look(None), (3, 3, true));
    assert_eq!(look(Some(&before)), (2, 2, true));
    assert_eq!(look(Some(&Existing::default())), (0, 0, true));
    drop(waits);
}

/// Two workers: one can be inspected, the other not. What the former holds is not counted as the latter's.
#[test]
fn what_a_visible_process_holds_is_not_the_hidden_workers() {
    let mut scene = Scene::new();
    scene.connect();
    let (sight, none) = (&mut Inspector::new(), Handshakes::default());
    // As under `hidepid`: a leader of which nothing is known.
    let gone = Pid::new(i32::MAX).unwrap();
    let subject = |leader| Subject {
        leader,
        handshakes: &none,
        existing: None,
        aim: Some(Aim::Empty),
        queued: 0,
    };
    let looks = sight.look(&[subject(gone), subject(scene.leader())], &[scene.port]);
    assert_eq!(unseen(looks[0]), (0, 0, true));
    assert_eq!(unseen(looks[1]), (1, 0, false));
    let look = sight.look(&[subject(gone)], &[scene.port])[0];
    assert_eq!(unseen(look), (0, 0, true), "the other need not drain");
}

#[test]
fn a_worker_whose_processes_cannot_be_listed_is_hidden() {
    let mut scene = Scene::new();
    scene.connect();
    let mut sight = Inspector::new();
    sight.proc = Proc::new("/nonexistent");
    assert_eq!(unseen(scene.look(&mut sight)), (1, 1, true));
    // As under `hidepid`: other processes are visible, this one is not.
    sight.proc = Proc::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/proc"));
    assert_eq!(unseen(scene.look(&mut sight)), (1, 1, true));
    assert_eq!(
        sight.disposition(scene.leader(), &[scene.port], Sig::TERM),
        Disposition::Unknown
    );
}
