//! Writes lines as fast as it can: `flood LINES LENGTH [CHUNK] [--go PATH]`.
//!
//! Each line has LENGTH bytes with its newline. Each write has CHUNK bytes (default 8192, as a C library), so writes
//! need not end at a line end. With `--go` it prints `ready` and waits until PATH exists. It waits forever after its
//! lines.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]

use std::path::Path;
use std::time::Duration;
use std::{env, process, thread};

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize, default: usize| {
        let word = words.get(at).and_then(|word| word.parse().ok());
        word.unwrap_or(default).max(1)
    };
    let (lines, length, chunk) = (number(0, 1000), number(1, 100), number(2, 8192));
    let mut line = vec![b'x'; length - 1];
    line.push(b'\n');
    let text = line.repeat(chunk / length + 2);
    if let Some(at) = words.iter().position(|word| word == "--go")
        && let Some(path) = words.get(at + 1)
    {
        println!("ready");
        while !Path::new(path).exists() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    let out = std::io::stdout();
    let (mut left, mut phase) = (lines * length, 0);
    while left > 0 {
        let piece = text.get(phase..phase + chunk.min(left));
        // Not through Rust's stdout buffer, which would write whole lines.
        let Some(Ok(count @ 1..)) = piece.map(|piece| nix::unistd::write(&out, piece)) else {
            process::exit(1) // no reader is left
        };
        left -= count;
        phase = (phase + count) % length;
    }
    loop {
        thread::park();
    }
}
