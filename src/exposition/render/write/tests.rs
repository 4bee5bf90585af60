use std::io::Read;

use flate2::read::GzDecoder;
use proptest::prelude::*;

use crate::exposition::render::judges::{promtool, strict_reader};
use crate::exposition::{Exemplar, Family, Format, Labels, MetricType, Page, Sample, Suffix};

use crate::exposition::render::{answer, render};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().copied()).unwrap()
}

fn family(name: &str, kind: MetricType, samples: Vec<Sample>) -> Family {
    Family {
        name: name.into(),
        kind,
        help: Some("H.".into()),
        unit: None,
        samples,
    }
}

fn one(name: &str, kind: MetricType, suffix: Suffix) -> Family {
    family(
        name,
        kind,
        vec![Sample::with(suffix, Labels::default(), 1.0)],
    )
}

/// A complete histogram: buckets, sum, count.
fn histogram(name: &str, kind: MetricType) -> Family {
    let [sum, count] = match kind {
        MetricType::GaugeHistogram => [Suffix::Gsum, Suffix::Gcount],
        _ => [Suffix::Sum, Suffix::Count],
    };
    let bucket = |le, count| Sample::with(Suffix::Bucket, labels(&[("le", le)]), count);
    let none = Labels::default;
    family(
        name,
        kind,
        vec![
            bucket("1", 2.0),
            bucket("+Inf", 3.0),
            Sample::with(sum, none(), 4.5),
            Sample::with(count, none(), 3.0),
        ],
    )
}

fn written(families: &[Family], format: Format) -> String {
    let mut out = Vec::new();
    assert_eq!(render(families, format, &mut out), 0);
    String::from_utf8(out).unwrap()
}

#[test]
fn each_kind_in_each_format() {
    let summary = || {
        let quantile = Sample::new(labels(&[("code", "1"), ("quantile", "1")]), 0.25);
        let with = |suffix, value| Sample::with(suffix, labels(&[("code", "1")]), value);
        vec![quantile, with(Suffix::Sum, 1.5), with(Suffix::Count, 2.0)]
    };
    let states = ["off", "on"].map(|state| Sample::new(labels(&[("x", state)]), 1.0));
    for (family, text, open_metrics) in [
        (
            one("x", MetricType::Counter, Suffix::Total),
            "# HELP x_total H.\n# TYPE x_total counter\nx_total 1\n",
            "# TYPE x counter\n# HELP x H.\nx_total 1\n",
        ),
        (
            one("x", MetricType::Counter, Suffix::None),
            "# HELP x H.\n# TYPE x counter\nx 1\n",
            "# TYPE x unknown\n# HELP x H.\nx 1\n",
        ),
        (
            one("x", MetricType::Gauge, Suffix::None),
            "# HELP x H.\n# TYPE x gauge\nx 1\n",
            "# TYPE x gauge\n# HELP x H.\nx 1\n",
        ),
        (
            one("x", MetricType::Unknown, Suffix::None),
            "# HELP x H.\n# TYPE x untyped\nx 1\n",
            "# TYPE x unknown\n# HELP x H.\nx 1\n",
        ),
        (
            one("x", MetricType::Info, Suffix::Info),
            "# HELP x_info H.\n# TYPE x_info gauge\nx_info 1\n",
            "# TYPE x info\n# HELP x H.\nx_info 1\n",
        ),
        (
            family("x", MetricType::StateSet, states.into()),
            "# HELP x H.\n# TYPE x gauge\nx{x=\"off\"} 1\nx{x=\"on\"} 1\n",
            "# TYPE x stateset\n# HELP x H.\nx{x=\"off\"} 1\nx{x=\"on\"} 1\n",
        ),
        (
            histogram("x", MetricType::Histogram),
            "# HELP x H.\n# TYPE x histogram\nx_bucket{le=\"1.0\"} 2\nx_bucket{le=\"+Inf\"} 3\nx_sum 4.5\nx_count 3\n",
            "# TYPE x histogram\n# HELP x H.\nx_bucket{le=\"1.0\"} 2\nx_bucket{le=\"+Inf\"} 3\nx_sum 4.5\nx_count 3\n",
        ),
        (
            histogram("x", MetricType::GaugeHistogram),
            "# HELP x H.\n# TYPE x histogram\nx_bucket{le=\"1.0\"} 2\nx_bucket{le=\"+Inf\"} 3\n\
             # HELP x_gcount H.\n# TYPE x_gcount gauge\nx_gcount 3\n\
             # HELP x_gsum H.\n# TYPE x_gsum gauge\nx_gsum 4.5\n",
            "# TYPE x gaugehistogram\n# HELP x H.\nx_bucket{le=\"1.0\"} 2\nx_bucket{le=\"+Inf\"} 3\nx_gsum 4.5\n\
             x_gcount 3\n",
        ),
        (
            family("x", MetricType::Summary, summary()),
            "# HELP x H.\n# TYPE x summary\nx{code=\"1\",quantile=\"1.0\"} 0.25\nx_sum{code=\"1\"} 1.5\n\
             x_count{code=\"1\"} 2\n",
            "# TYPE x summary\n# HELP x H.\nx{code=\"1\",quantile=\"1.0\"} 0.25\nx_sum{code=\"1\"} 1.5\n\
             x_count{code=\"1\"} 2\n",
        ),
    ] {
        let all = [family];
        assert_eq!(written(&all, Format::Text), text);
        let page = written(&all, Format::OpenMetrics);
        assert_eq!(page, format!("{open_metrics}# EOF\n"));
        assert_eq!(strict_reader(&page), Ok(1), "{page}");
    }
}

