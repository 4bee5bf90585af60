//! docs/metrics.md describes exactly the metrics that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::exposition::{MetricType, Page};

use super::{facts, full};

/// Type and labels, by name.
type Rows = BTreeMap<String, (String, BTreeSet<String>)>;

/// The families as in text 0.0.4. The label of a bucket belongs to the format, not to the metric.
fn on(page: &Page) -> Rows {
    let row = |kind, labels| (String::from(kind), labels);
    let families = page.families.iter().map(|family| {
        let kind = match family.kind {
            MetricType::Counter => "counter",
            MetricType::Histogram => "histogram",
            MetricType::Gauge | MetricType::Info => "gauge",
            other => panic!("{other:?}"),
        };
        let labels = family
            .samples
            .iter()
            .flat_map(|sample| sample.labels.iter());
        let labels = labels.map(|(name, _)| name.to_owned());
        let labels = labels.filter(|name| name != "le").collect();
        (family.text_name().into_owned(), row(kind, labels))
    });
    families.collect()
}

/// The text between backticks.
fn quoted(cell: &str) -> Vec<String> {
    let parts = cell.split('`').skip(1).step_by(2);
    parts.map(str::to_owned).collect()
}

#[test]
fn the_page_of_the_docs_has_every_family_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/metrics.md")).unwrap();
    let mut told = Rows::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning, _worry] = cells[..] else {
            panic!("{line}");
        };
        assert!(!meaning.is_empty(), "{line}");
        let row = (kind.to_owned(), quoted(labels).into_iter().collect());
        let names = quoted(name);
        assert_eq!(names.len(), 1, "{line}");
        assert_eq!(told.insert(names[0].clone(), row), None, "{line}");
    }
    // Every possible limit of a process, and a process that has none.
    let proc = std::env::temp_dir().join(format!("rpm-metrics-docs-{}", std::process::id()));
    fs::create_dir_all(proc.join("self")).unwrap();
    let limits = "Max open files            1024                 4096                 files     \n\
                  Max address space         1073741824           unlimited            bytes     \n";
    fs::write(proc.join("self/limits"), limits).unwrap();
    let mut there = on(&full(facts(&proc)));
    fs::remove_dir_all(&proc).unwrap();
    there.extend(on(&full(facts("/proc"))));
    assert_eq!(told, there);
}
