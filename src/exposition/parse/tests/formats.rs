//! Whole pages: the families of samples, plausible values, the end of a page.

use super::{Format, ParseError, is, open, refused, text};

#[test]
fn counters_of_text_are_without_total_if_they_were_named_so() {
    let page = "# HELP foo_total How \\\\ many\\n\"now\"\n# TYPE foo_total counter\nfoo_total 2\n\
                # TYPE bare counter\nbare 3\n# TYPE _total counter\n_total 4\n";
    let parsed = text(page);
    is(
        &parsed,
        &[
            "counter _total() {} 4",
            "counter bare() {} 3",
            "counter foo(_total) {} 2",
        ],
    );
    let names: Vec<_> = parsed
        .page
        .families
        .iter()
        .map(|family| family.text_name())
        .collect();
    assert_eq!(names, ["_total", "bare", "foo_total"]);
    let help = parsed.page.families[2].help.as_deref();
    assert_eq!(help, Some("How \\ many\n\"now\""));
}

#[test]
fn a_gauge_may_have_the_name_of_a_counter_without_its_suffix() {
    let want = ["gauge alloc() {} 1", "counter alloc(_total) {} 2"];
    // As Go writes them, in both formats and both orders.
    is(
        &text("# TYPE alloc gauge\nalloc 1\n# TYPE alloc_total counter\nalloc_total 2\n"),
        &want,
    );
    let page = "# HELP alloc of it\n# TYPE alloc gauge\nalloc 1\n# HELP alloc of all\n# TYPE alloc counter\nalloc_total 2\n";
    let parsed = open(page);
    is(&parsed, &want);
    let helps: Vec<_> = parsed
        .page
        .families
        .iter()
        .map(|family| family.help.as_deref())
        .collect();
    assert_eq!(helps, [Some("of it"), Some("of all")]);
    is(
        &open("# TYPE alloc counter\nalloc_total 2\n# TYPE alloc gauge\nalloc 1\n"),
        &want,
    );
}

#[test]
fn every_kind_of_open_metrics_has_its_suffixes() {
    let page = "# TYPE c_seconds counter\n# UNIT c_seconds seconds\nc_seconds_total 1\nc_seconds_created 1.5\n\
                # TYPE g gauge\ng 1\n# TYPE i info\ni_info{v=\"1\"} 1\n\
                # TYPE s stateset\ns{s=\"on\"} 1\ns{s=\"off\"} 0\n# TYPE u unknown\nu 1\n\
                # TYPE q summary\nq{quantile=\"0.5\"} 7\nq_count 3\nq_sum 4\nq_created 1.5\n\
                # TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 5.5\nh_created 1.5\n\
                # TYPE gh gaugehistogram\ngh_bucket{le=\"+Inf\"} 2\ngh_gcount 2\ngh_gsum -5.5\n";
    let parsed = open(page);
    is(
        &parsed,
        &[
            "counter c_seconds(_total) {} 1",
            "gauge g() {} 1",
            "gaugehistogram gh(_bucket) {le=\"+Inf\"} 2",
            "gaugehistogram gh(_gsum) {} -5.5",
            "gaugehistogram gh(_gcount) {} 2",
            "histogram h(_bucket) {le=\"1.0\"} 1",
            "histogram h(_bucket) {le=\"+Inf\"} 2",
            "histogram h(_sum) {} 5.5",
            "histogram h(_count) {} 2",
            "info i(_info) {v=\"1\"} 1",
            "summary q() {quantile=\"0.5\"} 7",
            "summary q(_sum) {} 4",
            "summary q(_count) {} 3",
            "stateset s() {s=\"off\"} 0",
            "stateset s() {s=\"on\"} 1",
            "unknown u() {} 1",
        ],
    );
    assert_eq!(parsed.page.families[0].unit.as_deref(), Some("seconds"));
}

