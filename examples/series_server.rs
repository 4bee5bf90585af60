//! An HTTP server on `PORT` (3000) whose `/metrics` has `SERIES` (200) series in the text format of Prometheus, to
//! measure the runtime's merging. One thread; one connection at a time, closed after its answer.
//!
//! The series resemble those of a web service: two fifths belong to histograms with 14 series each, one fifth are
//! gauges, the rest are counters by method, route and status. All values change at each request. Any other path is
//! answered with `ok`.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::time::Duration;
use std::{env, process};

/// A silent client is dropped after this time, because others wait.
const PATIENCE: Duration = Duration::from_secs(1);

const HEAD_BYTES: u64 = 16 * 1024;

const BOUNDS: [&str; 12] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf",
];

/// A page with this number of series. `turn` is the number of the request; `slot` distinguishes the workers.
fn page(series: u32, turn: u32, slot: u32) -> String {
    let histograms = series * 2 / 5 / 14;
    let gauges = series / 5;
    let counters = series - 14 * histograms - gauges;
    let mut out = String::with_capacity(series as usize * 96);
    add_counters(&mut out, counters, turn, slot);
    for number in 0..gauges {
        let value = f64::from(turn * 37 + slot * 1000 + number) * 1.25;
        add(
            &mut out,
            format_args!(
                "# HELP service_resource_{number}_bytes What the service holds of resource {number}.\n\
                 # TYPE service_resource_{number}_bytes gauge\n\
                 service_resource_{number}_bytes {value}\n"
            ),
        );
    }
    let last = histograms.saturating_sub(1);
    let each = turn + slot % 3;
    let requests = ("http_request_duration_seconds", "route");
    add_histograms(&mut out, requests, 0..last, each);
    let queries = ("db_query_duration_seconds", "table");
    add_histograms(&mut out, queries, last..histograms, each);
    out
}

fn add_counters(out: &mut String, counters: u32, turn: u32, slot: u32) {
    const METHODS: [&str; 3] = ["GET", "POST", "DELETE"];
    const CODES: [u32; 3] = [200, 404, 500];
    let name = "http_requests_total";
    add(
        out,
        format_args!("# HELP {name} Requests answered.\n# TYPE {name} counter\n"),
    );
    for number in 0..counters {
        let method = METHODS[number as usize % 3];
        let code = CODES[number as usize / 3 % 3];
        let route = number / 9;
        let value = turn * (number % 7 + 1) + slot;
        add(
            out,
            format_args!(
                "{name}{{method=\"{method}\",route=\"/api/v1/things/{route}\",status=\"{code}\"}} {value}\n"
            ),
        );
    }
}

fn add_histograms(out: &mut String, (name, label): (&str, &str), some: Range<u32>, each: u32) {
    add(
        out,
        format_args!("# HELP {name} How long it took.\n# TYPE {name} histogram\n"),
    );
    for number in some {
        let labels = format!("{label}=\"/api/v1/things/{number}\"");
        for (at, bound) in (1..).zip(BOUNDS) {
            let count = at * each;
            add(
                out,
                format_args!("{name}_bucket{{le=\"{bound}\",{labels}}} {count}\n"),
            );
        }
        let (sum, count) = (f64::from(each) * 1.375, 12 * each);
        add(
            out,
            format_args!("{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}\n"),
        );
    }
}

fn add(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(text);
}

/// The requested path. Reads the whole request, because closing with unread data would send a reset.
fn path(stream: &TcpStream) -> io::Result<String> {
    let mut reader = BufReader::new(stream.take(HEAD_BYTES));
    let mut line = String::new();
    let mut first = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.trim_end().is_empty() {
            break;
        }
        if first.is_empty() {
            first.clone_from(&line);
        }
    }
    Ok(first.split(' ').nth(1).unwrap_or("/").to_owned())
}

fn serve(mut stream: TcpStream, series: u32, turn: &mut u32, slot: u32) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let path = path(&stream)?;
    let body = if path.split('?').next() == Some("/metrics") {
        *turn += 1;
        page(series, *turn, slot)
    } else {
        "ok\n".to_owned()
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())?;
    stream.shutdown(Shutdown::Write)
}

fn number(name: &str, otherwise: u32) -> u32 {
    env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(otherwise)
}

fn main() {
    let series = number("SERIES", 200);
    let slot = number("NODE_APP_INSTANCE", 0);
    let address = format!("0.0.0.0:{}", number("PORT", 3000));
    let listener = TcpListener::bind(&address).unwrap_or_else(|error| {
        println!("series_server: bind {address}: {error}");
        process::exit(2)
    });
    println!("listening on {address} slot {slot}");
    let mut turn = 0;
    for stream in listener.incoming() {
        // The client may have left or be silent; that is no error of the server.
        let _ = stream.and_then(|stream| serve(stream, series, &mut turn, slot));
    }
}
