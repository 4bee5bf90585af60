//! Throughput of the log and the cost for its thread: `cargo bench --bench log_merge [million lines] [raw|prefix|json]
//! [null|pipe] [ring]`. With `ring` each case runs with the last lines kept in memory (RPM_LOG_RING) and without, in turns, and the
//! last column is the ratio of the best rates of the log thread, with to without.
//!
//! Writers are threads that write 8 KiB at a time, as a C library does into a pipe, or one line at a time. They share
//! the machine with the log, so the important column is the number of lines per second of the log thread's CPU time
//! (schedstat in /proc/self/task).
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench measures time and prints"
)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rpm_runtime::log::{Flushed, Format, LogSettings, Stream, WorkerLabel, start};
use rpm_runtime::model::{Generation, Pid, SlotId, Timestamp};
use rpm_runtime::sys::io::OutputPipe;

/// How often each case runs when two are compared.
const TURNS: usize = 7;

/// One case of the table.
#[derive(Clone, Copy)]
struct Case {
    format: Format,
    out: &'static str,
    writers: u16,
    line_len: usize,
    lines: usize,
    /// Bytes in one write of a worker.
    chunk: usize,
    /// RPM_LOG_RING.
    ring: usize,
}

/// CPU time of the thread named `log`; there must be only one.
fn log_thread_time() -> Duration {
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.trim_end() == "log" {
            // The thread may have ended between the two reads.
            let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let nanos = stat.split(' ').next().and_then(|text| text.parse().ok());
            return Duration::from_nanos(nanos.unwrap_or(0));
        }
    }
    Duration::ZERO
}

fn wait_for_end_of_log_thread() {
    while log_thread_time() > Duration::ZERO {
        thread::yield_now();
    }
}

/// The output of the log, and the number of bytes that arrive there, if they are counted.
fn output(name: &str) -> (OwnedFd, Option<thread::JoinHandle<u64>>) {
    if name == "null" {
        let null = File::options().write(true).open("/dev/null").unwrap();
        return (null.into(), None);
    }
    let (mut reader, writer) = std::io::pipe().unwrap();
    let counter = thread::spawn(move || {
        let (mut total, mut buffer) = (0, vec![0; 64 * 1024]);
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            total += count as u64;
        }
        total
    });
    (writer.into(), Some(counter))
}

/// Runs a case. Returns the million lines, the time, and the CPU time of the log thread, both in seconds.
fn run(case: Case) -> [f64; 3] {
    let Case {
        format,
        out,
        writers,
        line_len,
        lines,
        chunk,
        ring,
    } = case;
    let (fd, counter) = output(out);
    let settings = LogSettings {
        format,
        app_name: "web".to_owned(),
        max_line: LogSettings::MAX_LINE,
        buffer: LogSettings::BUFFER,
        timestamp: match format {
            Format::Raw => Timestamp::None,
            Format::Prefix | Format::Json => Timestamp::Rfc3339,
        },
        out: Some(fd),
        ring,
        ..LogSettings::default()
    };
    let log = start(settings).unwrap();
    let each = lines / usize::from(writers);
    let mut line = vec![b'x'; line_len - 1];
    line.push(b'\n');
    // Many whole lines, so that almost every chunk ends inside a line.
    let text = line.repeat(8 * 1024);
    let begin = Instant::now();
    thread::scope(|scope| {
        for slot in 0..writers {
            let OutputPipe { read, write } = OutputPipe::new().unwrap();
            let worker = WorkerLabel {
                slot: SlotId(slot),
                generation: Generation(0),
                pid: Pid::new(17).unwrap(),
            };
            log.attach(worker, Stream::Stdout, read, None);
            let text = &text;
            scope.spawn(move || {
                let mut file = File::from(write);
                let mut left = each * line_len;
                let mut at = 0;
                while left > 0 {
                    let count = chunk.min(left).min(text.len() - at);
                    file.write_all(&text[at..at + count]).unwrap();
                    left -= count;
                    at = (at + count) % text.len();
                }
            });
        }
    });
    assert_eq!(log.flush(Duration::from_mins(1)), Flushed::Done);
    let wall = begin.elapsed().as_secs_f64();
    let cpu = log_thread_time().as_secs_f64();
    let totals = log.totals();
    drop(log);
    wait_for_end_of_log_thread();
    let count = (each * usize::from(writers)) as u64;
    assert_eq!(totals.lines.stdout, count);
    if let Some(counter) = counter {
        assert_eq!(counter.join().unwrap(), totals.bytes.stdout);
    }
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let million = count as f64 / 1e6;
    [million, wall, cpu]
}

/// Runs a case and prints it.
fn show(case: Case, compares: bool) {
    let mut best = run(case);
    let ratio = if compares {
        let mut with = f64::MAX;
        for _ in 0..TURNS {
            let ring = 256 << 10;
            with = with.min(run(Case { ring, ..case })[2]);
            let without = run(case);
            if without[2] < best[2] {
                best = without;
            }
        }
        format!(" {:>8.3}", best[2] / with)
    } else {
        String::new()
    };
    let [million, wall, cpu] = best;
    let Case {
        format,
        out,
        writers,
        line_len,
        chunk,
        ..
    } = case;
    println!(
        "{:>7} {out:>5} {writers:>8} {line_len:>6} {chunk:>6} {:>10.2} {:>10.3} {:>14.2}{ratio}",
        format!("{format:?}").to_lowercase(),
        million / wall,
        cpu,
        million / cpu
    );
}

fn main() {
    let given = std::env::args().find_map(|arg| arg.parse::<usize>().ok());
    // `cargo bench` passes --bench. Without it, this is a test that the bench works.
    let total = if std::env::args().any(|arg| arg == "--bench") {
        given.unwrap_or(4) * 1_000_000
    } else {
        16_000
    };
    println!(" format   out  writers  bytes  write  M lines/s  log CPU s  M lines/CPU s");
    let words: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |name: &str, all: &[&str]| {
        let named = |word: &String| all.contains(&word.as_str());
        !words.iter().any(named) || words.iter().any(|word| word == name)
    };
    let compares = words.iter().any(|word| word == "ring");
    let formats = ["raw", "prefix", "json"];
    let outs = ["null", "pipe"];
    for (format, name) in [Format::Raw, Format::Prefix, Format::Json]
        .into_iter()
        .zip(formats)
    {
        if !chosen(name, &formats) {
            continue;
        }
        for out in outs.into_iter().filter(|out| chosen(out, &outs)) {
            for writers in [1, 4, 16] {
                for line_len in [20_usize, 100, 1000] {
                    let lines = total / line_len.div_ceil(100);
                    for (chunk, lines) in [(8 * 1024, lines), (line_len, lines / 4)] {
                        let case = Case {
                            format,
                            out,
                            writers,
                            line_len,
                            lines,
                            chunk,
                            ring: 0,
                        };
                        show(case, compares);
                    }
                }
            }
        }
    }
}
