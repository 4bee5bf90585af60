//! Fuzzes the parser of prometheus_client's files: whatever they contain, the result must be valid pages; and such a
//! page, written as files and parsed again, must be the same.
//!
//! Input: the limits; then the files, each with two bytes for its content and its process, two for its length
//! (little-endian), and its bytes, with numbers in this machine's byte order.

use std::collections::BTreeMap;

use rpm_runtime::app_metrics::merge::{Merger, ProcessKey, Rules};
use rpm_runtime::app_metrics::multiproc::{Content, FileName, Mode, Pages, Reading, StoreLimits};
use rpm_runtime::exposition::{self, Dropped, Family, MetricType, Parsed, Suffix};
use rpm_runtime::model::SlotId;

/// Larger counts are not exact, and neither are their differences.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn small() -> StoreLimits {
    StoreLimits {
        files: 4,
        file_bytes: 512,
        bytes: 1024,
        entries: 12,
        page: exposition::PageLimits {
            series: 8,
            labels: 2,
            label_name: 6,
            label_value: 8,
            name: 16,
            help: 8,
            ..exposition::PageLimits::default()
        },
    }
}

pub fn run(data: &[u8]) {
    let [how, files @ ..] = data else {
        return;
    };
    let limits = match how & 1 {
        0 => StoreLimits::default(),
        _ => small(),
    };
    let reading = read(&split(files), limits);
    let mut merger = Merger::new(Rules::default());
    merger.suggest(reading.modes);
    for (pid, parsed) in reading.processes {
        let families = parsed.page.families;
        let samples = families.iter().map(|family| family.samples.len());
        // A histogram has at least a bucket and a sum in the file, and gets a count in addition.
        assert!(samples.sum::<usize>() <= limits.page.series * 3 / 2);
        let again = Parsed::of(families.clone());
        assert_eq!(again.dropped, Dropped::default());
        same(&again.page.families, &families);
        comes_back(&families);
        merger.take_child(
            SlotId(0),
            ProcessKey(1),
            ProcessKey(u64::from(pid)),
            again.page,
        );
        let all = Parsed::of(merger.merged());
        assert_eq!(all.dropped, Dropped::default());
    }
}

/// The files of the input; the last one may be cut.
fn split(mut data: &[u8]) -> Vec<(FileName, &[u8])> {
    let contents: Vec<Content> = Content::all().collect();
    let mut files = Vec::new();
    while let [content, pid, low, high, rest @ ..] = data {
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        let (bytes, next) = rest.split_at(len.min(rest.len()));
        let name = FileName {
            pid: u32::from(*pid),
            content: contents[usize::from(*content) % contents.len()],
        };
        files.push((name, bytes));
        data = next;
    }
    files
}

fn read(files: &[(FileName, &[u8])], limits: StoreLimits) -> Reading {
    let mut pages = Pages::new(limits);
    for (name, bytes) in files {
        pages.add(*name, bytes);
    }
    pages.finish()
}

/// Compares the text, because NaN does not equal itself.
fn same(one: &[Family], other: &[Family]) {
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

fn comes_back(families: &[Family]) {
    let mut files = BTreeMap::<FileName, Vec<u8>>::new();
    let families: Vec<Family> = families
        .iter()
        .filter(|one| is_exact(one))
        .cloned()
        .collect();
    for family in &families {
        let content = match family.kind {
            MetricType::Counter => Content::Counter,
            MetricType::Gauge => Content::Gauge(Mode::LiveAll),
            MetricType::Histogram => Content::Histogram,
            MetricType::Summary => Content::Summary,
            other => panic!("{other:?}"),
        };
        let file = files.entry(FileName { pid: 1, content });
        let file = file.or_insert_with(|| vec![0; 8]);
        let mut before = 0.0;
        for sample in &family.samples {
            let value = match sample.suffix {
                Suffix::Bucket => sample.value - before,
                _ => sample.value,
            };
            before = match sample.suffix {
                Suffix::Bucket => sample.value,
                _ => 0.0,
            };
            if (family.kind, sample.suffix) != (MetricType::Histogram, Suffix::Count) {
                let labels: BTreeMap<_, _> = sample.labels.iter().collect();
                let sample = format!("{}{}", family.name, sample.suffix.text());
                let key = match &family.help {
                    Some(help) => serde_json::to_vec(&(&family.name, sample, labels, help)),
                    None => serde_json::to_vec(&(&family.name, sample, labels)),
                };
                write(file, &key.unwrap(), value);
            }
        }
    }
    let files: Vec<_> = files
        .iter()
        .map(|(name, bytes)| (*name, &**bytes))
        .collect();
    let mut reading = read(&files, StoreLimits::default());
    assert_eq!(reading.unreadable, 0);
    let Some(parsed) = reading.processes.remove(&1) else {
        assert_eq!(families, []);
        return;
    };
    assert_eq!(parsed.dropped, Dropped::default(), "{families:?}");
    same(&parsed.page.families, &families);
}

/// Whether a file can represent the family exactly. Infinite sums are not kept.
fn is_exact(family: &Family) -> bool {
    let count = |suffix| {
        let of = family
            .samples
            .iter()
            .filter(|sample| sample.suffix == suffix);
        of.count()
    };
    let is_small = |value: f64| value < EXACT;
    let counts = family.kind == MetricType::Histogram;
    count(Suffix::Sum) == count(Suffix::Count)
        && !(counts && family.samples.iter().any(|sample| !is_small(sample.value)))
}

/// Appends an entry to a file.
fn write(file: &mut Vec<u8>, key: &[u8], value: f64) {
    file.extend(i32::try_from(key.len()).unwrap().to_ne_bytes());
    file.extend(key);
    file.push(b' ');
    while !file.len().is_multiple_of(8) {
        file.push(b' ');
    }
    file.extend(value.to_ne_bytes());
    file.extend(0.0_f64.to_ne_bytes());
    let used = i32::try_from(file.len()).unwrap();
    file[..4].copy_from_slice(&used.to_ne_bytes());
}
