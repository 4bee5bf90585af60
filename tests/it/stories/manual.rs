//! The programs in docs/application-metrics.md, unchanged except for their ports: each does what the page says.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use crate::harness::scraping::{go_program, python_packages, scrape, serving};
use crate::harness::shared_port::{stop, v4};
use crate::harness::{Runtime, free_port, http_get, nodes, scratch, source};

const WORKERS: u16 = 2;

/// One section of the page, with free ports.
struct Section {
    text: String,
    port: u16,
    directory: PathBuf,
}

impl Section {
    #[track_caller]
    fn read(title: &str) -> Self {
        let page = fs::read_to_string(source("docs/application-metrics.md")).unwrap();
        let (_, rest) = page.split_once(&format!("\n### {title}\n")).unwrap();
        let end = rest.find("\n### ").unwrap();
        let port = free_port();
        let text = rest[..end]
            .replace("3000", &port.to_string())
            .replace("9100", &free_port().to_string());
        Self {
            text,
            port,
            directory: scratch("manual"),
        }
    }

    /// Its only program.
    #[track_caller]
    fn program(&self, language: &str) -> &str {
        let (before, rest) = self.text.split_once(&format!("```{language}\n")).unwrap();
        let (program, rest) = rest.split_once("```\n").unwrap();
        assert!(!before.contains("```") && !rest.contains("```"));
        program
    }

    #[track_caller]
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The last value of RPM_APP_METRICS in the section.
    #[track_caller]
    fn app_metrics(&self) -> &str {
        let (_, rest) = self.text.rsplit_once("`RPM_APP_METRICS=").unwrap();
        rest.split_once('`').unwrap().0
    }

    /// Two workers of it; their answers are compared with the page.
    #[track_caller]
    fn holds(&self, command: impl IntoIterator<Item = impl Into<OsString>>, counter: Option<&str>) {
        let builder = Runtime::builder()
            .env("RPM_INSTANCES", WORKERS.to_string())
            .env("RPM_READY", "listen")
            .env("RPM_APP_METRICS", self.app_metrics())
            .env("RPM_STOP_TIMEOUT", "30s")
            .env("NODE_PATH", nodes::packages())
            .env("PYTHONPATH", python_packages())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .directory(&self.directory)
            .program(command);
        let runtime = serving(builder, WORKERS);
        for _ in 0..30 {
            let reply = http_get(v4(self.port), "/").unwrap();
            if counter.is_some() {
                assert_eq!((reply.status, &*reply.text()), (200, "hello\n"));
            }
        }
        let page = scrape(&runtime);
        if let Some(counter) = counter {
            assert_eq!(page.sum(counter, &[]), 30);
        }
        assert!(page.names().any(|name| !name.starts_with("rpm_")));
        let success = page.by_worker("rpm_metrics_worker_scrape_success");
        assert!(success.keys().copied().eq(0..WORKERS), "{success:?}");
        assert!(success.values().all(|ok| *ok > 0.5), "{success:?}");
        stop(runtime);
    }
}

const COUNTER: Option<&str> = Some("app_requests_total");

#[test]
fn node() {
    let section = Section::read("Node, with prom-client");
    let file = section.write("server.js", section.program("js"));
    section.holds([OsString::from("node"), file.into()], COUNTER);
}

#[test]
fn python() {
    let section = Section::read("Python, with prometheus_client");
    let file = section.write("server.py", section.program("python"));
    section.holds([OsString::from("/usr/bin/python3"), file.into()], COUNTER);
}

/// Started by the command in its first line.
#[test]
fn python_with_files() {
    let section = Section::read("Python, with files");
    let program = section.program("python");
    section.write("app.py", program);
    let first = program.lines().next().unwrap();
    let (_, command) = first.split_once("for: ").unwrap();
    section.holds(command.split(' '), COUNTER);
}

/// The relevant part of a program, inside a minimal program.
#[test]
fn go() {
    let section = Section::read("Go");
    let text = format!(
        "package main\n\nimport (\n\t\"log\"\n\t\"net/http\"\n\n\
         \t\"github.com/prometheus/client_golang/prometheus/promhttp\"\n)\n\nfunc main() {{\n{}}}\n",
        section.program("go")
    );
    let file = section.write("main.go", &text);
    section.holds([go_program(&file, &section.directory)], None);
}
