//! An HTTP server that tells which process answered. Plain blocking code, one thread for each connection, no signal
//! handler.
//!
//! ```text
//! echo_server [ADDRESS:PORT] [--delay-bind MS] [--delay MS] [--stuck] [--once] [--crash-after N] [--code N] [--reuse-port]
//! ```
//!
//! Without an address it binds 0.0.0.0 and the port in `PORT` (default 3000). `--stuck` binds and listens but never
//! accepts; `--once` exits after the first answer; `--crash-after N` exits with `--code` (default 1) after N answers;
//! `--reuse-port` shares an IPv4 port with other processes by itself (SO_REUSEPORT).
//!
//! Paths: `/` returns the identity of the process as JSON; `/env/NAME` the value of a variable; `/slow/MS` answers
//! later; `/hang` never answers; `/exit/N` exits with code N without an answer; `/alloc/MIB` allocates memory and keeps
//! it; `/health` returns 200, or 503 after `/sicken`; `/metrics` a counter, a gauge and a histogram in the text format
//! of Prometheus. `?nonce=WORD` is returned in the answer.
#![allow(
    unsafe_code,
    reason = "one socket option that the standard library does not have"
)]
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, process, thread};

// Declared by hand, because this program is also built without any package, for an empty image.
unsafe extern "C" {
    fn socket(domain: i32, kind: i32, protocol: i32) -> i32;
    fn setsockopt(fd: i32, level: i32, option: i32, value: *const i32, len: u32) -> i32;
    fn bind(fd: i32, address: *const u8, len: u32) -> i32;
    fn listen(fd: i32, backlog: i32) -> i32;
}

#[derive(Clone, Default)]
struct Options {
    address: String,
    delay_bind: Duration,
    delay: Duration,
    stuck: bool,
    reuse_port: bool,
    crash_after: Option<u64>,
    code: i32,
}

/// State shared by all connections.
#[derive(Default)]
struct State {
    answered: AtomicU64,
    sick: AtomicBool,
    hoard: Mutex<Vec<Vec<u8>>>,
}

fn options() -> Options {
    let port = env::var("PORT").unwrap_or_default();
    let mut options = Options {
        address: format!("0.0.0.0:{}", if port.is_empty() { "3000" } else { &port }),
        code: 1,
        ..Options::default()
    };
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> u64 {
            words
                .next()
                .and_then(|value| value.parse().ok())
                .unwrap_or_else(|| fail(&format!("{word} needs a number")))
        };
        match word.as_str() {
            "--delay-bind" => options.delay_bind = Duration::from_millis(number()),
            "--delay" => options.delay = Duration::from_millis(number()),
            "--crash-after" => options.crash_after = Some(number()),
            "--code" => options.code = i32::try_from(number()).unwrap_or(1),
            "--once" => (options.crash_after, options.code) = (Some(1), 0),
            "--stuck" => options.stuck = true,
            "--reuse-port" => options.reuse_port = true,
            address if !address.starts_with('-') => address.clone_into(&mut options.address),
            other => fail(&format!("unknown option {other}")),
        }
    }
    options
}

