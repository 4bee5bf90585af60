//! Metrics pages and their strict parsers.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{Connection, Reply, Runtime, source};

/// The series of a page with their values.
pub fn series(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// The type of each family.
pub fn types(page: &str) -> BTreeMap<String, String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// The series that never decrease: counters, and histograms with their buckets, sums and counts.
pub fn counters(page: &str) -> BTreeMap<String, f64> {
    let types = types(page);
    let counts = |series: &str| {
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| {
                name.strip_suffix(end)
                    .filter(|name| types.contains_key(*name))
            })
            .unwrap_or(name);
        matches!(
            types.get(family).map(String::as_str),
            Some("counter" | "histogram")
        )
    };
    let all = series(page).into_iter();
    all.filter(|(series, _)| counts(series)).collect()
}

/// Runs a program on `page` and returns its output. Panics if the program reports an error.
#[track_caller]
fn judged(program: &mut Command, page: &str) -> String {
    let mut judge = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = judge.stdin.take().unwrap();
    stdin.write_all(page.as_bytes()).unwrap();
    drop(stdin);
    let output = judge.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}\n{page}");
    said
}

/// A header that requests OpenMetrics.
pub const OPENMETRICS: &str = "Accept: application/openmetrics-text;version=1.0.0";

/// The present page. It has passed `promtool check metrics`, and its OpenMetrics form the strict parser of
/// prometheus_client.
#[track_caller]
pub fn page(runtime: &Runtime) -> String {
    let page = runtime.get("/metrics").text();
    let mut promtool = Command::new("promtool");
    let said = judged(promtool.args(["check", "metrics"]), &page);
    assert_eq!(said, "");
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    // promtool does not detect duplicate series.
    assert_eq!(lines.count(), series(&page).len(), "{page}");
    let open = ask(runtime, "/metrics", &[OPENMETRICS]).text();
    let program = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        print(sum(len(family.samples) for family in read(sys.stdin.read())))";
    let mut python = Command::new("python3");
    let packages = source("target/python");
    let said = judged(
        python.args(["-c", program]).env("PYTHONPATH", packages),
        &open,
    );
    let names = series(&open);
    assert_eq!(said.trim().parse(), Ok(names.len()), "{open}");
    assert!(types(&open).len() == types(&page).len(), "{open}\n{page}");
    page
}

/// Requests a path with headers.
#[track_caller]
pub fn ask(runtime: &Runtime, path: &str, headers: &[&str]) -> Reply {
    let mut connection = Connection::open(runtime.admin()).unwrap();
    connection.request(path, headers).unwrap()
}
