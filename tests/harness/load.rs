//! Clients that ask without a pause, to see what a reload, a crash or a change of scale costs them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use super::http::{Connection, Reply, http_get};
use super::until;

/// How a client treats its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A connection for each request.
    Short,
    /// One connection as long as the server keeps it. A request that meets the end of a connection that has already
    /// answered is sent once more on a new one, as every HTTP client does.
    KeepAlive,
}

/// What the clients met.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Answers with status 200.
    pub answered: u64,
    /// Answers by worker, for the example servers.
    pub by_pid: BTreeMap<i64, u64>,
    /// Everything else, in words.
    pub failures: Vec<String>,
    /// Requests sent once more, with `KeepAlive`.
    pub resent: u64,
}

/// Running clients; they stop when told, or when dropped.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Report>>,
}

impl Load {
    /// Starts `clients` threads that ask `address` for `/`.
    pub fn start(address: impl Into<SocketAddr>, clients: usize, style: Style) -> Self {
        let address = address.into();
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let client = |_| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || ask(address, style, &stop, &answered))
        };
        let clients = (0..clients).map(client).collect();
        Self {
            stop,
            answered,
            clients,
        }
    }

    /// Waits for `count` more answers.
    #[track_caller]
    pub fn wait_answers(&self, count: u64) {
        let goal = self.answered.load(Ordering::Relaxed) + count;
        until("the clients are answered", || {
            self.answered.load(Ordering::Relaxed) >= goal
        });
    }

    /// Stops the clients, each after its present request.
    pub fn stop(mut self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Report::default();
        for report in self.clients.drain(..).map(|client| client.join().unwrap()) {
            sum.answered += report.answered;
            sum.resent += report.resent;
            sum.failures.extend(report.failures);
            for (pid, count) in report.by_pid {
                *sum.by_pid.entry(pid).or_default() += count;
            }
        }
        sum
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn ask(address: SocketAddr, style: Style, stop: &AtomicBool, answered: &AtomicU64) -> Report {
    let mut report = Report::default();
    let mut kept: Option<Connection> = None;
    while !stop.load(Ordering::Relaxed) {
        let result = match style {
            Style::Short => http_get(address, "/"),
            Style::KeepAlive => keep_alive(address, &mut kept, &mut report.resent),
        };
        match result {
            Ok(reply) if reply.status == 200 => {
                report.answered += 1;
                answered.fetch_add(1, Ordering::Relaxed);
                let body: serde_json::Value =
                    serde_json::from_slice(&reply.body).unwrap_or_default();
                *report
                    .by_pid
                    .entry(body["pid"].as_i64().unwrap_or(0))
                    .or_default() += 1;
            }
            Ok(reply) => report.failures.push(format!("status {}", reply.status)),
            Err(error) => report.failures.push(error.to_string()),
        }
    }
    report
}

fn keep_alive(
    address: SocketAddr,
    kept: &mut Option<Connection>,
    resent: &mut u64,
) -> std::io::Result<Reply> {
    let reused = kept.is_some();
    let mut connection = kept.take().map_or_else(|| Connection::open(address), Ok)?;
    let mut result = connection.get("/");
    if reused && result.is_err() {
        *resent += 1;
        connection = Connection::open(address)?;
        result = connection.get("/");
    }
    if result.as_ref().is_ok_and(|reply| {
        reply
            .header("connection")
            .is_none_or(|value| !value.eq_ignore_ascii_case("close"))
    }) {
        *kept = Some(connection);
    }
    result
}
