//! Everything has a limit, and released memory is really released.

use proptest::prelude::*;

use super::{Merger, ProcessKey, Rules, SlotId, is, lines, open, page, take};
use crate::app_metrics::merge::Disagreement;
use crate::exposition::{Dropped, Format, MetricType, PageLimits, Parsed, parse};

fn small(series: usize, bytes: usize) -> Merger {
    Merger::new(Rules {
        series,
        bytes,
        worker_series: 6,
        ..Rules::default()
    })
}

#[test]
fn beyond_the_bound_the_known_series_go_on_and_new_ones_are_dropped() {
    let mut merger = small(3, 1 << 20);
    let text = |number: u32| {
        let labels = |label: u32| format!("a_total{{x=\"{label}\"}} {number}\n");
        format!("# TYPE a_total counter\n{}{}", labels(1), labels(2))
    };
    take(&mut merger, 0, 1, page(&text(1)));
    take(&mut merger, 0, 1, page("# TYPE g gauge\ng 1\n"));
    take(
        &mut merger,
        1,
        2,
        page("# TYPE g gauge\ng 2\n# TYPE b_total counter\nb_total 1\n"),
    );
    assert_eq!(merger.dropped().limit, 2);
    take(&mut merger, 1, 2, page(&text(5)));
    is(
        &merger,
        &[
            "a_total{x=\"1\"} 6",
            "a_total{x=\"2\"} 6",
            "g{worker=\"0\"} 1",
        ],
    );
    // The counts of ended workers stay in memory; their gauges do not.
    merger.process_ended(ProcessKey(1));
    merger.process_ended(ProcessKey(2));
    assert_eq!(merger.series(), 2);
    take(&mut merger, 0, 3, page("# TYPE g gauge\ng 3\n"));
    is(
        &merger,
        &[
            "a_total{x=\"1\"} 6",
            "a_total{x=\"2\"} 6",
            "g{worker=\"0\"} 3",
        ],
    );
}

#[test]
fn a_page_of_too_many_series_loses_the_last_families() {
    let mut merger = small(100, 1 << 20);
    let many = [0, 1, 2, 3]
        .map(|label| format!("b{{x=\"{label}\"}} 1\n"))
        .concat();
    take(
        &mut merger,
        0,
        1,
        page(&format!("a 1\na{{x=\"1\"}} 1\n{many}c 1\n")),
    );
    assert_eq!((merger.series(), merger.dropped().limit), (6, 1));
}

#[test]
fn bytes_are_bounded_too() {
    let mut merger = small(1000, 4000);
    for process in 0..20 {
        let text = format!(
            "# TYPE a_total counter\na_total{{x=\"{}{process}\"}} 1\n",
            "y".repeat(500)
        );
        take(&mut merger, 0, process, page(&text));
        assert!(merger.bytes() <= 4000);
    }
    assert!(merger.dropped().limit > 10);
    assert!(merger.merged()[0].samples.len() > 2);
}

/// The labels of one worker have used all the memory; the other workers must still be counted when they restart.
#[test]
fn a_successor_is_counted_though_new_series_have_taken_all_room() {
    let mut merger = small(1000, 20_000);
    let good = |number: u32| {
        page(&format!(
            "# TYPE a_total counter\na_total {number}\n# TYPE h histogram\n\
             h_bucket{{le=\"1\"}} {number}\nh_bucket{{le=\"+Inf\"}} {number}\nh_sum 1\nh_count {number}\n"
        ))
    };
    take(&mut merger, 0, 1, good(5));
    for number in 0..200 {
        let text = format!("# TYPE b_total counter\nb_total{{x=\"{number}\"}} 1\n");
        take(&mut merger, 1, 2, page(&text));
    }
    assert!(merger.dropped().limit > 50);
    let dropped = merger.dropped();
    merger.process_ended(ProcessKey(1));
    for slot in 2..10 {
        take(&mut merger, slot, 1 + u64::from(slot), good(2));
    }
    assert_eq!(merger.dropped(), dropped);
    let shown = lines(&merger.merged());
    for line in ["a_total 21", "h_bucket{le=\"1\"} 21", "h_count 21"] {
        assert!(shown.iter().any(|one| one == line), "{line}");
    }
}

