//! What exceeds a limit is left out and counted.

use super::{Format, PageLimits, ParseError, Parsed, is, parse};

const SMALL: PageLimits = PageLimits {
    bytes: 400,
    lines: 12,
    series: 3,
    labels: 2,
    label_name: 3,
    label_value: 4,
    name: 6,
    help: 5,
};

fn small(page: &str) -> Parsed {
    parse(page.as_bytes(), Format::Text, &SMALL).unwrap()
}

#[test]
fn of_bytes_of_the_page() {
    let page = " ".repeat(SMALL.bytes);
    is(&small(&page), &[]);
    let page = " ".repeat(SMALL.bytes + 1);
    let refused = parse(page.as_bytes(), Format::Text, &SMALL);
    assert_eq!(refused, Err(ParseError::TooLong));
}

#[test]
fn of_lines() {
    let nothing = "\n#\n".repeat(5);
    for (behind, expected) in [
        ("", &[][..]),
        ("b 1\n", &["unknown b() {} 1"]),
        ("b 1\n\n", &["unknown b() {} 1"]),
        (
            "b 1\nc 1\nd 1\n\n# HELP e f",
            &["unknown b() {} 1", "unknown c() {} 1", "limit 3"],
        ),
        ("\n\n\n\n\n#\n", &["limit 4"]),
    ] {
        let page = format!("{nothing}{behind}");
        is(&small(&page), expected);
    }
    // Also if a line is not UTF-8.
    let page = [nothing.as_bytes(), b"b 1\nc 1\n\xff\nd 1\n"].concat();
    let parsed = parse(&page, Format::Text, &SMALL).unwrap();
    is(
        &parsed,
        &["unknown b() {} 1", "unknown c() {} 1", "limit 2"],
    );
}

#[test]
fn of_series() {
    let page = "a{b=\"1\"} 1\na{b=\"2\"} 1\na{b=\"3\"} 1\na{b=\"4\"} 1\nc 1\n";
    is(
        &small(page),
        &[
            "unknown a() {b=\"1\"} 1",
            "unknown a() {b=\"2\"} 1",
            "unknown a() {b=\"3\"} 1",
            "limit 2",
        ],
    );
}

#[test]
fn of_names_without_series() {
    for word in ["TYPE", "HELP"] {
        let lines = ["a", "b", "c", "d", "e"].map(|name| format!("# {word} {name} gauge\n"));
        is(&small(&lines.concat()), &["limit 2"]);
    }
}

#[test]
fn of_labels_and_lengths() {
    let good = "a{bbb=\"1234\",c=\"1\"} 1\nabcdef 1\n";
    let page = format!(
        "{good}a{{b=\"1\",c=\"2\",d=\"3\"}} 1\na{{bbbb=\"1\"}} 1\na{{b=\"12345\"}} 1\nabcdefg 1\n# TYPE abcdefg gauge\n"
    );
    is(
        &small(&page),
        &[
            "unknown a() {bbb=\"1234\",c=\"1\"} 1",
            "unknown abcdef() {} 1",
            "limit 5",
        ],
    );
}

#[test]
fn of_help() {
    let parsed = small("# HELP a 12345\na 1\n# HELP b 123456\nb 1\n");
    let helps = parsed
        .page
        .families
        .iter()
        .map(|family| family.help.as_deref());
    assert_eq!(helps.collect::<Vec<_>>(), [Some("12345"), None]);
    is(&parsed, &["unknown a() {} 1", "unknown b() {} 1"]);
}
