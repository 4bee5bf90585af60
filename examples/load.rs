//! Clients that send requests to one of the example servers and count every kind of failure.
//!
//! ```text
//! load [ADDRESS:PORT] [--clients N] [--short | --keep-alive | --bounded N] [--think MS | --rate N] [--strict]
//!      [--files N] [--unchecked] [--sources N] [--patience MS] [--requests N | --seconds N]
//! ```
//!
//! Without an address it connects to 127.0.0.1 and the port in `PORT` (default 3000), with 16 clients that use a new
//! connection for each request and never pause. `--bounded N` closes a kept connection after N answers; `--think`
//! pauses after each answer; `--rate` is the total of all clients and measures from the time when a request was due.
//! `--strict` never resends a request. `--files N` requests `/n0000000000000000` and so on, files that contain their
//! names; `--unchecked` accepts answers without the nonce. `--sources N` uses N source addresses.
//!
//! It ends after that many requests or seconds, otherwise at the end of its standard input, and prints one JSON object.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]
#![allow(
    clippy::unwrap_used,
    reason = "the shared part is written for tests, which end at the first surprise"
)]

#[allow(dead_code, unused_imports, reason = "tests use the rest of it")]
#[path = "../tests/it/harness/load/mod.rs"]
mod load;

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::{Duration, Instant};
use std::{env, io, process, thread};

use load::{Kind, Load, Pace, Plan, Report, Style};
use serde_json::json;

fn fail(why: &str) -> ! {
    println!("load: {why}");
    process::exit(2)
}

/// The plan, and how long to run if the number of requests is not limited.
fn plan() -> (Plan, Option<Duration>) {
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(3000)));
    let mut plan = Plan::new(address, 16, Style::Short);
    let mut seconds = None;
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let word = word.as_str();
        let words = &mut words;
        match word {
            "--clients" => plan.clients = value(word, words),
            "--short" => plan.style = Style::Short,
            "--keep-alive" => plan.style = Style::KeepAlive,
            "--bounded" => plan.style = Style::Bounded(value(word, words)),
            "--think" => plan.pace = Pace::Think(Duration::from_millis(value(word, words))),
            "--rate" => plan.pace = Pace::Rate(value(word, words)),
            "--strict" => plan.strict = true,
            "--files" => plan = plan.files(value(word, words)),
            "--unchecked" => plan.checked = false,
            "--sources" => plan.sources = value(word, words),
            "--patience" => plan.patience = Duration::from_millis(value(word, words)),
            "--requests" => plan.requests = Some(value(word, words)),
            "--seconds" => seconds = Some(Duration::from_secs_f64(value(word, words))),
            _ => match word.parse() {
                Ok(address) => plan.address = address,
                Err(_) => fail(&format!("unknown option {word}")),
            },
        }
    }
    (plan, seconds)
}

fn value<T: FromStr>(word: &str, words: &mut impl Iterator<Item = String>) -> T {
    let value = words.next().and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| fail(&format!("{word} needs a value")))
}

fn object(report: &Report, took: Duration) -> serde_json::Value {
    let lost = Kind::ALL.map(|kind| (kind.name().to_owned(), report.lost_by(kind).into()));
    let times = &report.latency;
    let pids = report.by_pid.iter();
    json!({
        "requests": report.requests(),
        "answered": report.answered,
        "lost": lost.into_iter().collect::<serde_json::Map<_, _>>(),
        "resent": report.resent,
        "ended": report.ended,
        "seconds": took.as_secs_f64(),
        "latency_us": {
            "p50": times.permille(500),
            "p99": times.permille(990),
            "p99.9": times.permille(999),
            "most": times.most(),
        },
        "by_pid": pids.map(|(pid, count)| (pid.to_string(), (*count).into())).collect::<serde_json::Map<_, _>>(),
        "first_failures": report.failures.iter().take(10).map(|failure| &failure.text).collect::<Vec<_>>(),
    })
}

fn main() {
    let (plan, seconds) = plan();
    let counted = plan.requests.is_some();
    let began = Instant::now();
    let load = Load::run(plan);
    let report = if counted {
        load.finish()
    } else {
        match seconds {
            Some(time) => thread::sleep(time),
            // The parent process holds the other end open as long as this must run.
            None => drop(io::copy(&mut io::stdin(), &mut io::sink())),
        }
        load.stop()
    };
    println!("{}", object(&report, began.elapsed()));
}
