//! Workers with an address that no other process can bind meanwhile.

use super::roll::{RELOAD, asked, result, rises, two};
use super::*;
use crate::model::ReloadResult;

#[test]
fn a_worker_that_excludes_its_successor_goes_first_whatever_the_surge() {
    let (mut table, old) = Table::serving(two());
    let _ = table.tell(Event::Excludes { pid: old[0] });
    let _ = table.tell(Event::Excludes { pid: old[1] });
    assert_eq!(deeds(&table.tell(RELOAD)), [], "it drains");
    assert_eq!(table.fleet.rotation().live, [ListenerId(1)]);
    let told = table.tell(Event::Drained { pid: old[0] });
    assert_eq!(deeds(&told), [Action::Stop { pid: old[0] }]);
    // The successor starts on the same listener, and the next one goes when it is ready.
    let ended = table.ends(old[0], TERMINATED);
    assert!(deeds(&ended).contains(&asked(SLOT, 0, 1)), "{ended:?}");
    let new = table.runs(SLOT);
    assert_eq!(table.draining(), []);
    let _ = table.tell(is_ready(new));
    assert_eq!(table.fleet.rotation().live, [ListenerId(0)]);
    let _ = table.tell(Event::Drained { pid: old[1] });
    let _ = table.ends(old[1], TERMINATED);
    let last = table.runs(OTHER);
    let over = table.tell(is_ready(last));
    assert_eq!(result(&over), Some((ReloadResult::Success, 2)));
    // The new workers have no such address.
    assert_eq!(deeds(&table.tell(RELOAD)), [asked(SLOT, 2, 2)]);
}

#[test]
fn a_successor_that_ends_because_of_the_address_does_not_fail_the_reload() {
    let (mut table, old) = Table::serving(Params {
        instances: 1,
        ..two()
    });
    let old = old[0];
    assert_eq!(deeds(&table.tell(RELOAD)), [asked(SLOT, 1, 1)]);
    let new = rises(&mut table, SLOT, 1);
    let _ = table.tell(Event::Excludes { pid: old });
    let ended = table.ends(new, Exit::Code(1));
    let slot = SLOT;
    let pid = new;
    assert!(says(&ended, Note::LeavesFirst { slot, pid, old }));
    assert_eq!(result(&ended), None, "it goes on");
    assert_eq!(table.draining().len(), 1);
    let _ = table.tell(Event::Drained { pid: old });
    let ended = table.ends(old, TERMINATED);
    assert!(deeds(&ended).contains(&asked(SLOT, 0, 1)), "{ended:?}");
    let next = table.runs(SLOT);
    let over = table.tell(is_ready(next));
    assert_eq!(result(&over), Some((ReloadResult::Success, 1)));
}

#[test]
fn without_such_an_address_a_successor_that_ends_fails_the_reload() {
    let (mut table, _) = Table::serving(Params {
        instances: 1,
        ..two()
    });
    let _ = table.tell(RELOAD);
    let new = rises(&mut table, SLOT, 1);
    // Its own address says nothing about the present worker.
    let _ = table.tell(Event::Excludes { pid: new });
    let ended = table.ends(new, Exit::Code(1));
    assert_eq!(result(&ended), Some((ReloadResult::Failure, 0)));
}

#[test]
fn one_at_a_time_goes_first() {
    let (mut table, old) = Table::serving(two());
    for pid in &old {
        let _ = table.tell(Event::Excludes { pid: *pid });
        let cause = Cause::MemoryLimit;
        let _ = table.tell(Event::Unfit { pid: *pid, cause });
    }
    assert_eq!(table.draining().len(), 1);
}
