//! An HTTP server on `PORT` (3000) with bad metrics. `/` answers 200 at once and is counted.
//!
//! The variable `MISBEHAVE` says what `/metrics` does: a list with one word for each slot (`NODE_APP_INSTANCE`). A slot
//! without a word is good:
//!
//! | word | what `/metrics` does |
//! |---|---|
//! | good | answers: a counter of the requests for `/`, a gauge, a histogram |
//! | endless | answers without end |
//! | million | answers with 1 000 000 series |
//! | types | has the names of `good` with other types |
//! | late | answers after a minute |
//! | reset | resets the connection |
//! | timestamps | has a timestamp after each value |
//! | eof | has more content after the end of OpenMetrics |
//! | inject | has line ends, quotes and backslashes in labels and help, and lines that look like the runtime's own |
//! | html | answers with a web page |
//! | bomb | answers with a megabyte of gzip that decompresses to a gigabyte |
//! | half | closes in the middle of the page |
//! | crumbs | answers in chunks of one byte without end |
//! | dense | answers with eight megabytes of the shortest possible lines |
//! | flap | alternates between good and reset |
//! | many | answers with counters and gauges, `SERIES` (9000) in all, that no other worker has |
//! | fresh | answers with `SERIES` counters, all new each time |
#![allow(
    unsafe_code,
    reason = "one socket option that the standard library does not have"
)]
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, process, thread};

use flate2::Compression;
use flate2::write::GzEncoder;

unsafe extern "C" {
    fn setsockopt(fd: i32, level: i32, option: i32, value: *const [i32; 2], len: u32) -> i32;
}

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Copy, Debug)]
enum Manner {
    Good,
    Endless,
    Million,
    Types,
    Late,
    Reset,
    Timestamps,
    Eof,
    Inject,
    Html,
    Bomb,
    Half,
    Crumbs,
    Dense,
    Flap,
    Many,
    Fresh,
}

impl Manner {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "good" | "" => Self::Good,
            "endless" => Self::Endless,
            "million" => Self::Million,
            "types" => Self::Types,
            "late" => Self::Late,
            "reset" => Self::Reset,
            "timestamps" => Self::Timestamps,
            "eof" => Self::Eof,
            "inject" => Self::Inject,
            "html" => Self::Html,
            "bomb" => Self::Bomb,
            "half" => Self::Half,
            "crumbs" => Self::Crumbs,
            "dense" => Self::Dense,
            "flap" => Self::Flap,
            "many" => Self::Many,
            "fresh" => Self::Fresh,
            _ => return None,
        })
    }
}

