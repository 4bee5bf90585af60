//! Single lines, valid and invalid.

use super::{is, open, text};

/// Lines of text 0.0.4 after a valid one, and the expected result.
const TEXT: &[(&str, &str)] = &[
    ("a 1", "a() {} 1"),
    ("a 1 1395066363000", "a() {} 1"),
    ("a 1 -1", "a() {} 1"),
    ("a\t 1 ", "a() {} 1"),
    ("  a 1\r", "a() {} 1"),
    ("a{} 1", "a() {} 1"),
    ("a{b=\"1\"}1", "a() {b=\"1\"} 1"),
    ("a { c = \"2\" , b\t=\"1\", } 1", "a() {b=\"1\",c=\"2\"} 1"),
    ("a{b=\"}{,=# \\\" x\"} 1", "a() {b=\"}{,=# \\\" x\"} 1"),
    ("a{b=\"\\n\\\\\\d\"} 1", "a() {b=\"\\n\\\\\\\\d\"} 1"),
    ("a{b=\"é\u{1f600}\"} 1", "a() {b=\"é\u{1f600}\"} 1"),
    ("a{b=\"\",c=\"1\"} 1", "a() {c=\"1\"} 1"),
    ("a:b_9 1e3", "a:b_9() {} 1000"),
    ("_ .5", "_() {} 0.5"),
    ("a NaN", "a() {} NaN"),
    ("a +Inf", "a() {} inf"),
    ("a -Inf", "a() {} -inf"),
    ("a inf", "a() {} inf"),
    ("a -0", "a() {} 0"),
    ("a", "-"),
    ("a ", "-"),
    ("a1x{", "-"),
    ("1a 1", "-"),
    ("a-b 1", "-"),
    ("é 1", "-"),
    ("a 1.2.3", "-"),
    ("a 0x10", "-"),
    ("a 1_000", "-"),
    ("a 1e999", "-"),
    ("a 1 2 3", "-"),
    ("a 1 2.5", "-"),
    ("a 1 # {} 1", "-"),
    ("a\"b\" 1", "-"),
    ("{\"a\"} 1", "-"),
    ("a{b} 1", "-"),
    ("a{b=1} 1", "-"),
    ("a{b=\"1} 1", "-"),
    ("a{b=\"1\\\"} 1", "-"),
    ("a{b=\"1\" c=\"2\"} 1", "-"),
    ("a{,b=\"1\"} 1", "-"),
    ("a{b=\"1\",,} 1", "-"),
    ("a{b=\"1\"", "-"),
    ("a{b=\"1\"}", "-"),
    ("a{b=\"1\",b=\"1\"} 1", "-"),
    ("a{__name__=\"c\"} 1", "-"),
    ("a{=\"c\"} 1", "-"),
    ("a{b:c=\"c\"} 1", "-"),
    ("a{b=\"x\ry\"} 1", "-"),
    ("a{b=\"x\0y\"} 1", "-"),
    ("a\r 1", "-"),
    ("\u{feff}a 1", "-"),
];

/// The same for OpenMetrics.
const OPEN: &[(&str, &str)] = &[
    ("a 1", "a() {} 1"),
    ("a 1 1395066363.5", "a() {} 1"),
    ("a{b=\"1\",c=\"2\"} 1 -1e3", "a() {b=\"1\",c=\"2\"} 1"),
    ("a{c=\"2\",b=\"1\",} 1", "a() {b=\"1\",c=\"2\"} 1"),
    ("a{b=\"1\"}1", "-"),
    ("a  1", "-"),
    ("a\t1", "-"),
    (" a 1", "-"),
    ("a 1 ", "-"),
    ("a 1\r", "-"),
    ("", "-"),
    ("# a comment", "-"),
    ("#EOF", "-"),
    ("# EOF ", "-"),
    ("a {b=\"1\"} 1", "-"),
    ("a{b= \"1\"} 1", "-"),
    ("a{ b=\"1\"} 1", "-"),
    ("a{b=\"1\" } 1", "-"),
    ("a 1 NaN", "-"),
    ("a 1 1 1", "-"),
    ("a 1 # {b=\"1\"}", "-"),
    ("a 1 # {b=\"1\" 1", "-"),
    ("a 1 # 1", "-"),
    ("a 1# {} 1", "-"),
    ("a 1 # {} x", "-"),
    ("a 1 # {} 1 x", "-"),
    ("a 1 # {} 1 1 1", "-"),
    ("a 1 # {b=\"1\",b=\"1\"} 1", "-"),
];

fn want(seen: &str) -> Vec<String> {
    let good = "unknown good() {} 0".to_owned();
    match seen {
        "-" => vec![good, "invalid 1".to_owned()],
        seen if seen < "good" => vec![format!("unknown {seen}"), good],
        seen => vec![good, format!("unknown {seen}")],
    }
}

#[test]
fn of_text() {
    for (line, seen) in TEXT {
        let got = super::seen(&text(&format!("good 0\n{line}\n")));
        assert_eq!(got, want(seen), "{line:?}");
    }
}

#[test]
fn of_open_metrics() {
    for (line, seen) in OPEN {
        let got = super::seen(&open(&format!("good 0\n{line}\n")));
        assert_eq!(got, want(seen), "{line:?}");
    }
}

#[test]
fn a_line_that_is_no_text_costs_itself_only() {
    let page = b"good 0\na{b=\"\xff\"} 1\nother 1\n";
    let parsed = super::parse(page, super::Format::Text, &super::PageLimits::default()).unwrap();
    is(
        &parsed,
        &["unknown good() {} 0", "unknown other() {} 1", "invalid 1"],
    );
}

#[test]
fn a_line_needs_no_newline_at_the_end() {
    is(&text("a 1"), &["unknown a() {} 1"]);
}

#[test]
fn nothing_is_added_by_a_value() {
    // This would be a second line if escapes were not kept.
    let parsed = text("a{b=\"x\\\"} 1\\nrpm_ready 0\"} 2\n");
    is(&parsed, &["unknown a() {b=\"x\\\"} 1\\nrpm_ready 0\"} 2"]);
    let label = parsed.page.families[0].samples[0].labels.get("b").unwrap();
    assert_eq!(label, "x\"} 1\nrpm_ready 0");
}

#[test]
fn exemplars_are_kept_where_they_may_be() {
    let page = "# TYPE a counter\na_total 1 # {id=\"x\"} 0.5 1600.5\n\
                # TYPE h histogram\nh_bucket{le=\"1\"} 1 12 # {id=\"y\"} 0.25\nh_bucket{le=\"+Inf\"} 1\n\
                # TYPE g gauge\ng 1 # {id=\"z\"} 1\n";
    let page = open(page).page;
    let exemplars: Vec<String> = page
        .families
        .iter()
        .flat_map(|family| &family.samples)
        .filter_map(|sample| sample.exemplar.as_ref())
        .map(|one| format!("{:?} {} {:?}", one.labels, one.value, one.timestamp))
        .collect();
    assert_eq!(
        exemplars,
        ["{id=\"x\"} 0.5 Some(1600.5)", "{id=\"y\"} 0.25 None"]
    );
}

#[test]
fn an_exemplar_that_is_too_long_is_left_off() {
    for (letters, kept) in [(126, true), (127, false)] {
        let id = "é".repeat(letters);
        let page = open(&format!(
            "# TYPE a counter\na_total 1 # {{id=\"{id}\"}} 1\n"
        ));
        is(&page, &["counter a(_total) {} 1"]);
        let exemplar = &page.page.families[0].samples[0].exemplar;
        assert_eq!(exemplar.is_some(), kept, "{letters}");
    }
}
