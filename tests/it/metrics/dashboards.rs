//! The alert rules and the dashboard, checked with promtool and with a real Prometheus that has scraped a real runtime.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use crate::harness::{
    self, Runtime, Signal, example, free_port, http_get, scratch, source, until, until_some,
};
use serde_json::Value;

const RULES: &str = "charts/rpm-runtime/alerts/rpm-runtime.rules.yaml";
const DASHBOARD: &str = "charts/rpm-runtime/dashboards/rpm-runtime.json";
const CASES: &str = "tests/fixtures/alerts";
const RUNBOOKS: &str = "https://github.com/rpm-runtime/rpm-runtime/blob/main/docs/metrics.md#";

#[track_caller]
fn promtool(words: &[&str]) {
    let mut promtool = Command::new("promtool");
    let output = promtool
        .args(words)
        .current_dir(source(""))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
}

/// The values of `key:` in the rules, in order.
fn rules(key: &str) -> Vec<String> {
    let text = fs::read_to_string(source(RULES)).unwrap();
    let lines = text
        .lines()
        .map(|line| line.trim_start().trim_start_matches("- "));
    let found = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    found.map(str::to_owned).collect()
}

#[test]
fn the_rules_are_what_prometheus_takes() {
    promtool(&["check", "rules", RULES]);
}

#[test]
fn each_alert_is_raised_when_it_should_be_and_only_then() {
    let alerts = rules("alert");
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(source(CASES)).unwrap() {
        files.insert(entry.unwrap().file_name().into_string().unwrap());
    }
    let wanted = alerts.iter().map(|alert| format!("{alert}.yaml")).collect();
    assert_eq!(files, wanted);
    for alert in &alerts {
        let path = format!("{CASES}/{alert}.yaml");
        let text = fs::read_to_string(source(&path)).unwrap();
        assert!(text.contains(RULES), "{path}");
        let looks: Vec<&str> = text.split("- eval_time: ").skip(1).collect();
        let of_it = format!("alertname: {alert}\n");
        assert!(looks.iter().all(|look| look.contains(&of_it)), "{path}");
        let raised = |look: &&&str| look.contains("exp_labels:");
        let silent = |look: &&&str| look.contains("exp_alerts: []");
        assert!(looks.iter().any(|look| raised(&look)), "{path}");
        let last = looks.last().unwrap();
        assert!(
            silent(&last),
            "the case without an alert is the last: {path}"
        );
        promtool(&["test", "rules", &path]);
    }
}

#[test]
fn each_alert_has_its_section_in_the_docs() {
    let alerts = rules("alert");
    assert!(alerts.len() > 8, "{alerts:?}");
    let urls = rules("runbook_url");
    let wanted: Vec<String> = alerts
        .iter()
        .map(|alert| format!("{RUNBOOKS}{}", alert.to_lowercase()))
        .collect();
    assert_eq!(urls, wanted);
    let docs = fs::read_to_string(source("docs/metrics.md")).unwrap();
    let (_, section) = docs.split_once("\n## Alerts\n").unwrap();
    let headings: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    assert_eq!(headings, alerts);
}

/// What a query refers to.
#[derive(Debug, Default, PartialEq)]
struct Used {
    /// Each as written, with its matchers.
    selectors: Vec<String>,
    /// The labels by which it groups and joins.
    labels: Vec<String>,
}