#[test]
fn an_empty_page_is_one() {
    assert_eq!(written(&[], Format::Text), "");
    assert_eq!(written(&[], Format::OpenMetrics), "# EOF\n");
}

#[test]
fn help_is_escaped_as_the_format_says_and_may_be_missing() {
    let mut page = [one("x", MetricType::Gauge, Suffix::None)];
    page[0].help = Some("a \"b\" \\ c\nx 2".into());
    let text = written(&page, Format::Text);
    assert!(
        text.starts_with("# HELP x a \"b\" \\\\ c\\nx 2\n# TYPE"),
        "{text}"
    );
    let open = written(&page, Format::OpenMetrics);
    assert!(
        open.contains("\n# HELP x a \\\"b\\\" \\\\ c\\nx 2\n"),
        "{open}"
    );
    page[0].help = None;
    assert_eq!(written(&page, Format::Text), "# TYPE x gauge\nx 1\n");
    page[0].help = Some("".into());
    let open = written(&page, Format::OpenMetrics);
    assert_eq!(strict_reader(&open), Ok(1), "{open}");
}

#[test]
fn a_unit_is_told_where_the_name_ends_with_it() {
    for (name, kind, suffix, unit, told) in [
        (
            "x_seconds",
            MetricType::Gauge,
            Suffix::None,
            "seconds",
            true,
        ),
        (
            "x_seconds",
            MetricType::Counter,
            Suffix::Total,
            "seconds",
            true,
        ),
        (
            "xseconds",
            MetricType::Gauge,
            Suffix::None,
            "seconds",
            false,
        ),
        ("seconds", MetricType::Gauge, Suffix::None, "seconds", false),
        ("x_bytes", MetricType::Gauge, Suffix::None, "seconds", false),
        (
            "x_seconds",
            MetricType::Info,
            Suffix::Info,
            "seconds",
            false,
        ),
        ("x_", MetricType::Gauge, Suffix::None, "", false),
    ] {
        let mut page = [one(name, kind, suffix)];
        page[0].unit = Some(unit.into());
        let open = written(&page, Format::OpenMetrics);
        assert_eq!(open.contains("# UNIT"), told, "{open}");
        assert_eq!(strict_reader(&open), Ok(1), "{open}");
        assert!(!written(&page, Format::Text).contains("# UNIT"));
    }
}

