//! Cost of formatting one line as JSON, on one thread, without reading or writing: `cargo bench --bench log_json
//! [seconds]`.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench measures time and prints"
)]

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use rpm_runtime::log::Stream;
use rpm_runtime::log::json::{Labels, line};
use rpm_runtime::log::level::LineLevel;
use rpm_runtime::log::stamp::Stamper;
use rpm_runtime::model::Timestamp;
use rpm_runtime::model::{Generation, Pid, SlotId};

/// Size of the batches that the log writes, bytes.
const BATCH: usize = 64 * 1024;

/// A line of `len` bytes.
fn text(kind: &str, len: usize) -> Vec<u8> {
    let words = b"GET /users/4711?page=2 200 12ms - ".repeat(len);
    let (before, after): (&[u8], &[u8]) = match kind {
        "object" if len < 100 => (b"{\"m\":\"", b"\"}"),
        "object" => (
            b"{\"level\":30,\"time\":1795322412345,\"pid\":17,\"hostname\":\"web-1\",\"msg\":\"",
            b"\"}",
        ),
        "quotes" => (b"say \"this\" \\ \x1b[31m", b"\x1b[0m"),
        "utf-8" => ("für größte Übersicht – ".as_bytes(), b""),
        // A level at the beginning, and one behind a time and brackets.
        "level" => (b"INFO:     ", b""),
        "fields" => (b"[2026-11-22 04:40:12 +0000] [7] [INFO] ", b""),
        _ => (b"", b""),
    };
    let body = &words[..len.saturating_sub(before.len() + after.len())];
    let mut line = [before, body, after].concat();
    line.truncate(len);
    // A cut character would make it a different case.
    while kind == "utf-8" && str::from_utf8(&line).is_err() {
        line.pop();
    }
    line
}

fn run(kind: &str, len: usize, time: Duration) {
    let text = text(kind, len);
    let pid = Pid::new(4711).unwrap();
    let labels = Labels::new("web", SlotId(3), Generation(2), pid, Stream::Stdout);
    let mut stamper = Stamper::new(&Timestamp::Rfc3339);
    let mut out = Vec::with_capacity(2 * BATCH);
    let (mut lines, mut bytes) = (0_u64, 0);
    let begin = Instant::now();
    while begin.elapsed() < time {
        let stamp = stamper.stamp(SystemTime::now());
        while out.len() < BATCH {
            line(&mut out, &labels, stamp, b"", black_box(&text), None);
            lines += 1;
        }
        bytes += out.len();
        black_box(&mut out).clear();
    }
    let seconds = begin.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let (million, mega) = (lines as f64 / 1e6, bytes as f64 / 1e6);
    println!(
        "{kind:>7} {len:>6} {:>10.2} {:>9.0} {:>12.0}",
        million / seconds,
        1e3 * seconds / million,
        mega / seconds
    );
}

fn main() {
    let given = std::env::args().find_map(|arg| arg.parse::<f64>().ok());
    // `cargo bench` passes --bench. Without it, this is a test that the bench works.
    let time = if std::env::args().any(|arg| arg == "--bench") {
        Duration::from_secs_f64(given.unwrap_or(0.5))
    } else {
        Duration::from_millis(1)
    };
    println!("   kind  bytes  M lines/s   ns/line  MB/s written");
    for kind in ["text", "level", "fields", "quotes", "utf-8", "object"] {
        for len in [20, 100, 1000] {
            run(kind, len, time);
        }
    }
    println!("\nof that, the level:");
    for kind in ["text", "level", "fields"] {
        let text = text(kind, 100);
        let begin = Instant::now();
        let mut rounds = 0_u32;
        while begin.elapsed() < time {
            for _ in 0..1000 {
                black_box(LineLevel::of(black_box(&text)));
            }
            rounds += 1000;
        }
        let each = begin.elapsed().as_secs_f64() * 1e9 / f64::from(rounds);
        println!("{kind:>7} {each:.1} ns");
    }
    let mut stamper = Stamper::new(&Timestamp::Rfc3339);
    let rounds = if time < Duration::from_millis(10) {
        100
    } else {
        10_000_000
    };
    let now = SystemTime::now();
    let begin = Instant::now();
    for round in 0..rounds {
        black_box(stamper.stamp(now + Duration::from_micros(round / 8)));
    }
    #[allow(clippy::cast_precision_loss, reason = "one digit is shown")]
    let each = begin.elapsed().as_secs_f64() * 1e9 / rounds as f64;
    println!("\na stamp: {each:.1} ns, with 8 in a microsecond");
}
