//! Workers that find a path of their service in use.

use super::roll::{RELOAD, asked, result, rises, two};
use super::*;
use crate::model::ReloadResult;

fn one() -> Params {
    Params {
        instances: 1,
        ..two()
    }
}

#[test]
fn a_successor_that_gives_way_is_started_again_and_the_old_worker_stays_until_it_serves() {
    let (mut table, old) = Table::serving(one());
    let _ = table.tell(RELOAD);
    let first = rises(&mut table, SLOT, 1);
    let _ = table.tell(Event::FoundInUse { pid: first });
    let ended = table.ends(first, Exit::Code(78));
    let (slot, pid) = (SLOT, first);
    assert!(says(&ended, Note::StartsAgain { slot, pid }));
    assert_eq!(result(&ended), None, "it goes on");
    assert!(deeds(&ended).contains(&asked(SLOT, 1, 1)), "{ended:?}");
    assert_eq!(table.draining(), []);
    assert_eq!(table.fleet.rotation().live, [ListenerId(0)]);
    let second = rises(&mut table, SLOT, 1);
    let _ = table.tell(is_ready(second));
    assert_eq!(table.draining().len(), 1);
    let _ = table.tell(Event::Drained { pid: old[0] });
    let over = table.ends(old[0], TERMINATED);
    assert_eq!(result(&over), Some((ReloadResult::Success, 1)));
}

#[test]
fn a_new_version_that_ends_again_fails_the_reload_and_the_old_worker_stays() {
    let (mut table, _) = Table::serving(one());
    let _ = table.tell(RELOAD);
    let first = rises(&mut table, SLOT, 1);
    let _ = table.tell(Event::FoundInUse { pid: first });
    let _ = table.ends(first, Exit::Code(1));
    // It is told that nobody answers.
    let second = rises(&mut table, SLOT, 1);
    let ended = table.ends(second, Exit::Code(1));
    assert_eq!(result(&ended), Some((ReloadResult::Failure, 0)));
    assert_eq!(table.draining(), []);
    assert_eq!(table.fleet.rotation().live, [ListenerId(0)]);
}

#[test]
fn a_successor_that_has_served_and_ends_did_not_give_way() {
    let (mut table, _) = Table::serving(one());
    let _ = table.tell(RELOAD);
    let new = rises(&mut table, SLOT, 1);
    let _ = table.tell(Event::FoundInUse { pid: new });
    let port = PortId::new(0).unwrap();
    let _ = table.tell(Event::Listens { pid: new, port });
    let ended = table.ends(new, Exit::Code(1));
    assert_eq!(result(&ended), Some((ReloadResult::Failure, 0)));
}

#[test]
fn a_new_version_that_gives_way_in_an_empty_slot_does_not_fail_the_reload() {
    let (mut table, old) = Table::serving(two());
    let _ = table.ends(old[0], Exit::Code(1));
    let _ = table.tell(RELOAD);
    let (new, _) = table.spawned(SLOT);
    let _ = table.tell(Event::FoundInUse { pid: new });
    let ended = table.ends(new, Exit::Code(78));
    assert_eq!(result(&ended), None, "it goes on");
}
