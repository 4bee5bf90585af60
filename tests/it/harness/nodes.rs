//! Workers of Node that do what a test says: `tests/payloads/node/worker.js`. Each connects to a socket of the test,
//! which sends it lines of JavaScript and gets what they give.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::reloads::reload;
use super::shared_port::{self, send, v4, wait_ready, wait_rotation};
use super::{Builder, Runtime, Signal, free_ports, patience, scratch, source, until_some};

/// Number of free ports from PORT on.
pub const PORTS: u16 = 8;

/// The versions of Node whose channel is tested.
pub const VERSIONS: [u32; 4] = [18, 20, 22, 24];

/// Where scripts/test-deps installs the packages of tests/payloads/node.
pub fn packages() -> PathBuf {
    source("target/node/node_modules")
}

/// The program of a version of Node.
#[track_caller]
pub fn node(version: u32) -> PathBuf {
    let machine = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x64"
    };
    let path = packages().join(format!("node-{version}-{machine}/bin/node"));
    assert!(
        path.exists(),
        "{} is missing: scripts/test-deps",
        path.display()
    );
    path
}

/// A file of tests/payloads/node.
pub fn payload(name: &str) -> PathBuf {
    source("tests/payloads/node").join(name)
}

/// Runs a test with each version of Node, at the same time.
#[track_caller]
pub fn with_each_node(test: impl Fn(u32) + Sync) {
    thread::scope(|scope| {
        let run = |version| {
            let thread = thread::Builder::new().name(format!("Node {version}"));
            let test = &test;
            thread.spawn_scoped(scope, move || test(version)).unwrap()
        };
        let threads = VERSIONS.map(run);
        let failed = threads.map(|thread| {
            let name = thread.thread().name().unwrap().to_owned();
            thread.join().is_err().then_some(name)
        });
        let failed: Vec<_> = failed.into_iter().flatten().collect();
        assert!(failed.is_empty(), "failed with {}", failed.join(", "));
    });
}

