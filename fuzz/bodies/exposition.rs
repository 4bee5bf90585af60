//! Fuzzes the parser of metrics pages and the merger: a page that was parsed, written and parsed again must be the
//! same, and the merge of many pages must be a valid page.
//!
//! Input: the format and the limits of the pages; then the pages, separated by 0xfe, from three workers in turn, some
//! of which end.

use std::collections::BTreeSet;
use std::fmt::Write;

use rpm_runtime::app_metrics::merge::{Merger, ProcessKey, Rules};
use rpm_runtime::exposition::{
    Dropped, Family, Format, MetricType, PageLimits, Parsed, Sample, parse,
};
use rpm_runtime::model::SlotId;

const SMALL: PageLimits = PageLimits {
    bytes: 4096,
    lines: 1000,
    series: 8,
    labels: 2,
    label_name: 6,
    label_value: 8,
    name: 16,
    help: 8,
};

pub fn run(data: &[u8]) {
    let [how, pages @ ..] = data else {
        return;
    };
    let format = match how & 1 {
        0 => Format::Text,
        _ => Format::OpenMetrics,
    };
    let limits = match how & 2 {
        0 => PageLimits::default(),
        _ => SMALL,
    };
    let rules = match how & 4 {
        0 => Rules::default(),
        _ => Rules {
            worker_series: 16,
            series: 32,
            bytes: 16 * 1024,
            ..Rules::default()
        },
    };
    let (most, room) = (rules.series, rules.bytes);
    let mut merger = Merger::new(rules);
    for (turn, page) in (0_u16..).zip(pages.split(|byte| *byte == 0xfe)) {
        let Ok(parsed) = parse(page, format, &limits) else {
            continue;
        };
        // The families are sorted already.
        same(&good(&parsed.page.families), &parsed.page.families);
        comes_back(&parsed.page.families, format);

        let process = ProcessKey(u64::from(turn % 3 + turn / 12 * 3));
        if turn % 12 == 11 {
            merger.process_ended(process);
        } else {
            merger.take(SlotId(turn % 2), process, parsed.page);
        }
        let all = good(&merger.merged());
        comes_back(&as_open_metrics(all), Format::OpenMetrics);
        assert!(merger.series() <= most && merger.bytes() <= room);
    }
}

/// Checks that each name and each series occurs once and that every histogram is complete. Returns the families sorted
/// as on a page.
fn good(families: &[Family]) -> Vec<Family> {
    let mut names = BTreeSet::new();
    for family in families {
        let name = family.text_name().into_owned();
        assert!(names.last().is_none_or(|last| *last < name), "{name}");
        names.insert(name);
    }
    let again = Parsed::of(families.to_vec());
    assert_eq!(again.dropped, Dropped::default());
    again.page.families
}

/// Compares the text, because NaN does not equal itself.
fn same(one: &[Family], other: &[Family]) {
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

fn comes_back(families: &[Family], format: Format) {
    let written = write(families, format);
    let again = match parse(written.as_bytes(), format, &PageLimits::default()) {
        Ok(again) => again,
        Err(refused) => panic!("{refused}: {written}"),
    };
    assert_eq!(again.dropped, Dropped::default(), "{written}");
    same(&again.page.families, families);
}

/// In OpenMetrics, a counter has `_total`.
fn as_open_metrics(mut families: Vec<Family>) -> Vec<Family> {
    for family in &mut families {
        if family.kind == MetricType::Counter && family.text_name() == *family.name {
            family.kind = MetricType::Unknown;
        }
        for sample in &mut family.samples {
            if family.kind == MetricType::Unknown {
                sample.exemplar = None;
            }
        }
    }
    families
}

/// A minimal writer of pages.
fn write(families: &[Family], format: Format) -> String {
    let mut out = String::new();
    for family in families {
        let (kind, declared) = match format {
            Format::Text => (text_kind(family.kind), family.text_name()),
            Format::OpenMetrics => (
                format!("{:?}", family.kind).to_lowercase(),
                (&*family.name).into(),
            ),
        };
        if let Some(help) = &family.help {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            writeln!(out, "# HELP {declared} {help}").unwrap();
        }
        if let Some(unit) = &family.unit {
            writeln!(out, "# UNIT {declared} {unit}").unwrap();
        }
        writeln!(out, "# TYPE {declared} {kind}").unwrap();
        for sample in &family.samples {
            line(&mut out, &family.name, sample);
        }
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn line(out: &mut String, name: &str, sample: &Sample) {
    let (suffix, labels) = (sample.suffix.text(), sample.labels.as_str());
    write!(out, "{name}{suffix}{{{labels}}} {}", sample.value).unwrap();
    if let Some(exemplar) = &sample.exemplar {
        let labels = exemplar.labels.as_str();
        write!(out, " # {{{labels}}} {}", exemplar.value).unwrap();
        if let Some(time) = exemplar.timestamp {
            write!(out, " {time}").unwrap();
        }
    }
    out.push('\n');
}

fn text_kind(kind: MetricType) -> String {
    match kind {
        MetricType::Unknown => "untyped".to_owned(),
        kind => format!("{kind:?}").to_lowercase(),
    }
}