#[test]
fn a_name_belongs_to_one_family() {
    // The first family has the name; samples of the other are not assigned to anything else.
    let page = "# TYPE foo_count gauge\nfoo_count 1\n# TYPE foo histogram\nfoo_bucket{le=\"+Inf\"} 1\nfoo_sum 1\n";
    is(&text(page), &["gauge foo_count() {} 1", "invalid 3"]);
    let page = "# TYPE foo gauge\nfoo 1\n# TYPE foo counter\nfoo 2\n";
    is(&text(page), &["gauge foo() {} 1", "invalid 2"]);
    let page = "foo 1\n# TYPE foo gauge\nfoo{a=\"1\"} 2\n";
    is(
        &text(page),
        &[
            "unknown foo() {} 1",
            "unknown foo() {a=\"1\"} 2",
            "invalid 1",
        ],
    );
    let page = "# TYPE foo histogram\nfoo 1\n# TYPE foo gauge\nfoo 2\ngood 1\n";
    is(&open(page), &["unknown good() {} 1", "invalid 3"]);
    let page = "# TYPE foo counter\nfoo 1\nfoo_total 2\n";
    is(&open(page), &["counter foo(_total) {} 2", "invalid 1"]);
}

#[test]
fn the_same_type_may_be_said_twice_and_an_unknown_one_is_no_type() {
    let page =
        "# TYPE foo Gauge \nfoo 1\n# TYPE foo gauge\nfoo{a=\"1\"} 2\n# TYPE bar funny\nbar 1\n";
    is(
        &text(page),
        &[
            "unknown bar() {} 1",
            "gauge foo() {} 1",
            "gauge foo() {a=\"1\"} 2",
            "invalid 1",
        ],
    );
    // Type names of the other format.
    is(
        &text("# TYPE a info\na_info 1\n"),
        &["unknown a_info() {} 1", "invalid 1"],
    );
    is(
        &open("# TYPE a untyped\na 1\n"),
        &["unknown a() {} 1", "invalid 1"],
    );
}

#[test]
fn interleaved_families_are_put_together() {
    let page = "# TYPE a gauge\n# TYPE b gauge\na{x=\"2\"} 1\nb 1\na{x=\"1\"} 1\n";
    let want = [
        "gauge a() {x=\"1\"} 1",
        "gauge a() {x=\"2\"} 1",
        "gauge b() {} 1",
    ];
    is(&text(page), &want);
    is(&open(page), &want);
}

#[test]
fn the_first_of_two_equal_series_stays() {
    is(
        &text("a 1\na{b=\"\"} 2\n"),
        &["unknown a() {} 1", "invalid 1"],
    );
    is(
        &text("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n"),
        &["unknown a() {x=\"1\",y=\"2\"} 1", "invalid 1"],
    );
}

#[test]
fn counts_are_counts() {
    let page = "# TYPE a counter\na{x=\"1\"} -1\na{x=\"2\"} NaN\na{x=\"3\"} +Inf\na{x=\"4\"} 0.5\n";
    is(&text(page), &["counter a() {x=\"4\"} 0.5", "invalid 3"]);
    let page = "# TYPE a summary\na_count 1.5\na_sum NaN\na{quantile=\"2\"} 1\na 1\na{quantile=\"1\"} NaN\na_sum{quantile=\"1\"} 1\n";
    is(
        &text(page),
        &["summary a() {quantile=\"1\"} NaN", "invalid 5"],
    );
    let page = "# TYPE a info\na_info{b=\"1\"} 2\na_info{b=\"2\"} 1\n# TYPE s stateset\ns{s=\"1\"} 2\ns 1\n";
    is(&open(page), &["info a(_info) {b=\"2\"} 1", "invalid 3"]);
}

#[test]
fn buckets_are_ordered_by_number() {
    let page = "# TYPE a histogram\na_bucket{le=\"+Inf\"} 3\na_bucket{le=\"10\"} 2\na_bucket{le=\"2.0\"} 1\na_bucket{le=\"2\"} 9\n";
    is(
        &text(page),
        &[
            "histogram a(_bucket) {le=\"2.0\"} 1",
            "histogram a(_bucket) {le=\"10\"} 2",
            "histogram a(_bucket) {le=\"+Inf\"} 3",
            "invalid 1",
        ],
    );
}