/// So many workers that the runtime takes for Node, and that are Python: tests/payloads/node/raw.py, which reads and
/// writes the bytes of the channel. What they are told is Python.
pub fn raw(nodes: &Nodes, name: &str, count: usize, start: &str) -> Builder {
    let program = scratch(name).join("node");
    fs::copy(payload("raw.py"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // The argument makes it a program with a file, as a cluster worker must be.
    let builder = nodes.started_by(count, start);
    builder.arg(program).arg(payload("raw.py"))
}

/// Where the workers of a runtime connect to.
pub struct Nodes {
    listener: UnixListener,
    path: PathBuf,
    /// Their PORT, the first of [`PORTS`] free ones.
    pub port: u16,
}

/// A runtime and its workers of Node.
pub struct Service {
    pub runtime: Runtime,
    pub nodes: Nodes,
    /// The first workers, in the order of their slots.
    pub workers: Vec<Node>,
}

/// One worker.
pub struct Node {
    pub pid: i32,
    pub slot: u16,
    /// The id that the cluster gave it.
    pub worker: Option<u64>,
    /// What START gave, or the code of its error.
    pub started: Result<Value, String>,
    stream: BufReader<UnixStream>,
    told: VecDeque<Value>,
    asked: u64,
}

impl Nodes {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = scratch(&format!("nodes{number}")).join("control");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self {
            listener,
            path,
            port: free_ports(PORTS),
        }
    }

    /// So many workers under a version of Node, each of which does `start` first.
    pub fn workers(&self, version: u32, count: usize, start: &str) -> Builder {
        self.started_by(count, start)
            .arg(node(version))
            .arg(payload("worker.js"))
    }

    /// As [`Self::workers`], for the test to add the command.
    pub fn started_by(&self, count: usize, start: &str) -> Builder {
        Runtime::builder()
            .env("RPM_INSTANCES", count.to_string())
            .env("CONTROL", &self.path)
            .env("START", start)
            .env("NODE_PATH", packages())
            .env("PORT", self.port.to_string())
    }

    /// The next worker that connects, when its start is done.
    #[track_caller]
    pub fn next(&self) -> Node {
        let stream = until_some("a worker of Node connects", || {
            match self.listener.accept() {
                Ok((stream, _)) => Some(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                Err(error) => panic!("{error}"),
            }
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        let mut node = Node {
            pid: 0,
            slot: 0,
            worker: None,
            started: Ok(Value::Null),
            stream: BufReader::new(stream),
            told: VecDeque::new(),
            asked: 0,
        };
        let hello = node.line().expect("a worker says who it is");
        let hello = &hello["hello"];
        node.pid = i32::try_from(hello["pid"].as_i64().unwrap()).unwrap();
        node.slot = u16::try_from(hello["slot"].as_u64().unwrap()).unwrap();
        node.worker = hello["worker"].as_u64();
        node.started = node.reply(0);
        node
    }

    /// The next `count` workers, in the order of their slots.
    #[track_caller]
    pub fn take(&self, count: usize) -> Vec<Node> {
        let mut taken: Vec<Node> = (0..count).map(|_| self.next()).collect();
        taken.sort_by_key(|node| node.slot);
        taken
    }
}

impl Service {
    /// Workers that have done `start`.
    #[track_caller]
    pub fn start(version: u32, count: usize, start: &str) -> Self {
        Self::with(version, count, start, |builder| builder)
    }

    /// As [`Self::start`], with further settings.
    #[track_caller]
    pub fn with(
        version: u32,
        count: usize,
        start: &str,
        settings: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let nodes = Nodes::new();
        let runtime = settings(nodes.workers(version, count, start)).start();
        let workers = nodes.take(count);
        Self {
            runtime,
            nodes,

            workers,
        }
    }

    /// Waits until all of them are ready and get connections.
    #[track_caller]
    pub fn ready(self) -> Self {
        let count = self.workers.len();
        wait_ready(&self.runtime, count);
        let slots: Vec<u16> = self.workers.iter().map(|node| node.slot).collect();
        wait_rotation(&self.runtime, &slots);
        self
    }

    /// Kills the worker of a slot, and gives its successor.
    #[track_caller]
    pub fn replace(&mut self, slot: u16) -> &mut Node {
        let place = usize::from(slot);
        send(self.workers[place].pid, Signal::SIGKILL);
        self.workers[place] = self.nodes.next();
        assert_eq!(self.workers[place].slot, slot);
        &mut self.workers[place]
    }

    /// Reloads, and takes the new workers.
    #[track_caller]
    pub fn reload(&mut self) {
        reload(&self.runtime);
        self.workers = self.nodes.take(self.workers.len());
    }

    /// What this JavaScript gives in each worker.
    #[track_caller]
    pub fn each(&mut self, code: &str) -> Vec<Value> {
        self.workers.iter_mut().map(|node| node.run(code)).collect()
    }

    pub fn v4(&self) -> SocketAddr {
        v4(self.nodes.port)
    }

    /// Stops the runtime, and checks that nothing had to be killed.
    #[track_caller]
    pub fn stop(self) {
        shared_port::stop(self.runtime);
    }
}

impl Node {
    /// What this JavaScript gives; a promise is waited for.
    #[track_caller]
    pub fn run(&mut self, code: &str) -> Value {
        let slot = self.slot;
        let done = self.try_run(code);
        done.unwrap_or_else(|error| panic!("slot {slot}: {code}: {error}"))
    }

    /// As [`Self::run`], with the code or the text of an error.
    #[track_caller]
    pub fn try_run(&mut self, code: &str) -> Result<Value, String> {
        let id = self.begin(code);
        self.reply(id)
    }

    /// Sends JavaScript that does not end at once; see [`Self::reply`].
    #[track_caller]
    pub fn begin(&mut self, code: &str) -> u64 {
        self.asked += 1;
        let line = json!({ "id": self.asked, "code": code });
        writeln!(self.stream.get_mut(), "{line}").unwrap();
        self.asked
    }

    /// What came of it.
    #[track_caller]
    pub fn reply(&mut self, id: u64) -> Result<Value, String> {
        loop {
            let mut line = self.line().expect("the worker ended before it answered");
            if line["id"].as_u64() != Some(id) {
                self.told.push_back(line);
            } else if let Some(error) = line["error"].as_str() {
                return Err(error.to_owned());
            } else {
                return Ok(line["value"].take());
            }
        }
    }

    /// What it said last without being asked; `None` at its end.
    #[track_caller]
    pub fn told(&mut self) -> Option<Value> {
        self.told.pop_front().or_else(|| self.line())
    }

    /// Waits for its end, and gives what it told until then.
    #[track_caller]
    pub fn ended(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.told()).collect()
    }

    /// Waits for what it tells longer than a test does otherwise.
    pub fn wait_longer(&mut self) {
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(patience() * 3)).unwrap();
    }

    /// A line; `None` at the end of the worker, which may be sudden.
    #[track_caller]
    fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(_) if line.ends_with('\n') => Some(serde_json::from_str(&line).unwrap()),
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("slot {}, pid {}: {error}", self.slot, self.pid),
        }
    }
}