#[test]
fn all_that_is_given_back_leaves_nothing() {
    let mut merger = small(1000, 1 << 20);
    let gauges = "# TYPE a gauge\na 1\na{x=\"1\"} 1\n# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE h gaugehistogram\nh_bucket{le=\"+Inf\"} 1\n";
    for process in 0..4 {
        take(&mut merger, 0, process, open(gauges));
    }
    assert_eq!(merger.series(), 16);
    for process in 0..4 {
        merger.process_ended(ProcessKey(process));
    }
    assert_eq!((merger.series(), merger.bytes()), (0, 0));
    // What remains of cumulative metrics does not depend on the number of workers.
    let counting = "# TYPE a counter\na_total 1 # {id=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 # {id=\"1\"} 1\n# TYPE s summary\ns_count 1\n";
    let mut left = Vec::new();
    for process in 4..20 {
        take(&mut merger, 0, process, open(counting));
        merger.process_ended(ProcessKey(process));
        left.push((merger.series(), merger.bytes()));
    }
    assert!(left.iter().all(|one| *one == left[0]), "{left:?}");
    // The same names with another kind.
    take(
        &mut merger,
        0,
        20,
        open("# TYPE a_total gauge\na_total 1\n# TYPE h gauge\nh 1\n# TYPE s gauge\ns 1\n"),
    );
    merger.process_ended(ProcessKey(20));
    assert_eq!((merger.series(), merger.bytes()), (0, 0));
}

/// Pages with some invalid families and some valid ones.
fn hostile() -> impl Strategy<Value = String> {
    let kind = "(counter|gauge|histogram|summary|info|stateset|unknown|gaugehistogram)";
    let name = "(a|b|rpm_c)(_total|_bucket|_sum|_count|_info|_gcount|_gsum)?";
    let label = r#"(le="(0|1|2|\+Inf)"|worker="[12]"|b="(s|o|\\n)")"#;
    let exemplar = r#"( # \{b="[xyz]{1,2}"\} 1)?"#;
    let line =
        format!("(# TYPE (a|b) {kind}|{name}(\\{{{label}(,{label})?\\}})? [0-9]{exemplar})\n");
    proptest::string::string_regex(&format!("({line}){{1,40}}# EOF\n")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_comes_the_bounds_hold_and_the_result_is_valid(
        pages in prop::collection::vec((0..3_u16, 0..6_u64, 0..5_u8, hostile()), 1..30)
    ) {
        let mut merger = small(20, 6000);
        let mut before = merger.conflicts();
        for (slot, process, what, text) in pages {
            match what {
                0 => merger.process_ended(ProcessKey(process)),
                1 => merger.missing(SlotId(slot), ProcessKey(process)),
                _ => {
                    let parsed = parse(text.as_bytes(), Format::OpenMetrics, &PageLimits::default()).unwrap_or_default();
                    merger.take(SlotId(slot), ProcessKey(process), parsed.page);
                }
            }
            prop_assert!(merger.series() <= 20 && merger.bytes() <= 6000);
            let merged = merger.merged();
            let samples: usize = merged.iter().map(|family| family.samples.len()).sum();
            prop_assert!(samples <= merger.series(), "{} of {}", samples, merger.series());
            let again = Parsed::of(merged.clone());
            prop_assert_eq!(again.dropped, Dropped::default());
            let after = merger.conflicts();
            for kind in Disagreement::ALL {
                prop_assert!(after.of(kind) >= before.of(kind));
            }
            before = after;
        }
        for process in 0..6 {
            merger.process_ended(ProcessKey(process));
        }
        let left = merger.merged();
        prop_assert!(left.iter().all(|family| family.kind != MetricType::Gauge));
    }
}
