//! A separate Prometheus from Debian's package.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{self, http_get, scratch};

/// Scrapes every second, with a timeout of a second.
pub struct Prometheus {
    server: harness::Prometheus,
    directory: PathBuf,
}

/// One sample of a series: time in milliseconds, and value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub at: u64,
    pub value: f64,
}

impl Point {
    fn of(pair: &Value) -> Self {
        let seconds = pair[0].as_f64().unwrap();
        let milliseconds = format!("{:.0}", seconds * 1000.0);
        Self {
            at: milliseconds.parse().unwrap(),
            value: pair[1].as_str().unwrap().parse().unwrap(),
        }
    }
}

impl Prometheus {
    /// Jobs by name.
    pub fn start(jobs: &[(&str, SocketAddr)]) -> Self {
        let directory = scratch("prometheus");
        let mut config =
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
        for (name, target) in jobs {
            writeln!(
                config,
                "- {{job_name: {name}, static_configs: [{{targets: ['{target}']}}]}}"
            )
            .unwrap();
        }
        let server = harness::Prometheus::start(&directory, &config);
        Self { server, directory }
    }

    /// The complete result of a query, at a time in milliseconds or now.
    #[track_caller]
    fn ask(&self, query: &str, at: Option<u64>) -> Vec<Value> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in query.bytes() {
            write!(path, "%{byte:02X}").unwrap();
        }
        if let Some(at) = at {
            write!(path, "&time={}.{:03}", at / 1000, at % 1000).unwrap();
        }
        let answer = http_get(self.server.addr, &path).unwrap().json();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// The series in the result of a query at that time, with their values.
    #[track_caller]
    pub fn all(&self, query: &str, at: u64) -> Vec<(Value, f64)> {
        let found = self.ask(query, Some(at)).into_iter();
        found
            .map(|one| (one["metric"].clone(), Point::of(&one["value"]).value))
            .collect()
    }

    /// The single value in the result of a query at that time.
    #[track_caller]
    pub fn one(&self, query: &str, at: u64) -> f64 {
        let found = self.all(query, at);
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        found[0].1
    }

    /// Every sample of the single series that a selector finds, from the last hour.
    #[track_caller]
    pub fn samples(&self, selector: &str) -> Vec<Point> {
        let found = self.ask(&format!("{selector}[1h]"), None);
        assert_eq!(found.len(), 1, "{selector}: {found:?}");
        let points = found[0]["values"].as_array().unwrap();
        points.iter().map(Point::of).collect()
    }

    /// Its own metrics.
    pub fn page(&self) -> String {
        http_get(self.server.addr, "/metrics").unwrap().text()
    }

    /// Lines of its log above the level of information.
    pub fn complaints(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.join("log")).unwrap();
        let lines = log
            .lines()
            .filter(|line| line.contains("level=warn") || line.contains("level=error"));
        lines.map(str::to_owned).collect()
    }
}
