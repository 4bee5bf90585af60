//! Shared by the tests of the shared port: clients that choose their source address, and one payload.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::harness::{Builder, Runtime, http_get, patience, process, scratch, source, until};

/// Debian's Python with `tests/payloads/sockets.py`.
pub fn sockets<I: IntoIterator<Item: Into<OsString>>>(words: I) -> Vec<OsString> {
    let start = [
        OsString::from("/usr/bin/python3"),
        source("tests/payloads/sockets.py").into(),
    ];
    start
        .into_iter()
        .chain(words.into_iter().map(Into::into))
        .collect()
}

/// gunicorn, which supports LISTEN_FDS, with a small application and `workers` workers.
pub fn gunicorn(port: u16, workers: u16) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", workers.to_string())
        .env("RPM_HANDOVER", "activation")
        .env("RPM_READY", "tcp")
        .env("RPM_PORTS", format!("127.0.0.1:{port}"))
        .directory(source("tests/payloads"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .program(["gunicorn", "app:application"])
}

pub fn v4(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

pub fn v6(port: u16) -> SocketAddr {
    (Ipv6Addr::LOCALHOST, port).into()
}

/// A named pipe; each line in it releases one reader.
pub struct Gate {
    pub path: PathBuf,
    pipe: File,
}

impl Gate {
    pub fn new(name: &str) -> Self {
        let path = scratch(name).join("gate");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        // Opened for reading and writing: opening does not block, and lines stay until they are read.
        let pipe = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        Self { path, pipe }
    }

    /// Releases this number of readers.
    pub fn open(&mut self, readers: usize) {
        self.pipe
            .write_all("\n".repeat(readers).as_bytes())
            .unwrap();
    }

    /// Runs `program` as soon as the gate opens; until then it prints `waiting`.
    pub fn before(&self, program: Vec<OsString>) -> Vec<OsString> {
        let script = format!(
            "echo waiting; read line < {}; exec \"$@\"",
            self.path.display()
        );
        let shell = ["sh", "-c", &script, "sh"].map(OsString::from);
        shell.into_iter().chain(program).collect()
    }
}

/// Stops the runtime and checks that nothing had to be killed.
#[track_caller]
pub fn stop(mut runtime: Runtime) {
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

/// Waits until `count` workers were reported ready, in all.
#[track_caller]
pub fn wait_ready(runtime: &Runtime, count: usize) {
    runtime.wait_for_lines(count, |line| line.contains("worker ready"));
}

/// Waits until new connections go to exactly these slots: the log reports a worker before its turn is finished.
#[track_caller]
pub fn wait_rotation(runtime: &Runtime, slots: &[u16]) {
    until(&format!("connections go to {slots:?}"), || {
        let metrics = runtime.get("/metrics").text();
        let live = metrics.lines().filter_map(|line| {
            let (slot, value) = line
                .strip_prefix("rpm_worker_in_rotation{worker=\"")?
                .split_once("\"} ")?;
            (value == "1").then(|| slot.parse().unwrap())
        });
        live.collect::<BTreeSet<u16>>().iter().eq(slots)
    });
}

/// The PID of the worker that was last started in `slot`.
#[track_caller]
pub fn worker(runtime: &Runtime, slot: u16) -> i32 {
    let word = format!(" slot={slot} ");
    let texts = runtime.texts();
    let line = texts
        .iter()
        .rfind(|line| line.contains("worker started") && line.contains(&word))
        .unwrap_or_else(|| panic!("slot {slot} had no worker: {texts:?}"));
    field(line, "pid").parse().unwrap()
}

/// The value of ` name=` in a line of the runtime.
#[track_caller]
pub fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = format!(" {name}=");
    let at = line
        .find(&start)
        .unwrap_or_else(|| panic!("no {name}: {line}"));
    line[at + start.len()..].split(' ').next().unwrap()
}

#[track_caller]
pub fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Stops a worker by SIGSTOP, so that it accepts nothing more.
#[track_caller]
pub fn freeze(pid: i32) {
    send(pid, Signal::SIGSTOP);
    until("the worker stands still", || {
        process(pid).is_some_and(|process| process.state == 'T')
    });
}

/// Number of answers from each slot of the example servers, for `count` requests in a row.
#[track_caller]
pub fn spread(address: SocketAddr, count: usize) -> BTreeMap<String, usize> {
    let mut slots = BTreeMap::new();
    for _ in 0..count {
        let slot = http_get(address, "/").unwrap().json()["slot"]
            .as_str()
            .unwrap()
            .to_owned();
        *slots.entry(slot).or_default() += 1;
    }
    slots
}

/// Sends requests to the payload until `count` different slots have answered under the name `name`.
#[track_caller]
pub fn all_answer(address: SocketAddr, name: &str, count: usize) {
    let mut seen = BTreeMap::new();
    until(&format!("{count} workers answer as {name}"), || {
        let reply = ask(&mut connect_to(address)).unwrap();
        let words: Vec<&str> = reply.split_whitespace().collect();
        assert_eq!(words[0], name, "{reply}");
        seen.insert(words[2].to_owned(), words[1].to_owned());
        seen.len() == count
    });
}

/// A connection of the standard library, with a limit for each wait.
#[track_caller]
pub fn connect_to(address: SocketAddr) -> TcpStream {
    bounded(TcpStream::connect_timeout(&address, patience()).unwrap())
}

fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(patience())).unwrap();
    stream.set_write_timeout(Some(patience())).unwrap();
    stream
}

/// Sends one line to the payload and returns its answer.
pub fn ask(stream: &mut TcpStream) -> io::Result<String> {
    say(stream, "hello")
}

/// As [`ask`], with another line.
pub fn say(stream: &mut TcpStream, line: &str) -> io::Result<String> {
    // One write: data that arrives after the payload's answer would turn its close into a reset.
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

/// A connection from a chosen source address and port. Closing it sends a reset, so that nothing stays in TIME_WAIT.
pub fn connect_from(source: SocketAddr, target: SocketAddr) -> io::Result<TcpStream> {
    let family = if source.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let fd: OwnedFd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    let reset = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&fd, sockopt::Linger, &reset)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(source))?;
    connect(fd.as_raw_fd(), &SockaddrStorage::from(target))?;
    Ok(bounded(fd.into()))
}

/// The source port that is steered to `slot` if no listener was shut down: above the range of client ports.
pub fn steered_port(slot: u16) -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let high: u16 = range.split_whitespace().nth(1).unwrap().parse().unwrap();
    high + 1 + slot
}

/// A connection that reaches only the listener of `slot`; `nr` distinguishes several connections.
#[track_caller]
pub fn connect_to_slot(target: SocketAddr, slot: u16, nr: u8) -> TcpStream {
    let source: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::new(127, 0, 2, nr).into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    connect_from(SocketAddr::new(source, steered_port(slot)), target).unwrap()
}

/// Number of connections in the queue of the slot's listener.
#[track_caller]
pub fn queue_length(runtime: &Runtime, listener: &str, slot: u16) -> f64 {
    let series = format!("rpm_listen_queue_length{{listener=\"{listener}\",worker=\"{slot}\"}}");
    runtime
        .metric(&series)
        .unwrap_or_else(|| panic!("no {series}"))
}