#[test]
fn who_cannot_have_its_name_goes_by_that_of_its_samples() {
    let mut allocated = one("x_bytes", MetricType::Counter, Suffix::Total);
    allocated.unit = Some("bytes".into());
    allocated.samples[0].exemplar = Some(exemplar("id", "1").into());
    let created = Sample::with(Suffix::Created, Labels::default(), 1.0);
    allocated.samples.push(created);
    let page = [
        one("a", MetricType::Gauge, Suffix::None),
        one("a", MetricType::Info, Suffix::Info),
        one("x_bytes", MetricType::Gauge, Suffix::None),
        allocated,
        one("y_created", MetricType::Gauge, Suffix::None),
        one("y", MetricType::Counter, Suffix::Total),
    ];
    let open = written(&page, Format::OpenMetrics);
    for part in [
        "# TYPE x_bytes gauge\n# HELP x_bytes H.\nx_bytes 1\n",
        "# TYPE x_bytes_total unknown\n# HELP x_bytes_total H.\nx_bytes_total 1\n",
        "# TYPE a_info gauge\n# HELP a_info H.\na_info 1\n",
        "# TYPE y_total unknown\n",
    ] {
        assert!(open.contains(part), "{part}\n{open}");
    }
    assert_eq!(strict_reader(&open), Ok(6), "{open}");
}

#[test]
fn what_cannot_stand_beside_another_is_left_out_and_counted() {
    let page = [
        histogram("x", MetricType::Histogram),
        one("x_count", MetricType::Gauge, Suffix::None),
        one("x_created", MetricType::Gauge, Suffix::None),
        one("z", MetricType::Gauge, Suffix::None),
    ];
    let mut out = Vec::new();
    assert_eq!(render(&page, Format::OpenMetrics, &mut out), 2);
    let open = String::from_utf8(out).unwrap();
    assert_eq!(strict_reader(&open), Ok(2), "{open}");
    let text = written(&page, Format::Text);
    assert!(text.contains("\nx_created 1\n"), "{text}");
}

fn exemplar(name: &str, value: &str) -> Exemplar {
    Exemplar {
        labels: labels(&[(name, value)]),
        value: 0.5,
        timestamp: Some(1_700_000_000.25),
    }
}

#[test]
fn exemplars_are_openmetrics_only_and_not_too_long() {
    let mut page = [
        one("c", MetricType::Counter, Suffix::Total),
        histogram("h", MetricType::Histogram),
        one("n", MetricType::Counter, Suffix::None),
    ];
    for family in &mut page {
        for sample in &mut family.samples {
            sample.exemplar = Some(exemplar("trace_id", "\"1\"").into());
        }
    }
    let open = written(&page, Format::OpenMetrics);
    let mark = " # {trace_id=\"\\\"1\\\"\"} 0.5 1700000000.25\n";
    assert!(open.contains(&format!("\nc_total 1{mark}")), "{open}");
    assert!(
        open.contains(&format!("\nh_bucket{{le=\"1.0\"}} 2{mark}")),
        "{open}"
    );
    assert_eq!(open.matches(" # {").count(), 3, "{open}");
    assert_eq!(strict_reader(&open), Ok(3), "{open}");
    assert!(!written(&page, Format::Text).contains(" # "));
    for (length, stays) in [(126, true), (127, false)] {
        page[0].samples[0].exemplar = Some(exemplar("id", &"é".repeat(length)).into());
        let open = written(&page, Format::OpenMetrics);
        assert_eq!(open.contains("{id="), stays, "{length}");
        assert_eq!(strict_reader(&open), Ok(3), "{open}");
    }
}

#[test]
fn when_a_series_began_is_openmetrics_only() {
    let mut page = [one("x", MetricType::Counter, Suffix::Total)];
    let created = Sample::with(Suffix::Created, Labels::default(), 1_700_000_000.5);
    page[0].samples.push(created);
    let open = written(&page, Format::OpenMetrics);
    assert!(
        open.contains("x_total 1\nx_created 1700000000.5\n"),
        "{open}"
    );
    assert_eq!(strict_reader(&open), Ok(1), "{open}");
    assert!(!written(&page, Format::Text).contains("created"));
}

