//! Parsing and merging the pages of many workers: `cargo bench --bench metrics_merge [rounds]`.
//!
//! Every worker has the same 200 series with its own values. A round is one scrape: every page is parsed and taken, and
//! the result is built. Memory is the merger's estimate and the growth of the process (statm of /proc/self).
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench measures time and prints"
)]

use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use rpm_runtime::app_metrics::merge::{Merger, ProcessKey, Rules};
use rpm_runtime::exposition::{Format, PageLimits, parse};
use rpm_runtime::model::SlotId;

const SERIES: usize = 200;

/// A page like that of a web server: 60 counters, 60 gauges, 5 histograms of 14 series, 5 summaries of 2.
fn page(worker: u32, round: u32) -> String {
    let mut out = String::new();
    for family in 0..3 {
        let name = format!("http_server_requests_{family}_total");
        writeln!(
            out,
            "# HELP {name} Requests that were answered.\n# TYPE {name} counter"
        )
        .unwrap();
        for path in 0..20 {
            let value = round * (worker + path + 1);
            writeln!(
                out,
                "{name}{{method=\"GET\",path=\"/api/v1/items/{path}\",status=\"200\"}} {value}"
            )
            .unwrap();
        }
    }
    for family in 0..60 {
        let name = format!("runtime_state_{family}_bytes");
        writeln!(
            out,
            "# HELP {name} What the runtime holds.\n# TYPE {name} gauge"
        )
        .unwrap();
        writeln!(out, "{name} {}", 1_000_000 * worker + family + round).unwrap();
    }
    let name = "http_server_request_duration_seconds";
    writeln!(
        out,
        "# HELP {name} Time to an answer.\n# TYPE {name} histogram"
    )
    .unwrap();
    for path in 0..5 {
        let labels = format!("method=\"GET\",path=\"/api/v1/{path}\"");
        let bounds = [
            "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf",
        ];
        for (at, le) in (1_u32..).zip(bounds) {
            writeln!(out, "{name}_bucket{{le=\"{le}\",{labels}}} {}", at * round).unwrap();
        }
        writeln!(out, "{name}_sum{{{labels}}} {round}.5").unwrap();
        writeln!(out, "{name}_count{{{labels}}} {}", 12 * round).unwrap();
    }
    for family in 0..5 {
        let name = format!("pause_{family}_seconds");
        writeln!(out, "# HELP {name} Pauses.\n# TYPE {name} summary").unwrap();
        writeln!(out, "{name}_sum {round}.25\n{name}_count {round}").unwrap();
    }
    out
}

/// Resident memory in bytes, from pages of 4 KiB.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn run(workers: u16, rounds: u32) {
    let mut merger = Merger::new(Rules::default());
    let before = resident();
    let (mut reading, mut taking, mut making) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut bytes = 0;
    for round in 1..=rounds {
        for worker in 0..workers {
            let text = page(u32::from(worker), round);
            bytes += text.len();
            let begin = Instant::now();
            let parsed = parse(
                black_box(text.as_bytes()),
                Format::Text,
                &PageLimits::default(),
            )
            .unwrap();
            reading += begin.elapsed();
            let series: usize = parsed
                .page
                .families
                .iter()
                .map(|family| family.samples.len())
                .sum();
            assert_eq!((series, parsed.dropped.invalid), (SERIES, 0));
            let begin = Instant::now();
            merger.take(SlotId(worker), ProcessKey(worker.into()), parsed.page);
            taking += begin.elapsed();
        }
        let begin = Instant::now();
        black_box(merger.merged());
        making += begin.elapsed();
    }
    assert_eq!(merger.dropped().limit, 0);
    let grown = resident().saturating_sub(before);
    let millis = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(rounds);
    println!(
        "{workers:>7} {:>8} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>10} {:>10}",
        bytes / 1024 / rounds as usize,
        millis(reading),
        millis(taking),
        millis(making),
        millis(reading + taking + making),
        merger.bytes() / 1024,
        grown / 1024
    );
}

fn main() {
    let given = std::env::args().find_map(|arg| arg.parse::<u32>().ok());
    // `cargo bench` passes --bench. Without it, this is a test that the bench works.
    let rounds = if std::env::args().any(|arg| arg == "--bench") {
        given.unwrap_or(20)
    } else {
        2
    };
    println!("                            milliseconds a scrape                   KiB held");
    println!("workers KiB read   reading    taking    making       all  estimated      grown");
    for workers in [4, 64, 512] {
        run(workers, rounds);
    }
}