fn fail(why: &str) -> ! {
    println!("echo_server: {why}");
    process::exit(2)
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn who(state: &State, nonce: &str) -> String {
    format!(
        "{{\"pid\":{},\"slot\":\"{}\",\"generation\":\"{}\",\"answered\":{},\"nonce\":\"{nonce}\"}}\n",
        process::id(),
        variable("NODE_APP_INSTANCE"),
        variable("RPM_GENERATION"),
        state.answered.load(Ordering::Relaxed),
    )
}

fn metrics(state: &State) -> String {
    let n = state.answered.load(Ordering::Relaxed);
    format!(
        "# HELP echo_requests_total Requests answered.\n# TYPE echo_requests_total counter\n\
         echo_requests_total{{path=\"/\"}} {n}\n\
         # HELP echo_slot The slot of this worker.\n# TYPE echo_slot gauge\necho_slot {}\n\
         # HELP echo_seconds Time to answer.\n# TYPE echo_seconds histogram\n\
         echo_seconds_bucket{{le=\"0.1\"}} {n}\necho_seconds_bucket{{le=\"+Inf\"}} {n}\n\
         echo_seconds_sum 0\necho_seconds_count {n}\n",
        variable("NODE_APP_INSTANCE").parse::<u16>().unwrap_or(0),
    )
}

/// Status and body. Does not return for paths that end the process.
fn answer(path: &str, state: &State) -> (&'static str, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let nonce = query.strip_prefix("nonce=").unwrap_or_default();
    let (first, rest) = path
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or((path.trim_start_matches('/'), ""));
    match first {
        "" => ("200 OK", who(state, nonce)),
        "env" => ("200 OK", variable(rest)),
        "slow" => {
            thread::sleep(Duration::from_millis(rest.parse().unwrap_or(0)));
            ("200 OK", who(state, nonce))
        }
        "hang" => loop {
            thread::park();
        },
        "exit" => process::exit(rest.parse().unwrap_or(0)),
        "alloc" => {
            let size = rest.parse::<usize>().unwrap_or(0) << 20;
            if let Ok(mut hoard) = state.hoard.lock() {
                hoard.push(vec![1; size]);
            }
            ("200 OK", who(state, nonce))
        }
        "sicken" => {
            state.sick.store(true, Ordering::Relaxed);
            ("200 OK", who(state, nonce))
        }
        "health" if state.sick.load(Ordering::Relaxed) => {
            ("503 Service Unavailable", "sick\n".into())
        }
        "health" => ("200 OK", "well\n".into()),
        "metrics" => ("200 OK", metrics(state)),
        _ => ("404 Not Found", "no such path\n".into()),
    }
}

/// Answers requests on one connection until the client closes it.
fn serve(stream: TcpStream, options: &Options, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
        let mut keep = line.trim_end().ends_with("HTTP/1.1");
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 {
                return Ok(());
            }
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("connection:") {
                keep = value.trim() != "close";
            }
        }
        thread::sleep(options.delay);
        let (status, body) = answer(&path, state);
        let connection = if keep { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
            body.len()
        );
        writer.write_all((head + &body).as_bytes())?;
        let answered = state.answered.fetch_add(1, Ordering::Relaxed) + 1;
        if options.crash_after == Some(answered) {
            // Close the connection first, so that the client gets the whole answer.
            drop((reader, writer));
            process::exit(options.code);
        }
        if !keep {
            return Ok(());
        }
    }
}

/// The standard library cannot set the option before bind.
fn reuse_port(address: &str) -> io::Result<TcpListener> {
    /// SOL_SOCKET; SO_REUSEADDR and SO_REUSEPORT (asm-generic/socket.h).
    const SOCKET: i32 = 1;
    let address: SocketAddrV4 = address.parse().map_err(io::Error::other)?;
    let done = |result: i32| match result {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    };
    // SAFETY: integers only: AF_INET, SOCK_STREAM.
    let raw = done(unsafe { socket(2, 1, 0) })?;
    // SAFETY: the kernel just made this descriptor.
    let listener = unsafe { TcpListener::from_raw_fd(raw) };
    for option in [2, 15] {
        // SAFETY: the value is live and four bytes long.
        done(unsafe { setsockopt(raw, SOCKET, option, &1, 4) })?;
    }
    // struct sockaddr_in: family, port, address, padding.
    let mut bytes = [0_u8; 16];
    bytes[..2].copy_from_slice(&2_u16.to_ne_bytes());
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    bytes[4..8].copy_from_slice(&address.ip().octets());
    // SAFETY: the address is live and the length is its own.
    done(unsafe { bind(raw, bytes.as_ptr(), 16) })?;
    // SAFETY: integers only.
    done(unsafe { listen(raw, 4096) })?;
    Ok(listener)
}

fn main() {
    let options = Arc::new(options());
    let state = Arc::new(State::default());
    thread::sleep(options.delay_bind);
    let bound = if options.reuse_port {
        reuse_port(&options.address)
    } else {
        TcpListener::bind(&options.address)
    };
    let listener = match bound {
        Ok(listener) => listener,
        Err(error) => fail(&format!("bind {}: {error}", options.address)),
    };
    let bound = listener
        .local_addr()
        .map_or_else(|error| error.to_string(), |address| address.to_string());
    println!(
        "listening on {bound} pid {} slot {}",
        process::id(),
        variable("NODE_APP_INSTANCE")
    );
    if options.stuck {
        loop {
            thread::park();
        }
    }
    for stream in listener.incoming() {
        let (options, state) = (Arc::clone(&options), Arc::clone(&state));
        match stream {
            // The client may have left; that is no error of the server.
            Ok(stream) => drop(thread::spawn(move || serve(stream, &options, &state))),
            Err(error) => println!("accept: {error}"),
        }
    }
}
