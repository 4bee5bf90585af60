//! Pages built from entries.

use super::{
    Content, Mode, Reading, StoreLimits, Written, bucket, key, labelled, lines, name, one, read,
};
use crate::app_metrics::merge::Aggregation;
use crate::exposition::{self, Dropped, MetricType, Parsed};

const COUNTER: Content = Content::Counter;
const HISTOGRAM: Content = Content::Histogram;
const SUMMARY: Content = Content::Summary;
const GAUGE: Content = Content::Gauge(Mode::All);
const RECENT: Content = Content::Gauge(Mode::MostRecent);

#[track_caller]
fn is(parsed: &Parsed, want: &[&str], invalid: u64) {
    assert_eq!(lines(&parsed.page.families), want);
    let dropped = Dropped { limit: 0, invalid };
    assert_eq!(parsed.dropped, dropped);
}

#[test]
fn counters_have_their_names_with_and_without_total() {
    let parsed = one(
        COUNTER,
        &Written::of(&[
            (&labelled("b", "_total", "x\\n\\\"é"), 2.5),
            (&labelled("b", "_total", ""), 1.0),
            // As before prometheus_client 0.4.
            (&key("a", ""), 3.0),
            (&key("c_total", ""), 4.0),
            (&key("_total", ""), 5.0),
            // When the series began.
            (&key("b", "_created"), 1e9),
        ]),
    );
    let want = [
        "_total{} 5",
        "a{} 3",
        "b_total{} 1",
        "b_total{l=\"x\\n\\\"é\"} 2.5",
        "c_total{} 4",
    ];
    is(&parsed, &want, 0);
    let families = &parsed.page.families;
    assert!(
        families
            .iter()
            .all(|family| family.kind == MetricType::Counter)
    );
    assert_eq!(&*families[2].name, "b");
    assert_eq!(families[2].help.as_deref(), Some("Help."));
}

#[test]
fn buckets_are_added_up_and_counted() {
    let parsed = one(
        HISTOGRAM,
        &Written::of(&[
            (&key("h", "_sum"), 7.5),
            // Not sorted, and one bound written in two ways.
            (&bucket("h", "10.0"), 4.0),
            (&bucket("h", "+Inf"), 1.0),
            (&bucket("h", "2"), 1.0),
            (&bucket("h", "2.0"), 2.0),
            (&bucket("h", "-0.0"), 0.0),
            // Ignored, whatever the program writes.
            (&key("h", "_count"), 99.0),
        ]),
    );
    let want = [
        "h_bucket{le=\"-0.0\"} 0",
        "h_bucket{le=\"2\"} 3",
        "h_bucket{le=\"10.0\"} 7",
        "h_bucket{le=\"+Inf\"} 8",
        "h_sum{} 7.5",
        "h_count{} 8",
    ];
    is(&parsed, &want, 0);
}

#[test]
fn what_is_being_made_waits_until_it_is_whole() {
    let histogram = [key("h", "_sum"), bucket("h", "1.0"), bucket("h", "+Inf")];
    let summary = [key("s", "_count"), key("s", "_sum")];
    for (content, keys) in [(HISTOGRAM, &histogram[..]), (SUMMARY, &summary)] {
        for count in 1..=keys.len() {
            let made: Vec<_> = keys[..count].iter().map(|key| (&**key, 0.0)).collect();
            let parsed = one(content, &Written::of(&made));
            assert_eq!(parsed.dropped, Dropped::default());
            let is_whole = count == keys.len();
            assert_eq!(!parsed.page.families.is_empty(), is_whole, "{keys:?}");
        }
    }
}

