//! The example programs with metrics of their own; all have the same metrics.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::harness::shared_port::{v4, wait_ready, wait_rotation};
use crate::harness::status::ask_slot;
use crate::harness::{
    Builder, Connection, Runtime, free_port, go_build, http_get, nodes, scratch, source,
};

/// Number of workers, unless a test says otherwise.
pub const WORKERS: u16 = 4;

/// An unmodified program on a port of its own, and where it exports its metrics.
pub struct Server {
    pub port: u16,
    words: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    /// The port with the worker's own page; `None`: it has no page.
    metrics: Option<u16>,
    /// The value of RPM_APP_METRICS.
    app_metrics: String,
}

impl Server {
    fn new(words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let port = free_port();
        Self {
            port,
            words: words.into_iter().map(Into::into).collect(),
            variables: Vec::new(),
            metrics: Some(port),
            app_metrics: "/metrics".to_owned(),
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    pub fn node(file: &str) -> Self {
        Self::new([OsString::from("node"), source(file).into()])
            .with("NODE_PATH", nodes::packages())
    }

    pub fn python(file: &str) -> Self {
        Self::new([OsString::from("/usr/bin/python3"), source(file).into()]).python_packages()
    }

    fn python_packages(self) -> Self {
        self.with("PYTHONPATH", python_packages())
            .with("PYTHONDONTWRITEBYTECODE", "1")
    }

    /// Uses a separate port for its page, passed in METRICS_PORT.
    pub fn side_port(mut self) -> Self {
        let port = free_port();
        self.metrics = Some(port);
        self.app_metrics = format!(":{port}/metrics");
        self.with("METRICS_PORT", port.to_string())
    }

    /// Keeps its metrics in files.
    pub fn multiproc(file: &str) -> Self {
        Self::python(file).in_files()
    }

    pub fn in_files(mut self) -> Self {
        self.metrics = None;
        "multiproc".clone_into(&mut self.app_metrics);
        self
    }

    /// gunicorn with `workers` workers of its own.
    pub fn gunicorn(workers: u16, directory: &str, application: &str) -> Self {
        let mut server = Self::new(["gunicorn", "--workers", &workers.to_string(), "--chdir"]);
        let bind = format!("0.0.0.0:{}", server.port);
        server.words.push(source(directory).into());
        server
            .words
            .extend(["--bind", &bind, application].map(OsString::from));
        server.python_packages().in_files()
    }

    pub fn with_argument(mut self, word: &str) -> Self {
        self.words.push(word.into());
        self
    }

    pub fn go() -> Self {
        let source = source("examples/go/metrics/main.go");
        Self::new([go_program(&source, &scratch("go-metrics"))])
    }

    pub fn workers(&self, count: u16) -> Builder {
        let start = Runtime::builder()
            .env("RPM_INSTANCES", count.to_string())
            .env("RPM_READY", "listen")
            .env("RPM_APP_METRICS", &self.app_metrics)
            // Only the test scrapes, so that it knows when.
            .env("RPM_APP_METRICS_INTERVAL", "0")
            // A busy machine is slow.
            .env("RPM_STOP_TIMEOUT", "30s")
            .env("PORT", self.port.to_string())
            .program(self.words.clone());
        let variables = self.variables.iter();
        variables.fold(start, |builder, (name, value)| builder.env(name, value))
    }

    pub fn address(&self) -> SocketAddr {
        v4(self.port)
    }

    /// Requests a path `count` times: half on new connections, half on a few kept ones.
    #[track_caller]
    pub fn send(&self, path: &str, count: u64) {
        for _ in 0..count / 2 {
            let reply = http_get(self.address(), path).unwrap();
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        let mut kept: Option<Connection> = None;
        for number in 0..count.div_ceil(2) {
            let mut connection = match kept.take().filter(|_| number % 5 > 0) {
                Some(connection) => connection,
                None => Connection::open(self.address()).unwrap(),
            };
            let reply = connection.get(path).unwrap();
            assert_eq!(reply.status, 200, "{}", reply.text());
            // Some programs close after each answer.
            let closes = reply.head.starts_with("HTTP/1.0")
                || reply
                    .header("connection")
                    .is_some_and(|word| word.eq_ignore_ascii_case("close"));
            kept = (!closes).then_some(connection);
        }
    }

    /// Requests a path `count` times from the worker of one slot. The workers must have their first listeners.
    #[track_caller]
    pub fn send_to(&self, slot: u16, path: &str, count: u64) {
        for _ in 0..count {
            assert_eq!(ask_slot(self.address(), slot, path).status, 200);
        }
    }

    /// The own page of the worker of a slot, if it has one.
    #[track_caller]
    pub fn own_page(&self, slot: u16) -> Option<super::Page> {
        let reply = ask_slot(v4(self.metrics?), slot, "/metrics");
        assert_eq!(reply.status, 200);
        Some(super::Page::read(&reply.text()))
    }
}

/// Where scripts/test-deps installs prometheus_client.
pub fn python_packages() -> PathBuf {
    source("target/python")
}

/// Starts the workers and waits until all of them serve.
#[track_caller]
pub fn serving(builder: Builder, workers: u16) -> Runtime {
    let runtime = builder.start();
    wait_ready(&runtime, workers.into());
    wait_rotation(&runtime, &(0..workers).collect::<Vec<u16>>());
    runtime
}

/// Builds a program from a file, with Debian's packages.
#[track_caller]
pub fn go_program(file: &Path, directory: &Path) -> PathBuf {
    let debian = [("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode")];
    go_build(directory, file, directory, &debian)
}