fn fail(why: &str) -> ! {
    println!("hostile_metrics: {why}");
    process::exit(2)
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn slot() -> usize {
    variable("NODE_APP_INSTANCE").parse().unwrap_or(0)
}

fn manner() -> Manner {
    let words = variable("MISBEHAVE");
    let word = words.split(',').nth(slot()).unwrap_or_default().trim();
    Manner::of(word).unwrap_or_else(|| fail(&format!("MISBEHAVE does not know {word}")))
}

/// The page of a good worker, with `end` after each value.
fn good(requests: u64, end: &str) -> String {
    let slot = slot();
    format!(
        "# HELP hostile_requests_total Requests for / that were answered.\n\
         # TYPE hostile_requests_total counter\n\
         hostile_requests_total {requests}{end}\n\
         # HELP hostile_slot The slot of this worker.\n\
         # TYPE hostile_slot gauge\n\
         hostile_slot {slot}{end}\n\
         # HELP hostile_seconds Time to answer.\n\
         # TYPE hostile_seconds histogram\n\
         hostile_seconds_bucket{{le=\"0.1\"}} {requests}{end}\n\
         hostile_seconds_bucket{{le=\"1\"}} {requests}{end}\n\
         hostile_seconds_bucket{{le=\"+Inf\"}} {requests}{end}\n\
         hostile_seconds_sum 0{end}\n\
         hostile_seconds_count {requests}{end}\n"
    )
}

/// The same names, each with another type.
fn types(requests: u64) -> String {
    format!(
        "# TYPE hostile_requests_total gauge\nhostile_requests_total {requests}\n\
         # TYPE hostile_slot counter\nhostile_slot 1000000\n\
         # TYPE hostile_seconds summary\nhostile_seconds{{quantile=\"0.5\"}} 7\n\
         hostile_seconds_sum 7000\nhostile_seconds_count 1000\n"
    )
}

/// A good OpenMetrics page, its end, and content that must be ignored.
fn behind_the_end(requests: u64) -> String {
    format!(
        "# TYPE hostile_requests counter\nhostile_requests_total {requests}\n# EOF\n\
         # TYPE hostile_requests counter\nhostile_requests_total 1000000000\n\
         # TYPE hostile_behind gauge\nhostile_behind 1\n# EOF\n"
    )
}

fn inject(requests: u64) -> String {
    let odd = [
        r"a\nrpm_ready 0",
        r#"quote\"} 1\nrpm_ready{x=\"y"#,
        r"backslash\\",
        r"both\\\nrpm_workers 9",
        r"unknown\q",
        "carriage\rreturn",
        "next\u{85}line\u{2028}separator",
        "\u{1b}[2J\u{202e}",
        "{}#,=",
    ];
    let mut page = format!(
        "# HELP hostile_requests_total Help\\nrpm_ready 0\\n# TYPE rpm_ready counter \\\\ \"quoted\"\n\
         # TYPE hostile_requests_total counter\nhostile_requests_total {requests}\n\
         # HELP hostile_odd Ends in a backslash \\\n# TYPE hostile_odd gauge\n"
    );
    for (number, value) in odd.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = writeln!(page, "hostile_odd{{value=\"{value}\"}} {number}");
    }
    page.push_str(
        "hostile_open{value=\"no end\nrpm_ready 0\n\
         hostile_worker{worker=\"7\",instance=\"x\",job=\"y\"} 1\n\
         # HELP rpm_ready Not the runtime's.\n# TYPE rpm_ready gauge\nrpm_ready 0\n\
         # TYPE rpm_worker_restarts_total counter\nrpm_worker_restarts_total{worker=\"0\"} 1000000\n\
         rpm_build_info{version=\"hostile\"} 1\n  rpm_ready 0\n\trpm_generation 99\nRPM_ready 0\n\
         process_cpu_seconds_total -1\n# EOF\nrpm_state{state=\"stopping\"} 1\n",
    );
    page
}

/// Half of them are counters with the same counts as those of a good worker.
fn many(requests: u64) -> String {
    let mut page = String::new();
    let most = series() / 2;
    for (name, kind) in [("hostile_many_total", "counter"), ("hostile_many", "gauge")] {
        // Writing to a String does not fail.
        let _ = writeln!(page, "# TYPE {name} {kind}");
        for number in 0..most {
            let _ = writeln!(
                page,
                "{name}{{of=\"{}\",number=\"{number}\"}} {requests}",
                slot()
            );
        }
    }
    page
}

fn fresh(asked: u64) -> String {
    let mut page = "# TYPE hostile_fresh_total counter\n".to_owned();
    let name = format!(
        "hostile_fresh_total{{of=\"{}\",asked=\"{asked}\",number=",
        slot()
    );
    for number in 0..series() {
        let _ = writeln!(page, "{name}\"{number}\"}} 1");
    }
    page
}

fn series() -> u64 {
    variable("SERIES").parse().unwrap_or(9000)
}

/// A gigabyte in a thousand gzip members.
fn bomb() -> io::Result<Vec<u8>> {
    let page = "hostile_bomb 1\n".repeat((1 << 20) / 15);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(page.as_bytes())?;
    Ok(encoder.finish()?.repeat(1024))
}

fn head(kind: &str, more: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{more}\r\n")
}

fn with_length(kind: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let more = format!("{more}Content-Length: {}\r\n", body.len());
    [head(kind, &more).as_bytes(), body].concat()
}

