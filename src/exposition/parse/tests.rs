mod formats;
mod limits;
mod lines;
mod write;

use super::{PageLimits, ParseError, Parsed, parse};
use crate::exposition::Format;

/// Parses a page in text 0.0.4.
fn text(page: &str) -> Parsed {
    parse(page.as_bytes(), Format::Text, &PageLimits::default()).unwrap()
}

/// Parses an OpenMetrics page, given without its end.
fn open(page: &str) -> Parsed {
    let page = format!("{page}# EOF\n");
    parse(page.as_bytes(), Format::OpenMetrics, &PageLimits::default()).unwrap()
}

fn refused(page: &[u8], format: Format) -> ParseError {
    parse(page, format, &PageLimits::default()).unwrap_err()
}

/// A parsed page as one line for each sample, in order: kind, name with suffix, labels, value; then what was dropped.
fn seen(parsed: &Parsed) -> Vec<String> {
    let mut seen = Vec::new();
    for family in &parsed.page.families {
        for sample in &family.samples {
            let kind = format!("{:?}", family.kind).to_lowercase();
            let suffix = sample.suffix.text();
            let name = &family.name;
            let labels = &sample.labels;
            seen.push(format!(
                "{kind} {name}({suffix}) {labels:?} {}",
                sample.value
            ));
        }
    }
    let dropped = parsed.dropped;
    if dropped.limit > 0 {
        seen.push(format!("limit {}", dropped.limit));
    }
    if dropped.invalid > 0 {
        seen.push(format!("invalid {}", dropped.invalid));
    }
    seen
}

#[track_caller]
fn is(parsed: &Parsed, want: &[&str]) {
    assert_eq!(seen(parsed), want);
}
