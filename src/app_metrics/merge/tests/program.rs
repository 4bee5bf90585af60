//! Aggregations requested by the program, and workers with several processes.

use std::collections::BTreeMap;

use super::{Merger, Page, ProcessKey, SlotId, is, merger, open, page, take, with};
use crate::app_metrics::merge::{Aggregation, Conflict};

fn gauge(name: &str, value: &str) -> Page {
    page(&format!("# TYPE {name} gauge\n{name} {value}\n"))
}

fn suggest(merger: &mut Merger, all: &[(&str, Aggregation)]) {
    let all = all.iter().map(|(name, how)| (Box::from(*name), *how));
    merger.suggest(all.collect());
}

fn child(merger: &mut Merger, slot: u16, worker: u64, process: u64, page: Page) -> Vec<Conflict> {
    merger.take_child(SlotId(slot), ProcessKey(worker), ProcessKey(process), page)
}

#[test]
fn a_suggestion_counts_behind_the_rules_and_before_the_known_names() {
    let mut merger = with(&[("ruled*", Aggregation::Min)]);
    let names = ["free", "process_max_fds", "ruled"];
    for (slot, value) in [(0, "1"), (1, "2")] {
        let families = names.map(|name| format!("# TYPE {name} gauge\n{name} {value}\n"));
        take(&mut merger, slot, u64::from(slot), page(&families.concat()));
    }
    let by_worker = ["free{worker=\"0\"} 1", "free{worker=\"1\"} 2"];
    is(
        &merger,
        &[by_worker[0], by_worker[1], "process_max_fds 1", "ruled 1"],
    );
    suggest(&mut merger, &names.map(|name| (name, Aggregation::Sum)));
    is(&merger, &["free 3", "process_max_fds 3", "ruled 1"]);
    // A withdrawn suggestion has no effect any more; a suggestion for an unknown gauge has none.
    suggest(
        &mut merger,
        &[
            ("process_max_fds", Aggregation::Max),
            ("absent", Aggregation::Sum),
        ],
    );
    is(
        &merger,
        &[by_worker[0], by_worker[1], "process_max_fds 2", "ruled 1"],
    );
    suggest(&mut merger, &[]);
    is(
        &merger,
        &[by_worker[0], by_worker[1], "process_max_fds 1", "ruled 1"],
    );
}

#[test]
fn a_suggestion_is_for_gauges() {
    let mut merger = merger();
    suggest(
        &mut merger,
        &[("a_total", Aggregation::Max), ("i_info", Aggregation::Sum)],
    );
    for process in [1, 2] {
        let text = "# TYPE a counter\na_total 2\n# TYPE i info\ni_info{v=\"1\"} 1\n";
        take(&mut merger, 0, process, open(text));
    }
    is(&merger, &["a_total 4", "i_info{v=\"1\"} 1"]);
}

#[test]
fn only_so_many_suggestions_are_held() {
    let mut merger = merger();
    let many = |name: &str| {
        let many = (0..5000).map(|number| (format!("{name}{number}").into(), Aggregation::Sum));
        many.collect::<BTreeMap<Box<str>, Aggregation>>()
    };
    for slot in [0, 1] {
        let text = "# TYPE a0 gauge\na0 1\n# TYPE z gauge\nz 1\n";
        take(&mut merger, slot, u64::from(slot), page(text));
    }
    let mut all = many("a");
    all.insert("z".into(), Aggregation::Sum);
    merger.suggest(all);
    is(&merger, &["a0 2", "z{worker=\"0\"} 1", "z{worker=\"1\"} 1"]);
}

#[test]
fn what_the_processes_of_a_worker_say_is_added_up() {
    let mut merger = merger();
    take(&mut merger, 0, 1, gauge("a", "1"));
    child(&mut merger, 0, 1, 7, gauge("a", "2"));
    child(&mut merger, 0, 1, 5, gauge("a", "NaN"));
    take(&mut merger, 1, 2, gauge("a", "4"));
    child(&mut merger, 1, 2, 6, gauge("b", "8"));
    is(
        &merger,
        &[
            "a{worker=\"0\"} 3",
            "a{worker=\"1\"} 4",
            "b{worker=\"1\"} 8",
        ],
    );
    for (how, want) in [
        (Aggregation::Sum, "a 7"),
        (Aggregation::Max, "a 4"),
        (Aggregation::Min, "a 1"),
        (Aggregation::Last, "a 2"),
    ] {
        suggest(&mut merger, &[("a", how), ("b", Aggregation::Drop)]);
        is(&merger, &[want]);
    }
    suggest(&mut merger, &[]);
    merger.process_ended(ProcessKey(7));
    is(
        &merger,
        &[
            "a{worker=\"0\"} 1",
            "a{worker=\"1\"} 4",
            "b{worker=\"1\"} 8",
        ],
    );
}

#[test]
fn a_child_speaks_as_long_as_its_worker_would() {
    let mut merger = merger();
    take(&mut merger, 0, 1, gauge("a", "1"));
    take(&mut merger, 0, 2, gauge("a", "2"));
    // Younger than the new worker, but a child of the old one.
    child(&mut merger, 0, 1, 9, gauge("a", "9"));
    is(&merger, &["a{worker=\"0\"} 2"]);
    // A worker that does not answer itself.
    child(&mut merger, 0, 2, 10, gauge("a", "10"));
    merger.missing(SlotId(0), ProcessKey(2));
    is(&merger, &["a{worker=\"0\"} 10"]);
    // Its remaining child counts until the next worker starts.
    merger.process_ended(ProcessKey(2));
    is(&merger, &["a{worker=\"0\"} 10"]);
    take(&mut merger, 0, 3, gauge("a", "3"));
    is(&merger, &["a{worker=\"0\"} 3"]);
}

#[test]
fn what_a_child_counted_stays() {
    let mut merger = merger();
    let count = |value: u32| page(&format!("# TYPE c_total counter\nc_total {value}\n"));
    take(&mut merger, 0, 1, count(1));
    child(&mut merger, 0, 1, 2, count(10));
    child(&mut merger, 0, 1, 2, count(20));
    merger.process_ended(ProcessKey(2));
    assert_eq!(child(&mut merger, 0, 1, 2, count(30)), []);
    is(&merger, &["c_total 21"]);
    merger.process_ended(ProcessKey(1));
    is(&merger, &["c_total 21"]);
}

#[test]
fn what_cannot_be_added_up_is_said_once() {
    let text = |low: u32| {
        format!(
            "# TYPE h gaugehistogram\nh_bucket{{le=\"1.0\"}} {low}\nh_bucket{{le=\"+Inf\"}} 9\n# TYPE i info\ni_info 1\n"
        )
    };
    let mut merger = with(&[("i_info", Aggregation::Worker)]);
    take(&mut merger, 0, 1, open(&text(1)));
    take(&mut merger, 1, 2, open(&text(2)));
    child(&mut merger, 0, 1, 3, open(&text(3)));
    let mut want = Vec::new();
    for (slot, low) in [(0, 3), (1, 2)] {
        want.push(format!("h_bucket{{le=\"1.0\",worker=\"{slot}\"}} {low}"));
        want.push(format!("h_bucket{{le=\"+Inf\",worker=\"{slot}\"}} 9"));
    }
    want.extend([0, 1].map(|slot| format!("i_info{{worker=\"{slot}\"}} 1")));
    assert_eq!(super::lines(&merger.merged()), want);
}