#[test]
fn a_histogram_without_sense_is_left_out_by_label_set() {
    let good = "a_bucket{x=\"1\",le=\"+Inf\"} 3\na_sum{x=\"1\"} -1\n";
    let bad = [
        // The count decreases.
        (
            "a_bucket{le=\"1\"} 4\na_bucket{le=\"+Inf\"} 3\na_sum 1\n",
            3,
        ),
        // The last bucket is missing.
        ("a_bucket{le=\"1\"} 4\na_count 4\n", 2),
        ("a_sum 4\n", 1),
        // Invalid bounds and counts.
        (
            "a_bucket{le=\"x\"} 4\na_bucket{le=\"NaN\"} 4\na_bucket 4\na_bucket{le=\"1\"} 0.5\na_bucket{le=\"2\"} -1\n",
            5,
        ),
        ("a_count{le=\"1\"} 4\na 4\n", 2),
    ];
    for (lines, invalid) in bad {
        let page = text(&format!("# TYPE a histogram\n{good}{lines}"));
        is(
            &page,
            &[
                "histogram a(_bucket) {le=\"+Inf\",x=\"1\"} 3",
                "histogram a(_sum) {x=\"1\"} -1",
                &format!("invalid {invalid}"),
            ],
        );
    }
}

#[test]
fn what_python_says_of_the_beginning_is_no_family() {
    let page = "# TYPE foo_total counter\nfoo_total 1\n# HELP foo_created when\n# TYPE foo_created gauge\nfoo_created 1.5\n\
                # TYPE user_created gauge\nuser_created 7\n";
    is(
        &text(page),
        &["counter foo(_total) {} 1", "gauge user_created() {} 7"],
    );
}

#[test]
fn help_and_unit_are_found_before_and_behind_the_type() {
    let page = "# HELP a_b x\n# TYPE a_b gauge\n# UNIT a_b b\na_b 1\n# TYPE c gauge\n# HELP c \\\"y\\\"\n# UNIT c seconds\nc 1\n# HELP d z\nd 1\n";
    let parsed = open(page);
    let said: Vec<_> = parsed
        .page
        .families
        .iter()
        .map(|family| (family.help.as_deref(), family.unit.as_deref()))
        .collect();
    assert_eq!(
        said,
        [
            (Some("x"), Some("b")),
            (Some("\"y\""), None),
            (Some("z"), None)
        ]
    );
    assert_eq!(parsed.dropped.invalid, 1);
}

#[test]
fn open_metrics_has_one_end_and_nothing_behind_it() {
    let open = |page: &str| refused(page.as_bytes(), Format::OpenMetrics);
    for page in [
        "",
        "a 1\n",
        "a 1\n# EO",
        "a 1# EOF\n",
        "a 1\n# EOF\r\n",
        "a 1\n# eof\n",
        "a 1\n # EOF",
    ] {
        assert_eq!(open(page), ParseError::NoEnd, "{page:?}");
    }
    for page in [
        "# EOF\na 1\n# EOF\n",
        "a 1\n# EOF\n\n",
        "a 1\n# EOF\n# EOF\n",
        "# EOF\n ",
    ] {
        assert_eq!(open(page), ParseError::BehindEnd, "{page:?}");
    }
    for page in ["# EOF", "# EOF\n"] {
        let parsed = super::parse(
            page.as_bytes(),
            Format::OpenMetrics,
            &super::PageLimits::default(),
        );
        assert_eq!(parsed, Ok(super::Parsed::default()));
    }
    // In text 0.0.4 it is an ordinary comment.
    is(
        &text("a 1\n# EOF\nb 1\n"),
        &["unknown a() {} 1", "unknown b() {} 1"],
    );
}

#[test]
fn a_page_of_something_else_is_refused() {
    let pages: [&[u8]; 4] = [
        b"<!DOCTYPE html>\n<html><body>Not Found</body></html>\n",
        b"{\"status\": \"ok\"}",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xff\n\0",
        b"\0\0\0\0",
    ];
    for page in pages {
        assert_eq!(refused(page, Format::Text), ParseError::NotMetrics);
    }
    for page in ["", "\n\n", "# nothing yet\n", "# TYPE a gauge\n"] {
        is(&text(page), &[]);
    }
}