/// Closes the connection with a reset.
fn reset(stream: &TcpStream) -> io::Result<()> {
    // SOL_SOCKET and SO_LINGER (asm-generic/socket.h), with zero seconds.
    let now = [1, 0];
    // SAFETY: the value is live and the length is its own.
    match unsafe { setsockopt(stream.as_raw_fd(), 1, 13, &raw const now, 8) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Answers a request for the metrics. Returns whether the connection can be kept.
fn metrics(mut stream: &TcpStream, manner: Manner, requests: u64) -> io::Result<bool> {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let asked = ASKED.fetch_add(1, Ordering::SeqCst);
    let text = |page: &str| with_length(TEXT, "", page.as_bytes());
    let answer = match manner {
        Manner::Good => text(&good(requests, "")),
        Manner::Types => text(&types(requests)),
        Manner::Timestamps => text(&good(requests, " 1700000000000")),
        Manner::Inject => text(&inject(requests)),
        Manner::Eof => with_length(OPENMETRICS, "", behind_the_end(requests).as_bytes()),
        Manner::Html => {
            let page = "<!DOCTYPE html>\n<title>Metrics</title>\n<p>Please log in 1\n";
            with_length("text/html; charset=utf-8", "", page.as_bytes())
        }
        Manner::Late => {
            thread::sleep(Duration::from_mins(1));
            text(&good(requests, ""))
        }
        Manner::Bomb => with_length(TEXT, "Content-Encoding: gzip\r\n", &bomb()?),
        Manner::Many => text(&many(requests)),
        Manner::Fresh => text(&fresh(asked)),
        Manner::Dense => text(&"a 1\n".repeat((8 << 20) / 4)),
        Manner::Flap if asked.is_multiple_of(2) => text(&good(requests, "")),
        Manner::Reset | Manner::Flap => {
            reset(stream)?;
            return Ok(false);
        }
        Manner::Half => {
            let answer = text(&good(requests, ""));
            stream.write_all(&answer[..answer.len() / 2])?;
            return Ok(false);
        }
        Manner::Crumbs => {
            let mut crumbs = BufWriter::with_capacity(60_000, stream);
            crumbs.write_all(head(TEXT, "Transfer-Encoding: chunked\r\n").as_bytes())?;
            loop {
                crumbs.write_all(b"1\r\na\r\n1\r\n \r\n1\r\n1\r\n1\r\n\n\r\n")?;
            }
        }
        Manner::Endless | Manner::Million => {
            let most = match manner {
                Manner::Million => 1_000_000,
                _ => u64::MAX,
            };
            let mut lines = BufWriter::new(stream);
            lines.write_all(head(TEXT, "Connection: close\r\n").as_bytes())?;
            lines.write_all(b"# TYPE hostile_series gauge\n")?;
            for number in 0..most {
                writeln!(lines, "hostile_series{{number=\"{number}\"}} 1")?;
            }
            lines.flush()?;
            return Ok(false);
        }
    };
    stream.write_all(&answer)?;
    Ok(true)
}

/// Answers requests on one connection until the client closes it.
fn serve(stream: &TcpStream, manner: Manner, requests: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
        let mut keep = line.trim_end().ends_with("HTTP/1.1");
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("connection:") {
                keep = value.trim() != "close";
            }
        }
        keep &= match path.split('?').next() {
            Some("/") => {
                // Count before answering: a client that has its answer must find it counted.
                requests.fetch_add(1, Ordering::SeqCst);
                writer.write_all(&with_length("text/plain", "", b"ok\n"))?;
                true
            }
            Some("/metrics") => metrics(stream, manner, requests.load(Ordering::SeqCst))?,
            _ => {
                writer.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
                true
            }
        };
        if !keep {
            return Ok(());
        }
    }
}

fn main() {
    let manner = manner();
    let port = variable("PORT");
    let address = format!("0.0.0.0:{}", if port.is_empty() { "3000" } else { &port });
    let listener = match TcpListener::bind(&address) {
        Ok(listener) => listener,
        Err(error) => fail(&format!("bind {address}: {error}")),
    };
    let bound = listener
        .local_addr()
        .map_or_else(|error| error.to_string(), |address| address.to_string());
    println!("listening on {bound} slot {} {manner:?}", slot());
    let requests = Arc::new(AtomicU64::new(0));
    for stream in listener.incoming() {
        let requests = Arc::clone(&requests);
        match stream {
            // The client may have left; that is no error of the server.
            Ok(stream) => drop(thread::spawn(move || serve(&stream, manner, &requests))),
            Err(error) => println!("accept: {error}"),
        }
    }
}
