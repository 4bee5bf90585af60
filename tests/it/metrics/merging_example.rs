//! The example in docs/application-metrics.md matches the merger.

use std::fs;
use std::path::Path;

use rpm_runtime::app_metrics::merge::{Aggregation, Merger, Pattern, ProcessKey, Rules};
use rpm_runtime::exposition::render::render;
use rpm_runtime::exposition::{Dropped, Format, PageLimits, parse};
use rpm_runtime::model::SlotId;

/// The text of the code block after `<!-- mark -->`.
fn block<'a>(page: &'a str, mark: &str) -> &'a str {
    let mark = format!("<!-- {mark} -->\n```\n");
    let (_, rest) = page.split_once(&mark).unwrap();
    let end = rest.find("```").unwrap();
    &rest[..end]
}

fn page() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/application-metrics.md");
    fs::read_to_string(file).unwrap()
}

fn merged(merger: &Merger) -> String {
    let mut out = Vec::new();
    render(&merger.merged(), Format::Text, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_pages_of_the_manual_are_merged_as_it_says() {
    let page = page();
    let mut merger = Merger::new(Rules {
        gauges: vec![(Pattern::new("*_length").unwrap(), Aggregation::Sum)],
        ..Rules::default()
    });
    assert!(page.contains("`RPM_APP_METRICS_GAUGES=*_length=sum`"));
    for slot in 0..2 {
        let text = block(&page, &format!("worker {slot}"));
        let parsed = parse(text.as_bytes(), Format::Text, &PageLimits::default()).unwrap();
        assert_eq!(parsed.dropped, Dropped::default());
        merger.take(SlotId(slot), ProcessKey(slot.into()), parsed.page);
    }
    assert_eq!(merged(&merger), block(&page, "merged"));

    // The sentence below the example.
    merger.process_ended(ProcessKey(0));
    let new = b"# TYPE app_requests_total counter\napp_requests_total{code=\"200\"} 0\n\
                # TYPE app_heap_bytes gauge\napp_heap_bytes 10\n";
    let parsed = parse(new, Format::Text, &PageLimits::default()).unwrap();
    merger.take(SlotId(0), ProcessKey(2), parsed.page);
    let now = merged(&merger);
    assert!(
        now.contains("app_requests_total{code=\"200\"} 200\n"),
        "{now}"
    );
    assert!(now.contains("app_heap_bytes{worker=\"0\"} 10\n"), "{now}");
}

#[test]
fn the_limits_of_the_manual_are_those_of_the_code() {
    let page = page();
    let (_, table) = page.split_once("\n## Limits\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let thousands = |number: usize| {
        let text = number.to_string();
        match text.len() {
            ..=4 => text,
            long => format!("{} {}", &text[..long - 3], &text[long - 3..]),
        }
    };
    let (limits, rules) = (PageLimits::default(), Rules::default());
    assert_eq!(limits.series, rules.worker_series);
    for (what, figure) in [
        ("one worker's page", format!("{} MiB", limits.bytes >> 20)),
        ("series of one worker", thousands(rules.worker_series)),
        ("series in all", thousands(rules.series)),
        ("memory for them", format!("{} MiB", rules.bytes >> 20)),
        ("labels of a series", thousands(limits.labels)),
        (
            "a label's name, its value",
            format!("{} bytes, {} bytes", limits.label_name, limits.label_value),
        ),
        ("a metric's name", format!("{} bytes", limits.name)),
        ("a help text", format!("{} bytes", limits.help)),
    ] {
        let rows = || {
            table
                .lines()
                .filter(|line| line.starts_with(&format!("| {what}")))
        };
        assert_eq!(rows().count(), 1, "{what}");
        assert!(
            rows().all(|row| row.contains(&format!("| {figure}"))),
            "{what}: {figure}"
        );
    }
}
