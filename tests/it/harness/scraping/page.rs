//! A metrics page.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::harness::{Connection, Runtime, source, until};

const OPENMETRICS: &str = "Accept: application/openmetrics-text;version=1.0.0";

/// On a busy machine, workers may be slow.
const UNHURRIED: &str = "X-Prometheus-Scrape-Timeout-Seconds: 60";

type Labels = BTreeMap<String, String>;

/// A page, by sample name.
#[derive(Clone, Debug, Default)]
pub struct Page {
    samples: BTreeMap<String, Vec<(Labels, f64)>>,
    types: BTreeMap<String, String>,
}

impl Page {
    /// Parses text 0.0.4 or OpenMetrics whose label values contain no quotes. Panics on a duplicate series.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                if let Some((name, kind)) = comment
                    .strip_prefix(" TYPE ")
                    .and_then(|rest| rest.split_once(' '))
                {
                    let before = page.types.insert(name.to_owned(), kind.to_owned());
                    assert_eq!(before, None, "{line}\n{text}");
                }
                continue;
            }
            // Exemplars are ignored.
            let line = line.split(" # ").next().unwrap();
            let (series, value) = match line.split_once("} ") {
                Some((series, rest)) => (series, rest),
                None => line.split_once(' ').unwrap_or_else(|| panic!("{line}")),
            };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels: Labels = labels.split_terminator("\",").map(pair).collect();
            let value = value.split(' ').next().unwrap();
            let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
            let there = page.samples.entry(name.to_owned()).or_default();
            let twice = there.iter().any(|(other, _)| *other == labels);
            assert!(!twice, "twice: {line}\n{text}");
            there.push((labels, value));
        }
        page
    }

    /// The values of all series of that name that have these labels, with all their labels.
    fn of<'a>(
        &'a self,
        name: &str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a (Labels, f64)> {
        let all = self.samples.get(name).into_iter().flatten();
        all.filter(|(found, _)| {
            labels
                .iter()
                .all(|(key, value)| found.get(*key).is_some_and(|found| found == value))
        })
    }

    pub fn has(&self, name: &str) -> bool {
        self.samples.contains_key(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(String::as_str)
    }

    /// The only series of that name that has these labels.
    #[track_caller]
    pub fn one(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found: Vec<_> = self.of(name, labels).collect();
        let [(_, value)] = *found else {
            panic!("{name} {labels:?}: {found:?}");
        };
        *value
    }

    /// The sum of the series of that name that have these labels; they are whole numbers.
    #[track_caller]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.of(name, labels).map(|(_, value)| whole(*value)).sum()
    }

    /// The series of that name by their label `worker`, which must be their only label.
    #[track_caller]
    pub fn by_worker(&self, name: &str) -> BTreeMap<u16, f64> {
        let series = self.of(name, &[]);
        series
            .map(|(labels, value)| {
                assert!(labels.keys().eq(["worker"]), "{name}: {labels:?}");
                (labels["worker"].parse().unwrap(), *value)
            })
            .collect()
    }

    /// A histogram of one series. Checks that its bounds and counts are sorted and that the last bucket counts
    /// everything. Returns its count.
    #[track_caller]
    pub fn histogram(&self, name: &str, bounds: &[f64]) -> u64 {
        let kind = self.types.get(name).map(String::as_str);
        assert_eq!(kind, Some("histogram"), "{name}");
        let buckets: Vec<(f64, u64)> = self
            .of(&format!("{name}_bucket"), &[])
            .map(|(labels, value)| {
                assert!(labels.keys().eq(["le"]), "{labels:?}");
                (labels["le"].parse().unwrap(), whole(*value))
            })
            .collect();
        let found = buckets.iter().map(|(bound, _)| bound);
        assert!(
            found.eq(bounds.iter().chain([&f64::INFINITY])),
            "{buckets:?}"
        );
        let counts: Vec<u64> = buckets.iter().map(|(_, count)| *count).collect();
        assert!(counts.is_sorted(), "{name}: {buckets:?}");
        let count = self.sum(&format!("{name}_count"), &[]);
        assert_eq!(counts.last(), Some(&count), "{name}: {buckets:?}");
        let sum = self.one(&format!("{name}_sum"), &[]);
        assert!(sum.is_finite() && sum >= 0.0, "{name}: {sum}");
        count
    }

    pub fn kind(&self, name: &str) -> Option<&str> {
        self.types.get(name).map(String::as_str)
    }

    /// Checks that no label contains a PID.
    #[track_caller]
    fn tells_no_pid(&self, runtime: &Runtime) {
        let alive = runtime.alive().into_iter();
        let pids: BTreeSet<String> = alive.map(|process| process.pid.to_string()).collect();
        for (name, series) in &self.samples {
            for (labels, _) in series {
                assert!(!labels.contains_key("pid"), "{name} {labels:?}");
                let told = labels.values().any(|value| pids.contains(value));
                assert!(!told, "{name} {labels:?}");
            }
        }
    }
}