fn used(query: &str) -> Used {
    let mut used = Used::default();
    let mut rest = query;
    let word_end = |text: &str| {
        let other = |letter: char| !letter.is_ascii_alphanumeric() && !"_:".contains(letter);
        text.find(other).unwrap_or(text.len())
    };
    while let Some(first) = rest.chars().next() {
        if !first.is_ascii_alphanumeric() && first != '_' {
            let end = match first {
                '[' => rest.find(']').unwrap(),
                '"' => rest[1..].find('"').unwrap() + 1,
                _ => 0,
            };
            rest = &rest[end + first.len_utf8()..];
            continue;
        }
        let (word, behind) = rest.split_at(word_end(rest));
        rest = behind.trim_start();
        let follows = &rest[..word_end(rest)];
        if ["by", "without", "on", "ignoring"].contains(&word) {
            let end = rest.find(')').unwrap();
            let names = rest[1..end].split(',').map(str::trim);
            used.labels.extend(names.map(str::to_owned));
            rest = &rest[end..];
        } else if first.is_ascii_digit()
            || rest.starts_with('(')
            || ["by", "without"].contains(&follows)
            || ["and", "or", "unless"].contains(&word)
        {
            // A number, a function, an aggregation, an operator.
        } else if rest.starts_with('{') {
            // No value here contains a brace.
            let end = rest.find('}').unwrap() + 1;
            used.selectors.push(format!("{word}{}", &rest[..end]));
            rest = &rest[end..];
        } else {
            used.selectors.push(word.to_owned());
        }
    }
    used
}

#[test]
fn queries_are_taken_apart() {
    let table: [(&str, &[&str], &[&str]); 5] = [
        ("rpm_ready == 0", &["rpm_ready"], &[]),
        ("time() - max(a{b=\"c (d\"})", &["a{b=\"c (d\"}"], &[]),
        (
            "sum by (x, y) (rate(a[5m])) / on (z) b * 1e3",
            &["a", "b"],
            &["x", "y", "z"],
        ),
        (
            "sum without(x)(a) + histogram_quantile(0.5, b) > 0.25 or c",
            &["a", "b", "c"],
            &["x"],
        ),
        ("sum(a) by (x) unless \"abc\"", &["a"], &["x"]),
    ];
    for (query, selectors, labels) in table {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let wanted = Used {
            selectors: owned(selectors),
            labels: owned(labels),
        };
        assert_eq!(used(query), wanted, "{query}");
    }
}

/// A separate Prometheus that scrapes one runtime.
struct Prometheus(harness::Prometheus);

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        let directory = scratch("prometheus");
        let config = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
             rule_files: ['{}']\n\
             scrape_configs: [{{job_name: rpm, static_configs: [{{targets: ['{target}']}}]}}]\n",
            source(RULES).display()
        );
        Self(harness::Prometheus::start(&directory, &config))
    }

    #[track_caller]
    fn ask(&self, path: &str) -> Value {
        let reply = http_get(self.0.addr, path).unwrap();
        let answer = reply.json();
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// The label sets of the series in the present result of a query.
    #[track_caller]
    fn query(&self, query: &str) -> Vec<Value> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in query.bytes() {
            write!(path, "%{byte:02X}").unwrap();
        }
        let data = self.ask(&path);
        let found = data["result"].as_array().unwrap().iter();
        found.map(|series| series["metric"].clone()).collect()
    }
}

/// Absent if there is no limit.
fn may_be_absent(query: &str) -> bool {
    query.contains("rpm_cgroup_")
}

/// Checks that everything to which a query refers exists: every series that it selects, and every label by which it
/// groups.
#[track_caller]
fn is_known(prometheus: &Prometheus, query: &str) {
    let used = used(query);
    assert!(!used.selectors.is_empty(), "{query}");
    let mut labels = BTreeSet::new();
    let docs = fs::read_to_string(source("docs/metrics.md")).unwrap();
    for selector in &used.selectors {
        let found = prometheus.query(selector);
        let family = selector.split('{').next().unwrap();
        if found.is_empty() {
            let row = format!("\n| `{family}` |");
            assert!(docs.contains(&row), "{family}: {query}");
        }
        let ours = family.starts_with("rpm_");
        assert!(ours, "{family}: {query}");
        assert!(
            !found.is_empty() || may_be_absent(selector),
            "{selector}: {query}"
        );
        for series in found {
            labels.extend(series.as_object().unwrap().keys().cloned());
        }
    }
    for label in used.labels {
        assert!(
            labels.contains(&label) || may_be_absent(query),
            "{label}: {query}"
        );
    }
}

/// A query of the dashboard as Grafana sends it, with every variable set to All.
#[track_caller]
fn filled(query: &str) -> String {
    let mut query = query.replace("$__rate_interval", "1m");
    for variable in ["namespace", "job", "instance"] {
        query = query.replace(&format!("\"${variable}\""), "\".*\"");
    }
    assert!(!query.contains('$'), "{query}");
    query
}