#[test]
fn numbers_without_sense_are_left_out_with_all_that_depends_on_them() {
    for wrong in [-1.0, 0.5, f64::NAN, f64::INFINITY] {
        let good = [
            (labelled("h", "_sum", "x"), 1.0),
            (
                "[\"h\", \"h_bucket\", {\"l\": \"x\", \"le\": \"+Inf\"}, \"\"]".into(),
                1.0,
            ),
        ];
        let bad = [
            (key("h", "_sum"), 1.0),
            (bucket("h", "1"), wrong),
            (bucket("h", "2"), 3.0),
            (bucket("h", "+Inf"), 0.0),
        ];
        let all: Vec<(&str, f64)> = bad
            .iter()
            .chain(&good)
            .map(|(key, value)| (&**key, *value))
            .collect();
        let parsed = one(HISTOGRAM, &Written::of(&all));
        let want = [
            "h_bucket{l=\"x\",le=\"+Inf\"} 1",
            "h_sum{l=\"x\"} 1",
            "h_count{l=\"x\"} 1",
        ];
        is(&parsed, &want, 4);
        let parsed = one(
            SUMMARY,
            &Written::of(&[(&key("s", "_count"), wrong), (&key("s", "_sum"), 1.0)]),
        );
        is(&parsed, &[], 2);
    }
    let parsed = one(
        COUNTER,
        &Written::of(&[
            (&key("a", "_total"), -1.0),
            (&key("b", "_total"), f64::NAN),
            (&key("c", "_total"), f64::INFINITY),
            (&key("d", "_total"), 2e9 + 0.5),
        ]),
    );
    is(&parsed, &["d_total{} 2000000000.5"], 3);
    let parsed = one(
        GAUGE,
        &Written::of(&[
            (&key("g", ""), f64::NAN),
            (&key("i", ""), f64::NEG_INFINITY),
        ]),
    );
    is(&parsed, &["g{} NaN", "i{} -inf"], 0);
}

#[test]
fn keys_without_sense_are_left_out() {
    let keys: &[&[u8]] = &[
        b"[]",
        b"[1]",
        b"[NaN]",
        b"[\"a\", \"a\"]",
        b"[\"a\", \"a\", {}, \"\", \"\"]",
        b"[\"a\", \"a\", [], []]",
        b"[\"a\", \"a\", {}, 1]",
        b"[\"a\", \"a\", {}, null]",
        b"[\"a\", \"a\", {\"l\": 1}, \"\"]",
        b"[\"a\", \"a\", {\"l\": null}, \"\"]",
        b"[\"a\", \"a\", {\"l\": \"\xff\"}, \"\"]",
        b"[\"a\", \"a\", {\"l\": \"\\ud800\"}, \"\"]",
        b"[\"a\", \"a\", {\"l\": \"\\r\"}, \"\"]",
        b"[\"a\", \"a\", {\"l\": \"\\u0000\"}, \"\"]",
        b"[\"a\", \"a\", {\"l\": \"x\ny\"}, \"\"]",
        b"[\"a\", \"a\", {\"l-m\": \"x\"}, \"\"]",
        b"[\"a\", \"a\", {\"__l\": \"x\"}, \"\"]",
        b"[\"a\", \"a\", {\"\": \"x\"}, \"\"]",
        b"[\"a\", \"b\", {}, \"\"]",
        b"[\"a\", \"a_sum\", {}, \"\"]",
        b"[\"a b\", \"a b\", {}, \"\"]",
        b"[\"\", \"\", {}, \"\"]",
        b"[\"\", \"a\", {}, \"\"]",
        "[\"é\", \"é\", {}, \"\"]".as_bytes(),
        b"[\"a\\n# TYPE b gauge\", \"a\\n# TYPE b gauge\", {}, \"\"]",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]",
    ];
    for wrong in keys {
        let mut written = Written::new(true);
        written.entry(wrong, 1.0, 0.0);
        written.entry(key("g", "").as_bytes(), 2.0, 0.0);
        let parsed = one(GAUGE, &written.bytes);
        let name = String::from_utf8_lossy(wrong);
        assert_eq!(lines(&parsed.page.families), ["g{} 2"], "{name}");
        assert_eq!(parsed.dropped.invalid, 1, "{name}");
    }
    for (content, wrong) in [
        (HISTOGRAM, key("h", "")),
        (HISTOGRAM, key("h", "_bucket")),
        (HISTOGRAM, bucket("h", "NaN")),
        (HISTOGRAM, bucket("h", "much")),
        (SUMMARY, key("s", "")),
        (SUMMARY, bucket("s", "1")),
        (COUNTER, key("c", "_sum")),
    ] {
        is(&one(content, &Written::of(&[(&wrong, 1.0)])), &[], 1);
    }
}