fn pair(label: &str) -> (String, String) {
    let (key, value) = label
        .split_once("=\"")
        .unwrap_or_else(|| panic!("{label:?}"));
    (key.to_owned(), value.trim_end_matches('"').to_owned())
}

#[track_caller]
fn whole(value: f64) -> u64 {
    format!("{value}")
        .parse()
        .unwrap_or_else(|_| panic!("{value} is no whole number"))
}

/// The present page, after both of its forms have passed the strict parsers.
#[track_caller]
pub fn scrape(runtime: &Runtime) -> Page {
    let mut connection = Connection::open(runtime.admin()).unwrap();
    let text = connection.request("/metrics", &[UNHURRIED]).unwrap().text();
    let mut promtool = Command::new("promtool");
    let (code, said) = judged(promtool.args(["check", "metrics"]), &text);
    // Exit code 3 is about names, which the libraries choose.
    assert!([0, 3].contains(&code), "{said}\n{text}");
    let mut connection = Connection::open(runtime.admin()).unwrap();
    let open = connection.request("/metrics", &[OPENMETRICS, UNHURRIED]);
    let open = open.unwrap();
    let kind = open.header("content-type").unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let open = open.text();
    let program = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        print(sum(len(family.samples) for family in read(sys.stdin.read())))";
    let mut python = Command::new("python3");
    let packages = source("target/python");
    let (code, said) = judged(
        python.args(["-c", program]).env("PYTHONPATH", packages),
        &open,
    );
    assert_eq!(code, 0, "{said}\n{open}");
    let (page, open) = (Page::read(&text), Page::read(&open));
    let samples: usize = open.samples.values().map(Vec::len).sum();
    assert_eq!(said.trim().parse(), Ok(samples));
    // This is another moment: metrics that a library exports only sometimes may be in only one of the pages.
    let own = |page: &Page| -> Vec<String> {
        let names = page.names().filter(|name| name.starts_with("app_"));
        names.map(str::to_owned).collect()
    };
    assert_eq!(own(&page), own(&open));
    page.tells_no_pid(runtime);
    page
}

/// The page at some address, unchecked.
#[track_caller]
pub fn scrape_at(address: SocketAddr, path: &str) -> Page {
    let mut connection = Connection::open(address).unwrap();
    let headers = [UNHURRIED, "Connection: close"];
    Page::read(&connection.request(path, &headers).unwrap().text())
}

#[track_caller]
fn judged(judge: &mut Command, page: &str) -> (i32, String) {
    let mut judge = judge
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}; run scripts/test-deps"));
    let mut input = judge.stdin.take().unwrap();
    input.write_all(page.as_bytes()).unwrap();
    drop(input);
    let output = judge.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code().unwrap(), said)
}

/// Performs an action while the page is scraped repeatedly; `look` gets each page. At least two are scraped: one
/// requested before the action, and one after it.
#[track_caller]
pub fn while_scraped<T>(
    runtime: &Runtime,
    look: impl Fn(&Page) + Sync,
    action: impl FnOnce() -> T,
) -> T {
    let admin = runtime.admin();
    let over = AtomicBool::new(false);
    let taken = AtomicUsize::new(0);
    thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut last = false;
            while !last {
                last = over.load(Ordering::Acquire);
                look(&scrape_at(admin, "/metrics"));
                taken.fetch_add(1, Ordering::Release);
            }
        });
        until("the page is scraped", || {
            scraper.is_finished() || taken.load(Ordering::Acquire) > 0
        });
        let end = End(&over);
        let done = action();
        drop(end);
        if let Err(panic) = scraper.join() {
            std::panic::resume_unwind(panic);
        }
        done
    })
}

/// Ends a thread on drop, also if a test fails in the middle.
pub struct End<'a>(pub &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