#[track_caller]
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    let found = value[key].as_str();
    found.unwrap_or_else(|| panic!("no {key}: {value}"))
}

#[test]
fn every_query_finds_what_it_asks_for() {
    let runtime = Runtime::builder()
        .env("PORT", free_port().to_string())
        .env("RPM_INSTANCES", "2")
        .env("RPM_BACKOFF_MIN", "10ms")
        .env("RPM_MAX_MEMORY", "1G")
        .env("RPM_APP_METRICS", "/metrics")
        // Arrivals are counted where they are followed.
        .env("RPM_BALANCE", "least")
        // Metrics of the channel exist where workers have one.
        .env("RPM_NODE", "on")
        .arg(example("echo_server"))
        .start();
    runtime.wait_for_status("/startupz", 200);
    // Metrics about exits exist after the first exit.
    for worker in runtime.workers() {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker.pid), Signal::SIGKILL).unwrap();
    }
    runtime.wait_for_lines(2, |line| line.contains("worker ended"));
    runtime.wait_for_lines(4, |line| line.contains("worker ready"));
    let prometheus = Prometheus::start(runtime.admin());
    // A rate needs two scrapes.
    until("it was scraped twice", || {
        !prometheus.query("rate(rpm_log_lines_total[1m])").is_empty()
    });
    assert_eq!(prometheus.query("up == 1").len(), 1);
    // The program's metrics are scraped too, with success.
    let program = "rpm_metrics_worker_scrape_success == 1 and on (job) echo_requests_total";
    assert_eq!(prometheus.query(program).len(), 2);

    let groups = prometheus.ask("/api/v1/rules");
    let groups = groups["groups"].as_array().unwrap();
    let alerts: Vec<&Value> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    let names: Vec<&str> = alerts.iter().map(|alert| text(alert, "name")).collect();
    assert_eq!(names, rules("alert"));
    for alert in alerts {
        prometheus.query(text(alert, "query"));
        is_known(&prometheus, text(alert, "query"));
        assert!(["critical", "warning"].contains(&text(&alert["labels"], "severity")));
        for key in ["summary", "description", "runbook_url"] {
            assert!(!text(&alert["annotations"], key).is_empty());
        }
    }

    let dashboard: Value = serde_json::from_slice(&fs::read(source(DASHBOARD)).unwrap()).unwrap();
    let mut panels = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        if panel["type"] == "row" {
            continue;
        }
        panels += 1;
        let title = text(panel, "title");
        assert!(!text(panel, "description").is_empty(), "{title}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let query = filled(text(target, "expr"));
            is_known(&prometheus, &query);
            let shown = prometheus.query(&query);
            let Some(first) = shown.first() else {
                assert!(may_be_absent(&query), "{title}: nothing to show: {query}");
                continue;
            };
            let legend = text(target, "legendFormat");
            for part in legend.split("{{").skip(1) {
                let label = part.split("}}").next().unwrap();
                assert!(first[label].is_string(), "{title}: {label}: {first}");
            }
        }
    }
    assert!(panels > 45, "{panels}");
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        if let Some(query) = annotation["expr"].as_str() {
            is_known(&prometheus, &filled(query));
            prometheus.query(&filled(query));
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variable_names: Vec<&str> = variables
        .iter()
        .map(|variable| text(variable, "name"))
        .collect();
    assert_eq!(
        variable_names,
        ["datasource", "namespace", "job", "instance"]
    );
    for variable in &variables[1..] {
        let query = text(&variable["query"], "query");
        let inner = query
            .strip_prefix("label_values(")
            .and_then(|query| query.strip_suffix(')'));
        let (selector, label) = inner.unwrap().rsplit_once(", ").unwrap();
        let found = until_some(query, || prometheus.query(&filled(selector)).pop());
        assert_eq!(label, text(variable, "name"));
        // Only the service discovery of Kubernetes knows namespaces.
        assert!(
            found[label].is_string() || label == "namespace",
            "{query}: {found}"
        );
    }
}
