//! Histograms and summaries: their counts decrease in only one case.

use std::fmt::Write;

use super::{Merger, Page, ProcessKey, is, merger, open, page, take};
use crate::app_metrics::merge::Disagreement;

/// A histogram with these buckets and a sum.
fn histogram(buckets: &[(&str, u32)], sum: f64) -> Page {
    let mut text = format!("# TYPE h histogram\nh_sum {sum}\n");
    for (le, count) in buckets {
        writeln!(text, "h_bucket{{le=\"{le}\"}} {count}").unwrap();
    }
    page(&text)
}

fn old(counts: [u32; 3]) -> Page {
    let [one, two, all] = counts;
    histogram(&[("1", one), ("2", two), ("+Inf", all)], 1.0)
}

fn new(counts: [u32; 3]) -> Page {
    let [two, four, all] = counts;
    histogram(&[("2.0", two), ("4.0", four), ("+Inf", all)], 1.0)
}

#[test]
fn they_are_what_all_count_by_bucket() {
    let mut merger = merger();
    take(&mut merger, 0, 1, old([1, 2, 3]));
    // The same bounds, written differently.
    take(
        &mut merger,
        1,
        2,
        histogram(&[("1.0", 10), ("2e0", 20), ("inf", 30)], 0.5),
    );
    let want = [
        "h_bucket{le=\"1\"} 11",
        "h_bucket{le=\"2\"} 22",
        "h_bucket{le=\"+Inf\"} 33",
        "h_sum 1.5",
        "h_count 33",
    ];
    is(&merger, &want);
    merger.process_ended(ProcessKey(1));
    is(&merger, &want);
    take(&mut merger, 0, 3, old([0, 0, 1]));
    assert!(super::lines(&merger.merged()).contains(&"h_count 34".to_owned()));
}

#[test]
fn one_that_begins_anew_does_so_in_all_parts() {
    let mut merger = merger();
    take(&mut merger, 0, 1, histogram(&[("1", 5), ("+Inf", 5)], 2.0));
    // Its first bucket decreased, its count did not.
    take(&mut merger, 0, 1, histogram(&[("1", 1), ("+Inf", 6)], 8.0));
    is(
        &merger,
        &[
            "h_bucket{le=\"1\"} 6",
            "h_bucket{le=\"+Inf\"} 11",
            "h_sum 10",
            "h_count 11",
        ],
    );
}

#[test]
fn a_sum_that_falls_is_no_new_beginning() {
    let mut merger = merger();
    take(&mut merger, 0, 1, histogram(&[("+Inf", 5)], 2.0));
    take(&mut merger, 0, 1, histogram(&[("+Inf", 6)], -1.0));
    is(
        &merger,
        &["h_bucket{le=\"+Inf\"} 6", "h_sum -1", "h_count 6"],
    );
    // One worker without a sum makes the sum unknown.
    take(
        &mut merger,
        1,
        2,
        page("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\n"),
    );
    is(&merger, &["h_bucket{le=\"+Inf\"} 7", "h_count 7"]);
}

#[test]
fn a_count_that_differs_from_the_last_bucket_is_not_believed() {
    let mut merger = merger();
    take(
        &mut merger,
        0,
        1,
        page("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_count 2\n"),
    );
    is(&merger, &["h_bucket{le=\"+Inf\"} 3", "h_count 3"]);
}

fn buckets(merger: &Merger) -> u64 {
    merger.conflicts().of(Disagreement::Buckets)
}

#[test]
fn in_a_reload_the_common_bounds_stay_and_then_the_new_ones() {
    let mut merger = merger();
    take(&mut merger, 0, 1, old([1, 2, 3]));
    take(&mut merger, 1, 2, old([10, 20, 30]));
    let conflicts = take(&mut merger, 0, 3, new([100, 200, 300]));
    assert_eq!(conflicts.len(), 1);
    assert_eq!(take(&mut merger, 0, 3, new([100, 200, 300])), []);
    assert_eq!(take(&mut merger, 1, 2, old([10, 20, 30])), []);
    let common = [
        "h_bucket{le=\"2\"} 122",
        "h_bucket{le=\"+Inf\"} 333",
        "h_sum 3",
        "h_count 333",
    ];
    is(&merger, &common);
    merger.process_ended(ProcessKey(1));
    is(&merger, &common);
    take(&mut merger, 1, 4, new([1000, 2000, 3000]));
    let common = [
        "h_bucket{le=\"2\"} 1122",
        "h_bucket{le=\"+Inf\"} 3333",
        "h_sum 4",
        "h_count 3333",
    ];
    is(&merger, &common);
    merger.process_ended(ProcessKey(2));
    let new_ones = [
        "h_bucket{le=\"2.0\"} 1100",
        "h_bucket{le=\"4.0\"} 2200",
        "h_bucket{le=\"+Inf\"} 3300",
        "h_sum 2",
        "h_count 3300",
    ];
    is(&merger, &new_ones);
    assert_eq!(buckets(&merger), 2);
    merger.process_ended(ProcessKey(3));
    is(&merger, &new_ones);
}

#[test]
fn a_reload_that_fails_drops_nothing() {
    let mut merger = merger();
    take(&mut merger, 0, 1, old([1, 2, 3]));
    take(&mut merger, 0, 2, new([1, 2, 3]));
    merger.process_ended(ProcessKey(2));
    let common = [
        "h_bucket{le=\"2\"} 3",
        "h_bucket{le=\"+Inf\"} 6",
        "h_sum 2",
        "h_count 6",
    ];
    is(&merger, &common);
    // All counts drop when all living workers are younger than the one with other bounds.
    take(&mut merger, 0, 3, old([5, 5, 5]));
    is(
        &merger,
        &[
            "h_bucket{le=\"2\"} 8",
            "h_bucket{le=\"+Inf\"} 11",
            "h_sum 3",
            "h_count 11",
        ],
    );
    merger.process_ended(ProcessKey(1));
    assert_eq!(super::lines(&merger.merged())[0], "h_bucket{le=\"1\"} 5");
}

