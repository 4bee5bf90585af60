//! The admin port under hostile clients: the probes of the kubelet are answered whatever others do there.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::shared_port::{stop, wait_ready};
use crate::harness::status::echo;
use crate::harness::{free_port, http_get, patience, until};

const PATHS: [&str; 3] = ["/livez", "/readyz", "/startupz"];

/// What the client with this number does at its next turn, which has a number too. An error means that it was closed, and
/// comes again.
type Deed = fn(&mut TcpStream, number: usize, turn: usize) -> io::Result<()>;

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

fn unless_blocked(done: io::Result<usize>) -> io::Result<usize> {
    match done {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// Sends requests ahead and reads no answer. A third of them sends nothing at all.
fn silent(stream: &mut TcpStream, number: usize, _: usize) -> io::Result<()> {
    let path = match number % 3 {
        0 => "/livez",
        1 => "/metrics",
        _ => return Ok(()),
    };
    unless_blocked(stream.write(&request(path).repeat(100))).map(drop)
}

/// Sends and reads as fast as it can.
fn flooding(stream: &mut TcpStream, number: usize, _: usize) -> io::Result<()> {
    let path = ["/livez", "/readyz", "/status", "/metrics/runtime"][number % 4];
    unless_blocked(stream.write(&request(path).repeat(16)))?;
    let mut buffer = vec![0; 64 << 10];
    while unless_blocked(stream.read(&mut buffer))? > 0 {}
    Ok(())
}

/// Sends a byte of a head now and then, which never ends.
fn slow(stream: &mut TcpStream, _: usize, turn: usize) -> io::Result<()> {
    let head = b"GET /livez HTTP/1.1\r\nX: ";
    let byte = head.get(turn).copied().unwrap_or(b'a');
    unless_blocked(stream.write(&[byte])).map(drop)
}

/// Clients of one kind, in one thread.
struct Hostile {
    ending: Arc<AtomicBool>,
    connected: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Hostile {
    fn start(addr: SocketAddr, number: usize, deed: Deed, pause: Duration) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let connected = Arc::new(AtomicUsize::new(0));
        let (end, count) = (Arc::clone(&ending), Arc::clone(&connected));
        let thread = thread::spawn(move || {
            let mut clients: Vec<(Option<TcpStream>, usize)> = Vec::new();
            clients.resize_with(number, || (None, 0));
            while !end.load(Ordering::Relaxed) {
                for (number, (client, turn)) in clients.iter_mut().enumerate() {
                    let Some(stream) = client else {
                        *turn = 0;
                        *client = connect(addr);
                        count.fetch_add(usize::from(client.is_some()), Ordering::Relaxed);
                        continue;
                    };
                    if deed(stream, number, *turn).is_err() {
                        *client = None;
                    }
                    *turn += 1;
                }
                thread::sleep(pause);
            }
        });
        Self {
            ending,
            connected,
            thread: Some(thread),
        }
    }

    fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn connect(addr: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, patience()).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

const SILENT: usize = 300;
const FLOODING: usize = 200;
const SLOW: usize = 500;

/// Those that send no whole request: there is a place for each.
const UNKNOWN: usize = SLOW + SILENT / 3;

/// Descriptors, at most: the places of the probes and of the rest (docs/admin.md), and more than the runtime has itself. Fewer
/// than there are hostile clients.
const MOST: usize = UNKNOWN + 32 + 64 + 100;
const _: () = assert!(MOST < SILENT + FLOODING + SLOW);

/// The time that each of so many `probes` took, one after the other, under all hostile clients at once.
fn under_attack(probes: usize) -> Vec<Duration> {
    let runtime = echo(free_port(), 2).start();
    wait_ready(&runtime, 2);
    runtime.wait_for_status("/startupz", 200);
    let pause = Duration::from_millis(1);
    let hostile = [
        Hostile::start(runtime.admin(), SILENT, silent, pause),
        Hostile::start(runtime.admin(), FLOODING, flooding, pause),
        Hostile::start(runtime.admin(), SLOW, slow, pause * 20),
    ];
    for (kind, number) in hostile.iter().zip([SILENT, FLOODING, SLOW]) {
        until("all hostile clients came", || kind.connected() >= number);
    }
    let took = (0..probes).map(|number| {
        let begun = Instant::now();
        let path = PATHS[number % PATHS.len()];
        let reply = http_get(runtime.admin(), path);
        let reply = reply.unwrap_or_else(|error| panic!("{path}, probe {number}: {error}"));
        assert_eq!(reply.status, 200, "{path}, probe {number}");
        begun.elapsed()
    });
    let took: Vec<Duration> = took.collect();
    // They are not answered by holding a descriptor for each client: those that ask are more than their places, so some lose
    // theirs, and come again.
    for (kind, number) in hostile.iter().zip([SILENT, FLOODING]) {
        until("clients that ask lose their places", || {
            kind.connected() > number
        });
    }
    let open = || {
        let open = fs::read_dir(format!("/proc/{}/fd", runtime.pid())).unwrap();
        open.count()
    };
    // Of one that has just come nothing is known yet.
    until("there are fewer descriptors than clients", || open() < MOST);
    drop(hostile);
    stop(runtime);
    took
}

#[test]
fn every_probe_is_answered_under_silent_flooding_and_slow_clients_at_once() {
    under_attack(10);
}

/// The time that the kubelet gives a probe, unless told otherwise (`timeoutSeconds`).
const KUBELET: Duration = Duration::from_secs(1);

#[test]
#[ignore = "long: make soak"]
fn soak_every_probe_under_attack_is_answered_in_the_time_of_the_kubelet() {
    let mut took = under_attack(100);
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{} probes, median {median:?}, worst {worst:?}", took.len());
    assert!(worst < KUBELET, "median {median:?}, worst {worst:?}");
}