#[test]
fn a_help_text_that_is_none_is_not_told() {
    let long = "x".repeat(1025);
    for help in ["", "a\\rb", "a\\u0000b", &long] {
        let key = format!("[\"g\", \"g\", {{}}, \"{help}\"]");
        let parsed = one(GAUGE, &Written::of(&[(&key, 1.0)]));
        assert_eq!(parsed.page.families[0].help, None, "{help}");
    }
    let parsed = one(
        GAUGE,
        &Written::of(&[("[\"g\", \"g\", {}, \"a\\n\\\\b\"]", 1.0)]),
    );
    assert_eq!(parsed.page.families[0].help.as_deref(), Some("a\n\\b"));
}

#[test]
fn two_metrics_of_one_name_are_together() {
    let other = |family: &str, suffix: &str| {
        format!("[\"{family}\", \"{family}{suffix}\", {{}}, \"Other.\"]")
    };
    let counters = Written::of(&[(&key("c", "_total"), 1.0), (&other("c", "_total"), 2.0)]);
    let parsed = one(COUNTER, &counters);
    is(&parsed, &["c_total{} 3"], 0);
    assert_eq!(parsed.page.families[0].help.as_deref(), Some("Help."));
    let gauges = Written::of(&[(&key("g", ""), 1.0), (&other("g", ""), 2.0)]);
    is(&one(GAUGE, &gauges), &["g{} 2"], 0);
}

#[test]
fn of_two_families_with_one_name_one_is_left_out() {
    let counters = Written::of(&[(&key("a", "_total"), 1.0), (&key("h_sum", ""), 1.0)]);
    let gauges = Written::of(&[(&key("a_total", ""), 2.0), (&key("a", ""), 3.0)]);
    let histograms = Written::of(&[(&key("h", "_sum"), 1.0), (&bucket("h", "+Inf"), 1.0)]);
    let files = [
        (COUNTER, &*counters),
        (GAUGE, &gauges),
        (HISTOGRAM, &histograms),
    ];
    let files = files.map(|(content, bytes)| (name(1, content), bytes));
    let reading = read(&files, StoreLimits::default());
    let want = ["a{} 3", "a_total{} 1", "h_sum{} 1"];
    is(&reading.processes[&1], &want, 3);
}

fn aggregation(reading: &Reading, name: &str) -> Option<Aggregation> {
    reading.modes.get(name).copied()
}

#[test]
fn modes_say_what_becomes_of_gauges() {
    for (mode, want) in [
        (Mode::All, None),
        (Mode::LiveAll, Some(Aggregation::Worker)),
        (Mode::Sum, Some(Aggregation::Sum)),
        (Mode::LiveSum, Some(Aggregation::Sum)),
        (Mode::Min, Some(Aggregation::Min)),
        (Mode::LiveMin, Some(Aggregation::Min)),
        (Mode::Max, Some(Aggregation::Max)),
        (Mode::LiveMax, Some(Aggregation::Max)),
        (Mode::MostRecent, Some(Aggregation::Max)),
        (Mode::LiveMostRecent, Some(Aggregation::Max)),
    ] {
        let bytes = Written::of(&[(&key("g", ""), 1.0)]);
        let file = (name(1, Content::Gauge(mode)), &*bytes);
        let reading = read(&[file], StoreLimits::default());
        assert_eq!(aggregation(&reading, "g"), want, "{mode:?}");
    }
    // An old worker, and a new one whose program changed the mode.
    let bytes = Written::of(&[(&key("g", ""), 1.0)]);
    let files = [(1, Mode::Max), (2, Mode::Sum)];
    let files = files.map(|(pid, mode)| (name(pid, Content::Gauge(mode)), &*bytes));
    let reading = read(&files, StoreLimits::default());
    assert_eq!(aggregation(&reading, "g"), Some(Aggregation::Sum));
    assert!(one(COUNTER, &bytes).dropped == Dropped::default());
    assert!(
        read(&[(name(1, COUNTER), &*bytes)], StoreLimits::default())
            .modes
            .is_empty()
    );
}

