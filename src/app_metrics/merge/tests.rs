mod bounds;
mod conflicts;
mod counters;
mod gauges;
mod histograms;
mod pattern;
mod program;
mod walk;

use super::{Conflict, Merger, Pattern, ProcessKey, Rules};
use crate::exposition::{Family, Format, Page, PageLimits, parse};
use crate::model::SlotId;

/// A page in text 0.0.4 with only valid lines.
fn page(text: &str) -> Page {
    let parsed = parse(text.as_bytes(), Format::Text, &PageLimits::default()).unwrap();
    assert_eq!(parsed.dropped.invalid + parsed.dropped.limit, 0, "{text}");
    parsed.page
}

/// An OpenMetrics page, given without its end.
fn open(text: &str) -> Page {
    let text = format!("{text}# EOF\n");
    let parsed = parse(text.as_bytes(), Format::OpenMetrics, &PageLimits::default()).unwrap();
    assert_eq!(parsed.dropped.invalid + parsed.dropped.limit, 0, "{text}");
    parsed.page
}

fn merger() -> Merger {
    Merger::new(Rules::default())
}

/// A merger with these rules for gauges, by pattern.
fn with(rules: &[(&str, super::Aggregation)]) -> Merger {
    let rule = |(pattern, aggregation): &(&str, _)| (Pattern::new(pattern).unwrap(), *aggregation);
    Merger::new(Rules {
        gauges: rules.iter().map(rule).collect(),
        ..Rules::default()
    })
}

/// Takes `page` as the answer of the worker `process` of `slot`.
fn take(merger: &mut Merger, slot: u16, process: u64, page: Page) -> Vec<Conflict> {
    merger.take(SlotId(slot), ProcessKey(process), page)
}

/// Every sample as in text 0.0.4, without exemplars.
fn lines(families: &[Family]) -> Vec<String> {
    let mut lines = Vec::new();
    for family in families {
        for sample in &family.samples {
            let (name, suffix, labels) = (&family.name, sample.suffix.text(), &sample.labels);
            let labels = match labels.as_str() {
                "" => String::new(),
                labels => format!("{{{labels}}}"),
            };
            lines.push(format!("{name}{suffix}{labels} {}", sample.value));
        }
    }
    lines
}

#[track_caller]
fn is(merger: &Merger, want: &[&str]) {
    assert_eq!(lines(&merger.merged()), want);
}
