//! An HTTP server that counts exactly and exports its counts to Prometheus. Plain blocking code, one thread for each
//! connection, no signal handler.
//!
//! ```text
//! counting_server [--ledger DIRECTORY]
//! ```
//!
//! It binds 0.0.0.0 and the port in `PORT` (default 3000). `/?nonce=WORD` is counted before it is answered: as a
//! request, and as (2k+1)/8 seconds of work, where k is the last hexadecimal digit of the nonce modulo 4. `/metrics`
//! returns all counts of one moment, in OpenMetrics if `Accept` names it, else in text format 0.0.4.
//!
//! With `--ledger` it maintains the file DIRECTORY/SLOT.PID.TIME, which outlives it: numbers of eight bytes,
//! little-endian. They are the requests with k = 0, 1, 2 and 3; the request count on its last page and on the page
//! before; the time of the last page in milliseconds since 1970; and the number of pages.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, process, thread};

/// Upper bounds of the buckets, one for each k.
const BOUNDS: [&str; 4] = ["0.25", "0.5", "0.75", "+Inf"];

/// Position in the ledger after the requests.
const TOLD: u64 = 4;

/// All counts of one process.
#[derive(Default)]
struct Counts {
    /// Requests by k, and (below) the last nonce of each.
    requests: [u64; 4],
    nonces: [String; 4],
    /// Number of pages, and (below) the request count on the last page.
    pages: u64,
    told: u64,
    connections: u64,
    ledger: Option<File>,
}

impl Counts {
    fn new(directory: Option<&Path>) -> io::Result<Self> {
        let name = format!("{}.{}.{}", slot(), process::id(), milliseconds());
        let create = |directory: &Path| File::create_new(directory.join(name));
        let counts = Self {
            ledger: directory.map(create).transpose()?,
            ..Self::default()
        };
        for place in 0..TOLD + 4 {
            counts.note(place, 0)?;
        }
        Ok(counts)
    }

    fn note(&self, place: u64, number: u64) -> io::Result<()> {
        match &self.ledger {
            Some(file) => file.write_all_at(&number.to_le_bytes(), 8 * place),
            None => Ok(()),
        }
    }

    fn request(&mut self, nonce: &str) -> io::Result<()> {
        let last = nonce.chars().last().and_then(|letter| letter.to_digit(16));
        let place = last.unwrap_or(0) % 4;
        let k = place as usize;
        self.requests[k] += 1;
        nonce.clone_into(&mut self.nonces[k]);
        self.note(place.into(), self.requests[k])
    }

    fn page(&mut self, open: bool) -> io::Result<String> {
        self.pages += 1;
        let page = self.written(open).map_err(io::Error::other)?;
        let before = self.told;
        self.told = self.requests.iter().sum();
        for (place, number) in [self.told, before, milliseconds(), self.pages]
            .into_iter()
            .enumerate()
        {
            self.note(TOLD + place as u64, number)?;
        }
        Ok(page)
    }

    fn written(&self, open: bool) -> Result<String, fmt::Error> {
        let mut page = String::new();
        let total: u64 = self.requests.iter().sum();
        let family = if open { "" } else { "_total" };
        writeln!(
            page,
            "# HELP counting_requests{family} Requests, each counted before it was answered.\n\
             # TYPE counting_requests{family} counter\n\
             counting_requests_total{{path=\"/\"}} {total}\n\
             counting_requests_total{{path=\"/metrics\"}} {}\n\
             # HELP counting_connections Open connections.\n\
             # TYPE counting_connections gauge\n\
             counting_connections {}\n\
             # HELP counting_work_seconds Work, as the nonces of the requests say.\n\
             # TYPE counting_work_seconds histogram",
            self.pages, self.connections,
        )?;
        let (mut below, mut eighths) = (0, 0);
        for (k, bound) in (0_u32..).zip(BOUNDS) {
            let here = self.requests[k as usize];
            let work = 2 * k + 1;
            below += here;
            eighths += here * u64::from(work);
            write!(
                page,
                "counting_work_seconds_bucket{{le=\"{bound}\"}} {below}"
            )?;
            let nonce = &self.nonces[k as usize];
            if open && !nonce.is_empty() {
                write!(page, " # {{nonce=\"{nonce}\"}} {}", f64::from(work) / 8.0)?;
            }
            writeln!(page)?;
        }
        let rest = ["0", "125", "25", "375", "5", "625", "75", "875"];
        let (whole, rest) = (eighths / 8, rest[(eighths % 8) as usize]);
        writeln!(page, "counting_work_seconds_sum {whole}.{rest}")?;
        writeln!(page, "counting_work_seconds_count {total}")?;
        if open {
            writeln!(page, "# EOF")?;
        }
        Ok(page)
    }
}

fn slot() -> String {
    env::var("NODE_APP_INSTANCE").unwrap_or_default()
}

fn milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// Status, type and body.
fn answer(
    path: &str,
    accept: &str,
    counts: &Mutex<Counts>,
) -> io::Result<(&'static str, &'static str, String)> {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    match path {
        "/" => {
            let nonce = query.strip_prefix("nonce=").unwrap_or_default();
            // The nonce becomes a label value.
            let nonce: String = nonce.chars().filter(char::is_ascii_alphanumeric).collect();
            counts.request(&nonce)?;
            let (pid, slot) = (process::id(), slot());
            let body = format!("{{\"pid\":{pid},\"slot\":\"{slot}\",\"nonce\":\"{nonce}\"}}\n");
            Ok(("200 OK", "application/json", body))
        }
        "/metrics" => {
            let open = accept.contains("application/openmetrics-text");
            let kind = if open {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            } else {
                "text/plain; version=0.0.4; charset=utf-8"
            };
            Ok(("200 OK", kind, counts.page(open)?))
        }
        _ => Ok(("404 Not Found", "text/plain", "no such path\n".to_owned())),
    }
}

/// Answers requests on one connection until the client closes it.
fn serve(stream: TcpStream, counts: &Mutex<Counts>) -> io::Result<()> {
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
        let mut accept = String::new();
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
            if let Some(value) = header.strip_prefix("accept:") {
                value.clone_into(&mut accept);
            }
        }
        let (status, kind, body) = answer(&path, &accept, counts)?;
        let connection = if keep { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
            body.len()
        );
        writer.write_all((head + &body).as_bytes())?;
        if !keep {
            return Ok(());
        }
    }
}

fn run() -> io::Result<()> {
    let mut words = env::args().skip(1);
    let directory = match words.next().as_deref() {
        Some("--ledger") => words.next(),
        Some(other) => return Err(io::Error::other(format!("unknown option {other}"))),
        None => None,
    };
    let counts = Arc::new(Mutex::new(Counts::new(
        directory.as_deref().map(Path::new),
    )?));
    let port = env::var("PORT").unwrap_or_default();
    let port = if port.is_empty() { "3000" } else { &port };
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    println!(
        "listening on {} pid {}",
        listener.local_addr()?,
        process::id()
    );
    for stream in listener.incoming() {
        let counts = Arc::clone(&counts);
        let count = |counts: &Mutex<Counts>, by: i64| {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.connections = counts.connections.saturating_add_signed(by);
        };
        match stream {
            Ok(stream) => drop(thread::spawn(move || {
                count(&counts, 1);
                // The client may have left; that is no error of the server.
                let _ = serve(stream, &counts);
                count(&counts, -1);
            })),
            Err(error) => println!("accept: {error}"),
        }
    }
    Ok(())
}

fn main() {
    if let Err(error) = run() {
        println!("counting_server: {error}");
        process::exit(2);
    }
}