#[test]
fn a_lone_worker_may_change_its_bounds() {
    let mut merger = merger();
    take(&mut merger, 0, 1, old([1, 2, 3]));
    take(&mut merger, 0, 1, new([0, 0, 1]));
    let want = [
        "h_bucket{le=\"2.0\"} 0",
        "h_bucket{le=\"4.0\"} 0",
        "h_bucket{le=\"+Inf\"} 1",
        "h_sum 1",
        "h_count 1",
    ];
    is(&merger, &want);
}

#[test]
fn what_was_dropped_is_no_reason_to_keep_anything() {
    let mut merger = merger();
    take(&mut merger, 0, 1, old([1, 1, 1]));
    // The younger of two workers with the new bounds ends before the last one with the old bounds.
    take(&mut merger, 1, 2, new([1, 1, 1]));
    take(&mut merger, 2, 3, new([1, 1, 1]));
    merger.process_ended(ProcessKey(3));
    merger.process_ended(ProcessKey(1));
    take(&mut merger, 1, 2, old([5, 5, 5]));
    assert_eq!(super::lines(&merger.merged())[0], "h_bucket{le=\"1\"} 5");
}

#[test]
fn larger_bounds_are_paid_for() {
    let mut merger = merger();
    take(&mut merger, 0, 1, histogram(&[("+Inf", 1)], 1.0));
    assert_eq!(merger.series(), 3);
    take(&mut merger, 0, 1, old([1, 2, 3]));
    assert_eq!(merger.series(), 5);
}

#[test]
fn bounds_that_change_again_and_again_are_not_followed() {
    let mut merger = merger();
    take(&mut merger, 0, 1, old([1, 2, 3]));
    for bound in 0..50 {
        take(
            &mut merger,
            1,
            2,
            histogram(&[(&format!("1{bound}"), 1), ("+Inf", 1)], 1.0),
        );
    }
    assert!(merger.dropped().limit >= 40);
    assert!(merger.bytes() < 10_000, "{}", merger.bytes());
    is(
        &merger,
        &["h_bucket{le=\"+Inf\"} 6", "h_sum 4", "h_count 6"],
    );
}

#[test]
fn each_label_set_has_its_own_bounds() {
    let text = "# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1\nh_bucket{a=\"1\",le=\"+Inf\"} 1\nh_count{a=\"1\"} 1\n\
                h_bucket{a=\"2\",le=\"5\"} 2\nh_bucket{a=\"2\",le=\"+Inf\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 1\n";
    let mut merger = merger();
    assert_eq!(take(&mut merger, 0, 1, page(text)), []);
    assert_eq!(take(&mut merger, 1, 2, page(text)), []);
    is(
        &merger,
        &[
            "h_bucket{le=\"+Inf\"} 6",
            "h_sum 2",
            "h_count 6",
            "h_bucket{a=\"1\",le=\"1\"} 2",
            "h_bucket{a=\"1\",le=\"+Inf\"} 2",
            "h_count{a=\"1\"} 2",
            "h_bucket{a=\"2\",le=\"5\"} 4",
            "h_bucket{a=\"2\",le=\"+Inf\"} 4",
            "h_count{a=\"2\"} 4",
        ],
    );
}

#[test]
fn summaries_lose_their_quantiles() {
    let text = "# TYPE s summary\ns{quantile=\"0.5\"} 9\ns_sum 1.5\ns_count 2\ns{a=\"1\",quantile=\"0.5\"} 9\ns_count{a=\"1\"} 1\n";
    let mut merger = merger();
    take(&mut merger, 0, 1, page(text));
    take(&mut merger, 1, 2, page(text));
    merger.process_ended(ProcessKey(1));
    take(&mut merger, 0, 3, page(text));
    is(&merger, &["s_sum 4.5", "s_count 6", "s_count{a=\"1\"} 3"]);
    // Quantiles alone cannot be merged at all.
    take(
        &mut merger,
        0,
        3,
        page("# TYPE q summary\nq{quantile=\"0.5\"} 9\n"),
    );
    is(&merger, &["s_sum 4.5", "s_count 6", "s_count{a=\"1\"} 3"]);
}

#[test]
fn exemplars_go_to_the_bucket_that_is_left() {
    let with = |bounds: [&str; 2], ids: [&str; 3]| {
        let mut text = "# TYPE h histogram\n".to_owned();
        let bounds = [bounds[0], bounds[1], "+Inf"];
        for (le, id) in bounds.iter().zip(ids) {
            writeln!(
                text,
                "h_bucket{{le=\"{le}\"}} 1 # {{id=\"{id}\"}} 0.5 {}",
                id.len()
            )
            .unwrap();
        }
        open(&text)
    };
    let shown = |merger: &Merger| -> Vec<String> {
        let families = merger.merged();
        let exemplars = families[0]
            .samples
            .iter()
            .filter_map(|sample| sample.exemplar.clone());
        exemplars
            .map(|one| one.labels.get("id").unwrap().into_owned())
            .collect()
    };
    let mut merger = merger();
    take(&mut merger, 0, 1, with(["1.0", "2.0"], ["aaa", "bb", "c"]));
    assert_eq!(shown(&merger), ["aaa", "bb", "c"]);
    take(
        &mut merger,
        1,
        2,
        with(["2.0", "4.0"], ["d", "eeeee", "ff"]),
    );
    assert_eq!(shown(&merger), ["aaa", "eeeee"]);
}
