//! Gauges show the present values of the workers.

use super::{ProcessKey, SlotId, is, merger, open, page, take, with};
use crate::app_metrics::merge::{Aggregation, Merger};
use crate::exposition::MetricType;

fn gauge(name: &str, value: &str) -> super::Page {
    page(&format!("# TYPE {name} gauge\n{name} {value}\n"))
}

#[test]
fn they_have_the_slot_as_a_label() {
    let mut merger = merger();
    for slot in [10, 2, 0] {
        let text = format!("# TYPE a gauge\na{{x=\"2\",z=\"1\"}} {slot}\na{{x=\"1\",z=\"1\"}} 1\n");
        take(&mut merger, slot, u64::from(slot), page(&text));
    }
    is(
        &merger,
        &[
            "a{worker=\"0\",x=\"1\",z=\"1\"} 1",
            "a{worker=\"2\",x=\"1\",z=\"1\"} 1",
            "a{worker=\"10\",x=\"1\",z=\"1\"} 1",
            "a{worker=\"0\",x=\"2\",z=\"1\"} 0",
            "a{worker=\"2\",x=\"2\",z=\"1\"} 2",
            "a{worker=\"10\",x=\"2\",z=\"1\"} 10",
        ],
    );
}

#[test]
fn the_youngest_of_a_slot_speaks_for_it() {
    let mut merger = merger();
    take(&mut merger, 0, 5, gauge("a", "5"));
    take(&mut merger, 0, 7, gauge("a", "7"));
    // The old worker is asked once more before it is told to stop.
    take(&mut merger, 0, 5, gauge("a", "6"));
    is(&merger, &["a{worker=\"0\"} 7"]);
    merger.process_ended(ProcessKey(7));
    is(&merger, &["a{worker=\"0\"} 6"]);
    merger.process_ended(ProcessKey(5));
    is(&merger, &[]);
}

#[test]
fn who_does_not_answer_has_none() {
    let mut merger = merger();
    take(&mut merger, 0, 1, gauge("a", "1"));
    take(&mut merger, 1, 2, gauge("a", "2"));
    merger.missing(SlotId(0), ProcessKey(1));
    is(&merger, &["a{worker=\"1\"} 2"]);
    take(&mut merger, 0, 1, gauge("a", "3"));
    is(&merger, &["a{worker=\"0\"} 3", "a{worker=\"1\"} 2"]);
    // An older worker does not replace a ready one that does not answer.
    merger.missing(SlotId(1), ProcessKey(3));
    is(&merger, &["a{worker=\"0\"} 3"]);
}

#[test]
fn a_series_or_a_family_that_is_not_there_any_more_is_gone() {
    let mut merger = merger();
    take(
        &mut merger,
        0,
        1,
        page("# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 1\n# TYPE b gauge\nb 1\n"),
    );
    take(&mut merger, 0, 1, page("# TYPE a gauge\na{x=\"2\"} 1\n"));
    is(&merger, &["a{worker=\"0\",x=\"2\"} 1"]);
    take(&mut merger, 0, 1, page(""));
    is(&merger, &[]);
    assert_eq!((merger.series(), merger.bytes()), (0, 0));
}

fn three(merger: &mut Merger, name: &str) {
    for (slot, value) in ["2", "9", "NaN", "4"].iter().enumerate() {
        let slot = u16::try_from(slot).unwrap();
        // The youngest worker is not in the last slot.
        take(merger, slot, u64::from((slot + 2) % 4), gauge(name, value));
    }
}

#[test]
fn patterns_put_them_together() {
    for (aggregation, want) in [
        (Aggregation::Sum, "abc_d 15"),
        (Aggregation::Max, "abc_d 9"),
        (Aggregation::Min, "abc_d 2"),
        (Aggregation::Avg, "abc_d 5"),
        (Aggregation::Last, "abc_d 9"),
    ] {
        let mut merger = with(&[
            ("abd*", Aggregation::Drop),
            ("ab*d", aggregation),
            ("*", Aggregation::Drop),
        ]);
        three(&mut merger, "abc_d");
        is(&merger, &[want]);
        three(&mut merger, "other");
        is(&merger, &[]);
    }
    let mut merger = with(&[("a", Aggregation::Max)]);
    take(&mut merger, 0, 1, gauge("a", "NaN"));
    is(&merger, &["a NaN"]);
}

#[test]
fn known_names_are_put_together_unless_a_pattern_says_otherwise() {
    let text = |pid: u32| {
        format!(
            "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {pid}\n\
             # TYPE process_max_fds gauge\nprocess_max_fds {pid}\n\
             # TYPE process_open_fds gauge\nprocess_open_fds {pid}\n\
             # TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {pid}\n\
             # TYPE app_build_info gauge\napp_build_info{{version=\"{}\"}} 1\n",
            pid / 10
        )
    };
    let mut merger = merger();
    let mut other = with(&[("*", Aggregation::Worker)]);
    for (slot, pid) in [(0, 11), (1, 12), (2, 23)] {
        take(&mut merger, slot, u64::from(pid), page(&text(pid)));
        take(&mut other, slot, u64::from(pid), page(&text(pid)));
    }
    is(
        &merger,
        &[
            "app_build_info{version=\"1\"} 1",
            "app_build_info{version=\"2\"} 1",
            "process_cpu_seconds_total 46",
            "process_max_fds 11",
            "process_open_fds{worker=\"0\"} 11",
            "process_open_fds{worker=\"1\"} 12",
            "process_open_fds{worker=\"2\"} 23",
            "process_start_time_seconds 11",
        ],
    );
    assert_eq!(super::lines(&other.merged()).len(), 13);
}

#[test]
fn infos_are_once_and_states_are_gauges() {
    let text =
        "# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE s stateset\ns{s=\"on\"} 1\ns{s=\"off\"} 0\n";
    let mut merger = with(&[("i_info", Aggregation::Sum), ("s", Aggregation::Sum)]);
    take(&mut merger, 0, 1, open(text));
    take(&mut merger, 1, 2, open(text));
    is(
        &merger,
        &["i_info{v=\"1\"} 1", "s{s=\"off\"} 0", "s{s=\"on\"} 2"],
    );
    let kinds: Vec<MetricType> = merger.merged().iter().map(|family| family.kind).collect();
    assert_eq!(kinds, [MetricType::Info, MetricType::Gauge]);
}

#[test]
fn gauge_histograms_are_by_worker_and_whole() {
    let text = |low: u32| {
        format!(
            "# TYPE h gaugehistogram\nh_bucket{{le=\"10.0\"}} {low}\nh_bucket{{le=\"2.0\"}} 1\nh_bucket{{le=\"+Inf\"}} 9\nh_gsum 3\nh_gcount 9\n"
        )
    };
    let mut merger = with(&[("h", Aggregation::Sum)]);
    take(&mut merger, 1, 2, open(&text(3)));
    take(&mut merger, 0, 1, open(&text(2)));
    let mut want = Vec::new();
    for (slot, low) in [(0, 2), (1, 3)] {
        want.extend([
            format!("h_bucket{{le=\"2.0\",worker=\"{slot}\"}} 1"),
            format!("h_bucket{{le=\"10.0\",worker=\"{slot}\"}} {low}"),
            format!("h_bucket{{le=\"+Inf\",worker=\"{slot}\"}} 9"),
            format!("h_gsum{{worker=\"{slot}\"}} 3"),
            format!("h_gcount{{worker=\"{slot}\"}} 9"),
        ]);
    }
    assert_eq!(super::lines(&merger.merged()), want);
}
