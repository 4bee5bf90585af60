//! A server on a loopback port, and plain sockets as clients.

mod connections;
mod healthcheck;
mod places;
mod routes;

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::model::{
    AppInfo, BalanceSample, Cause, Exit, Generation, HandoverInfo, Look, ObservationInfo, Pid,
    QueueKind, QueueSample, ReloadResult, ReloadView, RunState, Sig, SlotId, Snapshot, Tick,
    WorkerFigures, WorkerState, WorkerView,
};

use super::server::serve_from;
use super::{About, ConnectionLimits, MetricsPage, PendingLook, View};
use crate::model::MetricsScope;

/// Longer than any test may take; ends a read that should have ended by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// An `Accept` header whose page uses all the allowed time.
const SLOW: &str = "slow";

/// Limits that no test reaches unless it sets them.
fn roomy() -> ConnectionLimits {
    ConnectionLimits {
        idle: PATIENCE * 2,
        lifetime: PATIENCE * 2,
        pages_of_one: usize::MAX,
        unread_of_one: usize::MAX,
        ..ConnectionLimits::default()
    }
}

struct Server {
    addr: SocketAddr,
    snapshot: Arc<Mutex<Snapshot>>,
    /// The addresses that the next clients appear to have.
    clients: Arc<Mutex<VecDeque<IpAddr>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(limits: ConnectionLimits) -> Self {
        Self::start_with(limits, 0, 40)
    }

    /// Starts with this number of failures before the first accept, and a metrics page of this size.
    fn start_with(limits: ConnectionLimits, failures: u32, page: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let snapshot = Arc::new(Mutex::new(snapshot()));
        let seen = Arc::clone(&snapshot);
        let clients = Arc::new(Mutex::new(VecDeque::new()));
        let appear = Arc::clone(&clients);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let local = tokio::task::LocalSet::new();
            local.spawn_local(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let left = Cell::new(failures);
                let accept = async || {
                    if left.get() > 0 {
                        left.set(left.get() - 1);
                        return Err(io::Error::from_raw_os_error(24));
                    }
                    let (stream, mut client) = listener.accept().await?;
                    if let Some(address) = appear.lock().unwrap().pop_front() {
                        client.set_ip(address);
                    }
                    Ok((stream, client))
                };
                serve_from(accept, view(seen, page), limits).await;
            });
            let _ = local.block_on(&runtime, stopped);
        });
        Self {
            addr,
            snapshot,
            clients,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// The next client comes from this address.
    fn next_from(&self, address: &str) {
        let address = address.parse().unwrap();
        self.clients.lock().unwrap().push_back(address);
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends `request` on a new connection and reads until the server closes it.
    fn talk(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        until_closed(&mut stream)
    }

    fn ask(&self, method: &str, path: &str) -> Answer {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        Answer::parse(&self.talk(request.as_bytes()))
    }

    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot.lock().unwrap());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect(text);
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Self {
            status: status.expect(text),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A reset counts as the end too: the server closes while the client still sends.
fn until_closed(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("still open"),
        Ok(_) | Err(_) => String::from_utf8(text).unwrap(),
    }
}

/// Reads one answer by its Content-Length.
fn one_answer(stream: &mut TcpStream) -> Answer {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    let mut answer = Answer::parse(std::str::from_utf8(&text).unwrap());
    let length = answer.header("content-length").unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    answer.body = String::from_utf8(body).unwrap();
    answer
}

fn view(snapshot: Arc<Mutex<Snapshot>>, page: usize) -> View {
    View {
        about: About {
            version: "0.1.0",
            revision: None,
            pid: 1,
        },
        fault: Box::new(|| None),
        look: looking(Arc::clone(&snapshot)),
        snapshot: Box::new(move || snapshot.lock().unwrap().clone()),
        observation: ObservationInfo {
            ready: "listen",
            health: "unavailable",
            app_metrics: "off",
            reason: Some("no port is shared".to_owned()),
        },
        app: Box::new(|| AppInfo {
            name: "shop".to_owned(),
            version: Some("1.2.3".to_owned()),
            revision: Some("abcdef0".to_owned()),
            branch: None,
        }),
        handover: Box::new(|| HandoverInfo {
            handover: "intercept",
            steering: "least",
            counts_connections: true,
            reason: "as wished".to_owned(),
        }),
        events: Box::new(|| {
            vec![
                serde_json::json!({"time": 86461.5, "event": "exited", "slot": 3, "exit": "<b>", "pid": null}),
            ]
        }),
        metrics: Box::new(move |request| {
            Box::pin(async move {
                if request.scope == MetricsScope::All && request.accept.as_deref() == Some(SLOW) {
                    tokio::time::sleep(request.within).await;
                }
                MetricsPage {
                    content_type: "text/plain; version=0.0.4; charset=utf-8",
                    gzip: request.accept_encoding.is_some(),
                    // Echoes the client's `Accept` header.
                    body: match request.accept {
                        Some(accept) => accept.into_bytes(),
                        None => "x".repeat(page).into_bytes(),
                    },
                }
            })
        }),
    }
}

fn looking(snapshot: Arc<Mutex<Snapshot>>) -> Box<dyn Fn() -> PendingLook> {
    let look = move || Look {
        snapshot: snapshot.lock().unwrap().clone(),
        now: Tick(Duration::from_micros(10_500_700)),
        queues: vec![QueueSample {
            listener: "[::]:3000".to_owned(),
            worker: None,
            kind: QueueKind::Connections,
            length: 1,
            limit: 4096,
            in_rotation: false,
            held: true,
        }],
        balance: Some(BalanceSample {
            changes: 12,
            follows: true,
            arrivals: 7,
            counts: 3,
            ..BalanceSample::default()
        }),
        figures: vec![
            WorkerFigures {
                cpu: Some(Duration::from_millis(1500)),
                cpu_percent: Some(23.1),
                memory: Some(4096),
                connections: Some(5),
                queue: Some(2),
                in_rotation: Some(true),
            },
            WorkerFigures::default(),
        ],
        reloads: vec![ReloadView {
            number: 1,
            generation: Generation(1),
            workers: 2,
            replaced: 1,
            result: Some(ReloadResult::Failure),
            why: Some("it ended".to_owned()),
            why_and_lines: Some("it ended: password=123".to_owned()),
            took: Duration::from_secs(3),
        }],
    };
    Box::new(move || {
        let look = look();
        Box::pin(async move { look })
    })
}

fn snapshot() -> Snapshot {
    let worker = WorkerView {
        slot: SlotId(0),
        state: WorkerState::Ready,
        pid: Pid::new(7),
        generation: Generation(2),
        started: Some(Tick(Duration::from_secs(4))),
        restarts: 3,
        streak: 0,
        last_exit: Some(Exit::Signal(Sig::KILL)),
        last_cause: Some(Cause::Oom),
        status: Some("42 jobs".to_owned()),
        due: None,
    };
    let waiting = WorkerView {
        slot: SlotId(1),
        state: WorkerState::Backoff,
        pid: None,
        started: None,
        streak: 1,
        last_exit: Some(Exit::Code(1)),
        last_cause: Some(Cause::Exit),
        due: Some(Tick(Duration::from_secs(12))),
        ..worker.clone()
    };
    Snapshot {
        state: RunState::Running,
        ready: true,
        started: true,
        desired: 2,
        generation: Generation(2),
        slots: vec![worker, waiting],
        rising: Vec::new(),
        retiring: Vec::new(),
    }
}
