//! Metrics of each slot besides its state.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::exposition::{Format, Page};

/// A host with cgroup version 2 whose kernel counts everything.
pub(super) fn cgroup_tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cgroup/v2")
}

/// A page of these slots, with what is known of them.
fn page_of(
    slots: u16,
    connections: BTreeMap<SlotId, u64>,
    balance: Option<BalanceSample>,
    facts: Facts,
) -> Page {
    let own = i32::try_from(std::process::id()).unwrap();
    let slots = (0..slots).map(|slot| worker(slot, WorkerState::Ready, Some(own)));
    Metrics::new(1, facts).unwrap().page(&Scrape {
        app: None,
        snapshot: &snapshot(slots.collect(), vec![]),
        queues: Vec::new(),
        connections,
        balance,
        log: LogTotals::default(),
        node: None,
    })
}

fn text(page: &Page) -> String {
    written(page, Format::Text)
}

#[test]
fn connections_and_the_balance_are_told_as_they_are() {
    let page = full_page();
    for line in [
        "rpm_worker_connections{worker=\"0\"} 5",
        "rpm_worker_connections{worker=\"1\"} 0",
        "rpm_balance_changes_total 12",
        "rpm_worker_passed_over{worker=\"0\"} 0",
        "rpm_worker_passed_over{worker=\"1\"} 1",
    ] {
        assert!(has(&page, line), "{line}\n{page}");
    }
}

#[test]
fn what_is_not_known_of_a_slot_is_absent() {
    let nothing = Facts {
        worker_memory: None,
        ..facts("/nonexistent")
    };
    let page = text(&page_of(2, [(SlotId(1), 3)].into(), None, nothing));
    assert!(has(&page, "rpm_worker_connections{worker=\"1\"} 3"));
    for name in [
        "rpm_worker_connections{worker=\"0\"}",
        "rpm_balance_changes_total",
        "rpm_worker_passed_over",
        "rpm_worker_memory_limit_bytes",
        "rpm_worker_proportional_memory_bytes",
    ] {
        assert!(!page.contains(name), "{name}\n{page}");
    }
}

#[test]
fn memory_is_told_beside_its_limit() {
    let page = text(&page_of(2, BTreeMap::new(), None, facts("/proc")));
    for slot in 0..2 {
        let limit = format!("rpm_worker_memory_limit_bytes{{worker=\"{slot}\"}} 134217728");
        assert!(has(&page, &limit), "{page}");
        let of = |name: &str| value(&page, &format!("{name}{{worker=\"{slot}\"}}")).unwrap();
        let resident = of("rpm_worker_resident_memory_bytes");
        let proportional = of("rpm_worker_proportional_memory_bytes");
        // Both change while they are read.
        assert!(proportional > 4096.0 && proportional < 2.0 * resident);
    }
}

#[test]
fn a_slot_that_was_added_counts_from_zero() {
    let page = text(&page_of(3, BTreeMap::new(), None, facts("/nonexistent")));
    for slot in 0..3 {
        let line = format!("rpm_worker_restarts_total{{worker=\"{slot}\"}} 0");
        assert!(has(&page, &line), "{page}");
    }
}