#[test]
fn of_the_most_recent_all_say_the_same() {
    let file = |entries: &[(&str, f64, f64)]| {
        let mut written = Written::new(true);
        for (label, value, time) in entries {
            written.entry(labelled("g", "", label).as_bytes(), *value, *time);
        }
        written.bytes
    };
    let old = file(&[
        ("a", 1.0, 10.0),
        ("b", 2.0, 21.0),
        ("never", 7.0, 0.0),
        ("bad", 7.0, f64::NAN),
        ("old", 8.0, 1.0),
    ]);
    let new = file(&[
        ("a", 3.0, 11.0),
        ("b", 4.0, 20.0),
        ("never", 7.0, 0.0),
        ("bad", 7.0, f64::INFINITY),
        ("zero", 0.0, 9.0),
    ]);
    let files = [(1, &*old), (2, &*new)].map(|(pid, bytes)| (name(pid, RECENT), bytes));
    let reading = read(&files, StoreLimits::default());
    let both = ["g{l=\"a\"} 3", "g{l=\"b\"} 2"];
    is(
        &reading.processes[&1],
        &[both[0], both[1], "g{l=\"old\"} 8"],
        0,
    );
    is(
        &reading.processes[&2],
        &[both[0], both[1], "g{l=\"zero\"} 0"],
        0,
    );
    // The gauge of another mode is separate.
    let files = [(1, GAUGE, &*old), (2, RECENT, &new)];
    let files = files.map(|(pid, content, bytes)| (name(pid, content), bytes));
    let reading = read(&files, StoreLimits::default());
    assert_eq!(
        lines(&reading.processes[&1].page.families)[0],
        "g{l=\"a\"} 1"
    );
}

#[test]
fn what_a_process_says_is_bounded() {
    let entries: Vec<String> = (0..9)
        .map(|at| labelled("c", "_total", &at.to_string()))
        .collect();
    let entries: Vec<_> = entries.iter().map(|key| (&**key, 1.0)).collect();
    let bytes = Written::of(&entries);
    let files = [1, 2, 3].map(|pid| (name(pid, COUNTER), &*bytes));
    let dropped = |limits: StoreLimits| {
        let reading = read(&files, limits);
        let all = reading.processes.into_values();
        all.map(|parsed| {
            let len = lines(&parsed.page.families).len();
            (len, parsed.dropped.limit, parsed.dropped.invalid)
        })
        .collect::<Vec<_>>()
    };
    let limits = StoreLimits::default;
    assert_eq!(dropped(limits()), [(9, 0, 0); 3]);
    let page = exposition::PageLimits {
        series: 4,
        ..exposition::PageLimits::default()
    };
    assert_eq!(dropped(StoreLimits { page, ..limits() }), [(4, 5, 0); 3]);
    let all = StoreLimits {
        entries: 12,
        ..limits()
    };
    assert_eq!(dropped(all), [(9, 0, 0), (3, 6, 0), (0, 9, 0)]);
    // Each entry has 64 bytes. Of a cut entry, only its existence is known.
    assert_eq!(bytes.len(), 8 + 9 * 64);
    let each = StoreLimits {
        file_bytes: 8 + 3 * 64 + 63,
        ..limits()
    };
    assert_eq!(dropped(each), [(3, 1, 0); 3]);
    let all = StoreLimits {
        bytes: bytes.len() + 8 + 2 * 64,
        ..limits()
    };
    assert_eq!(dropped(all), [(9, 0, 0), (2, 1, 0), (0, 1, 0)]);
    for page in [
        exposition::PageLimits { name: 6, ..page },
        exposition::PageLimits { labels: 0, ..page },
        exposition::PageLimits {
            label_name: 0,
            ..page
        },
        exposition::PageLimits {
            label_value: 0,
            ..page
        },
    ] {
        let page = exposition::PageLimits {
            series: 100,
            ..page
        };
        assert_eq!(
            dropped(StoreLimits { page, ..limits() }),
            [(0, 9, 0); 3],
            "{page:?}"
        );
    }
}
