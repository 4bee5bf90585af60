//! A reload meets workers that are not ready yet.

use super::roll::{RELOAD, asked, result, two};
use super::*;
use crate::model::ReloadResult;

/// A first worker hangs in its start, and the user has mended the configuration.
#[test]
fn a_reload_replaces_a_worker_that_is_not_ready_at_once() {
    let mut table = Table::new(Params {
        instances: 1,
        ..two()
    });
    let _ = table.tick();
    let old = table.runs(SLOT);
    let told = table.tell(RELOAD);
    assert_eq!(deeds(&told), [Action::Stop { pid: old }]);
    let told = table.ends(old, TERMINATED);
    assert_eq!(super::told(&told).0, Cause::Reload);
    assert_eq!(deeds(&told), [asked(SLOT, 0, 1)], "on the same listener");
    let new = table.runs(SLOT);
    let told = table.tell(is_ready(new));
    assert_eq!(result(&told), Some((ReloadResult::Success, 1)));
}

/// The worker was forked when the reload began, so it became known later.
#[test]
fn a_worker_of_the_old_version_that_starts_during_a_reload_is_replaced() {
    let mut table = Table::new(Params {
        instances: 1,
        ..two()
    });
    let _ = table.tick();
    assert_eq!(deeds(&table.tell(RELOAD)), []);
    let (old, told) = table.spawned(SLOT);
    assert_eq!(deeds(&told), [Action::Stop { pid: old }]);
}