#[test]
fn only_the_bound_is_spelled_anew() {
    for (pairs, wanted) in [
        (&[("le", "1")][..], "le=\"1.0\""),
        (
            &[("a", "le=\"3\""), ("le", "1e0"), ("z", "2")],
            "a=\"le=\\\"3\\\"\",le=\"1.0\",z=\"2\"",
        ),
        (&[("handle", "1"), ("le", "2")], "handle=\"1\",le=\"2.0\""),
        (&[("handle", "1")], "handle=\"1\""),
        (&[("le", "much")], "le=\"much\""),
    ] {
        let sample = Sample::with(Suffix::Bucket, labels(pairs), 1.0);
        let text = written(
            &[family("x", MetricType::Histogram, vec![sample])],
            Format::Text,
        );
        assert!(
            text.contains(&format!("\nx_bucket{{{wanted}}} 1\n")),
            "{text}"
        );
    }
}

#[test]
fn a_large_page_is_packed_for_who_wants_it() {
    let page = |series: u32| Page {
        families: vec![family(
            "x",
            MetricType::Gauge,
            (0..series)
                .map(|at| Sample::new(labels(&[("worker", &at.to_string())]), f64::from(at)))
                .collect(),
        )],
    };
    let plain = answer(&page(100), None, None);
    assert!(!plain.gzip && plain.format == Format::Text);
    let packed = answer(
        &page(100),
        Some("application/openmetrics-text"),
        Some("br, gzip;q=0.5"),
    );
    assert!(packed.gzip && packed.format == Format::OpenMetrics);
    let mut body = String::new();
    GzDecoder::new(&*packed.body)
        .read_to_string(&mut body)
        .unwrap();
    assert_eq!(body, written(&page(100).families, Format::OpenMetrics));
    assert!(packed.body.len() < plain.body.len() / 3);
    assert!(!answer(&page(100), None, Some("gzip;q=0")).gzip);
    assert!(!answer(&page(3), None, Some("gzip")).gzip);
}

const KINDS: [(MetricType, Suffix); 5] = [
    (MetricType::Counter, Suffix::Total),
    (MetricType::Counter, Suffix::None),
    (MetricType::Gauge, Suffix::None),
    (MetricType::Unknown, Suffix::None),
    (MetricType::Info, Suffix::Info),
];

proptest! {
    // Each case starts a process.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_stands_on_a_page_is_readable(
        families in prop::collection::btree_map("[a-c]{1,2}(_total|_info|_created)?", (0_usize..5, "[a\\\\\n\"é ]{0,6}", any::<f64>()), 0..8),
        text in "[a\\\\\n\"é{}=, ]{0,6}",
    ) {
        let label = labels(&[("l", &text)]);
        let mut page: Vec<Family> = families
            .into_iter()
            .map(|(name, (kind, help, number))| {
                let (kind, suffix) = KINDS[kind];
                let number = match kind {
                    MetricType::Info => 1.0,
                    MetricType::Counter if number.is_nan() => 0.0,
                    MetricType::Counter => number.abs(),
                    _ => number,
                };
                let mut family = family(&name, kind, vec![Sample::with(suffix, label.clone(), number)]);
                family.help = Some(help.into());
                family
            })
            .collect();
        // Every page is sorted.
        page.sort_by(|one, other| one.text_name().cmp(&other.text_name()));
        page.dedup_by(|one, other| one.text_name() == other.text_name());
        let mut out = Vec::new();
        let left_out = render(&page, Format::OpenMetrics, &mut out);
        let open = String::from_utf8(out).unwrap();
        prop_assert_eq!(strict_reader(&open), Ok(page.len() - left_out), "{}", open);
        let text = written(&page, Format::Text);
        // Its remarks about names and missing help do not concern the renderer.
        let said = promtool(&text);
        prop_assert!(!said.as_ref().is_err_and(|said| said.contains("error while linting")), "{:?}\n{}", said, text);
    }
}
