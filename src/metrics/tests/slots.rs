//! Metrics of each slot besides its state.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::*;
use crate::exposition::{Format, Page};
use crate::model::WorkerView;

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
    page_with(slots.collect(), connections, balance, facts)
}

fn page_with(
    slots: Vec<WorkerView>,
    connections: BTreeMap<SlotId, u64>,
    balance: Option<BalanceSample>,
    facts: Facts,
) -> Page {
    Metrics::new(1, facts).unwrap().page(&Scrape {
        app: None,
        snapshot: &snapshot(slots, vec![]),
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
        // Only one of them is ready.
        "rpm_connection_spread 1",
        "rpm_balance_changes_total 12",
        "rpm_balance_arrivals_total 34",
        "rpm_balance_counts_total 5",
        "rpm_worker_passed_over{worker=\"0\"} 0",
        "rpm_worker_passed_over{worker=\"1\"} 1",
    ] {
        assert!(has(&page, line), "{line}\n{page}");
    }
}

#[test]
fn the_spread_is_the_largest_over_the_mean() {
    let spread = |connections: &[(SlotId, u64)]| {
        let connections = connections.iter().copied().collect();
        let page = text(&page_of(3, connections, None, facts("/nonexistent")));
        let mut values = page
            .lines()
            .filter_map(|line| line.strip_prefix("rpm_connection_spread "));
        values.next().map(str::to_owned)
    };
    let of =
        |counts: [u64; 3]| spread(&[0, 1, 2].map(|slot| (SlotId(slot), counts[usize::from(slot)])));
    assert_eq!(of([6, 0, 3]).as_deref(), Some("2"));
    assert_eq!(of([2, 2, 2]).as_deref(), Some("1"));
    assert_eq!(of([0, 0, 0]).as_deref(), Some("1"));
    assert_eq!(spread(&[]), None);
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
        "rpm_balance_arrivals_total",
        "rpm_balance_counts_total",
        "rpm_worker_passed_over",
        "rpm_worker_memory_limit_bytes",
        "rpm_worker_proportional_memory_bytes",
    ] {
        assert!(!page.contains(name), "{name}\n{page}");
    }
}

#[test]
fn arrivals_that_are_not_followed_are_not_told() {
    let balance = BalanceSample {
        changes: 2,
        ..BalanceSample::default()
    };
    let facts = facts("/nonexistent");
    let page = text(&page_of(2, BTreeMap::new(), Some(balance), facts));
    assert!(has(&page, "rpm_balance_changes_total 2"));
    for name in ["rpm_balance_arrivals_total", "rpm_balance_counts_total"] {
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

/// A program that has answered and waits, so that its memory does not change.
#[test]
#[expect(clippy::disallowed_methods, reason = "a child of a test")]
fn resident_memory_of_a_worker_is_what_the_kernel_finds_page_by_page() {
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"!").unwrap();
    let mut answer = [0];
    let out = child.stdout.as_mut().unwrap();
    out.read_exact(&mut answer).unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let slots = vec![worker(0, WorkerState::Ready, Some(pid))];
    let page = text(&page_with(slots, BTreeMap::new(), None, facts("/proc")));
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let exact: f64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    let told = value(&page, "rpm_worker_resident_memory_bytes{worker=\"0\"}");
    assert_eq!(told, Some(exact * 1024.0));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_slot_that_was_added_counts_from_zero() {
    let page = text(&page_of(3, BTreeMap::new(), None, facts("/nonexistent")));
    for slot in 0..3 {
        let line = format!("rpm_worker_restarts_total{{worker=\"{slot}\"}} 0");
        assert!(has(&page, &line), "{page}");
    }
}
