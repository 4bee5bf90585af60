//! Clients that send requests continuously, to measure the effect of a reload, a crash or a change of scale: every
//! request is counted by its result, and each contains a nonce that its answer must return.
//!
//! One thread for each client. This directory has no dependencies in the harness, because `examples/load.rs` uses it
//! too.

mod client;
mod histogram;
mod outcome;
mod report;
mod slow;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use client::Client;

pub use histogram::Histogram;
pub use outcome::Kind;
pub use report::Report;

/// How a client uses connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A new connection for each request.
    Short,
    /// One connection for as long as the server keeps it. Unless the plan is strict, a request that meets the end of a
    /// connection that has already answered is resent once on a new connection, as every HTTP client does.
    KeepAlive,
    /// As `KeepAlive`, but the client closes the connection after so many answers, as connection pools do.
    Bounded(u32),
}

/// When a client sends its next request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Immediately after the answer.
    Full,
    /// This long after the answer.
    Think(Duration),
    /// All clients together send this many a second, independent of the answers. If a request must wait for a free
    /// client, its time counts from when it was due.
    Rate(f64),
}

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub address: SocketAddr,
    /// Clients connect to this unix path, and not to the address.
    pub unix: Option<PathBuf>,
    pub clients: u32,
    pub style: Style,
    pub pace: Pace,
    /// The part of the request path before the nonce.
    pub path: String,
    /// Number of different nonces; `None`: each is used once.
    pub nonces: Option<u64>,
    /// Whether an answer must contain the nonce.
    pub checked: bool,
    /// Nothing is resent.
    pub strict: bool,
    /// Number of source addresses, from 127.1.0.1 on, that the clients use in turn; 0 leaves the choice to the kernel.
    pub sources: u16,
    /// Clients end a connection by a reset, which leaves nothing in TIME_WAIT.
    pub abrupt: bool,
    /// How long a client waits for a connection, and for an answer.
    pub patience: Duration,
    /// Number of requests in all; `None`: until the clients are stopped.
    pub requests: Option<u64>,
}

impl Plan {
    /// For the example servers, without pauses.
    pub fn new(address: impl Into<SocketAddr>, clients: u32, style: Style) -> Self {
        Self {
            address: address.into(),
            unix: None,
            clients,
            style,
            pace: Pace::Full,
            path: "/?nonce=".into(),
            nonces: None,
            checked: true,
            strict: false,
            sources: 0,
            abrupt: false,
            patience: Duration::from_secs(5),
            requests: None,
        }
    }

    /// As [`Plan::new`], for a server on a unix path.
    pub fn unix(path: impl Into<PathBuf>, clients: u32, style: Style) -> Self {
        Self {
            unix: Some(path.into()),
            ..Self::new(([127, 0, 0, 1], 0), clients, style)
        }
    }

    #[must_use]
    pub fn pace(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    #[must_use]
    pub fn strict(self) -> Self {
        Self {
            strict: true,
            ..self
        }
    }

    #[must_use]
    pub fn requests(self, count: u64) -> Self {
        Self {
            requests: Some(count),
            ..self
        }
    }

    #[must_use]
    pub fn sources(self, count: u16) -> Self {
        Self {
            sources: count,
            ..self
        }
    }

    #[must_use]
    pub fn abrupt(self) -> Self {
        Self {
            abrupt: true,
            ..self
        }
    }

    /// For a program that answers `/NONCE` for so many nonces: files in a directory whose name and content are
    /// [`nonce`].
    #[must_use]
    pub fn files(self, count: u64) -> Self {
        Self {
            path: "/".into(),
            nonces: Some(count),
            ..self
        }
    }

    /// For a server that does not return the nonce.
    #[must_use]
    pub fn unchecked(self) -> Self {
        Self {
            checked: false,
            ..self
        }
    }
}

/// The nonce of a request.
pub fn nonce(number: u64) -> String {
    format!("n{number:016x}")
}

/// State shared by all clients.
struct Shared {
    plan: Plan,
    began: Instant,
    stop: AtomicBool,
    /// The number of the next request.
    next: AtomicU64,
    answered: AtomicU64,
}

/// Running clients. They stop when told, or on drop.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Report>>,
}

impl Load {
    /// Starts `clients` that send requests to any server without a pause and check only the status.
    pub fn start(address: impl Into<SocketAddr>, clients: u32, style: Style) -> Self {
        Self::run(Plan::new(address, clients, style).unchecked())
    }

    /// Starts the clients of a plan.
    pub fn run(plan: Plan) -> Self {
        let shared = Arc::new(Shared {
            plan,
            began: Instant::now(),
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        });
        let client = |number| {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().stack_size(256 << 10);
            thread.spawn(move || live(number, &shared)).unwrap()
        };
        let clients = (0..shared.plan.clients).map(client).collect();
        Self { shared, clients }
    }

    /// Number of right answers so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Stops the clients, each after its present request.
    pub fn stop(mut self) -> Report {
        self.hold();
        self.join()
    }

    /// Waits until all requests of the plan are done.
    pub fn finish(mut self) -> Report {
        self.join()
    }

    /// No client starts another request.
    pub fn hold(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in &self.clients {
            client.thread().unpark();
        }
    }

    fn join(&mut self) -> Report {
        let mut sum = Report::default();
        for client in self.clients.drain(..) {
            sum.merge(client.join().unwrap());
        }
        sum
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.hold();
    }
}

/// One client, from its first to its last request.
fn live(number: u32, shared: &Shared) -> Report {
    let plan = &shared.plan;
    let mut client = Client::new(plan, number, shared.began);
    loop {
        let request = shared.next.fetch_add(1, Ordering::Relaxed);
        if plan.requests.is_some_and(|count| request >= count) {
            break;
        }
        let due = match plan.pace {
            Pace::Full | Pace::Think(_) => Instant::now(),
            #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
            Pace::Rate(rate) => shared.began + Duration::from_secs_f64(request as f64 / rate),
        };
        shared.wait(due);
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        if client.ask(request, due) {
            shared.answered.fetch_add(1, Ordering::Relaxed);
        }
        if let Pace::Think(time) = plan.pace {
            shared.wait(Instant::now() + time);
        }
    }
    client.report
}

impl Shared {
    /// Waits until then, or until the clients are stopped.
    fn wait(&self, until: Instant) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stop.load(Ordering::Relaxed) {
                return;
            }
            thread::park_timeout(left);
        }
    }
}
