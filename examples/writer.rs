//! Writes lines that prove themselves: `writer LINES [--id ID] [--max LENGTH] [--seed N] [--whole] [--open-end] [--stay]`.
//!
//! Line k is `w ID STREAM k LENGTH SUM PAYLOAD`, to standard output or standard error (STREAM is `out` or `err`; each
//! stream counts for itself), SUM being the FNV-1a hash of the payload in sixteen hexadecimal digits. Lines leave in
//! pieces of random size unless `--whole` is given. The last line of each stream is `w ID STREAM end TOTAL`; with
//! `--open-end` it has no newline. ID is the slot by default.
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]

use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::{env, process, thread};

/// A small generator (xorshift): the same seed writes the same lines.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or(0) % limit.max(1)
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

const ALPHABET: &[char] = &[
    'a', 'b', 'z', '0', '9', ' ', '\t', '"', '\\', '{', '}', 'é', '漢', '🦀',
];

/// Unbuffered: each write is one call.
struct Stream {
    name: &'static str,
    file: ManuallyDrop<File>,
    written: u64,
}

impl Stream {
    fn write(&mut self, mut bytes: &[u8], dice: &mut Dice, whole: bool) -> io::Result<()> {
        while !bytes.is_empty() {
            let piece = if whole {
                bytes.len()
            } else {
                1 + dice.below(bytes.len())
            };
            let (now, later) = bytes.split_at(piece);
            self.file.write_all(now)?;
            bytes = later;
        }
        Ok(())
    }
}

#[allow(
    unsafe_code,
    reason = "a File over the standard streams, without the buffer of Stdout"
)]
fn streams() -> [Stream; 2] {
    let [out, err] = [(1, "out"), (2, "err")].map(|(fd, name)| {
        // SAFETY: 1 and 2 are open for the life of the program, and ManuallyDrop never closes them.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
        Stream {
            name,
            file,
            written: 0,
        }
    });
    [out, err]
}

fn run() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let flag = |key: &str| words.iter().any(|word| word == key);
    let option = |key: &str| {
        words
            .iter()
            .position(|word| word == key)
            .and_then(|at| words.get(at + 1))
    };
    let lines: u64 = words
        .first()
        .and_then(|word| word.parse().ok())
        .unwrap_or(1000);
    let longest: usize = option("--max")
        .and_then(|word| word.parse().ok())
        .unwrap_or(300);
    let seed: u64 = option("--seed")
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| u64::from(process::id()));
    let id = option("--id")
        .cloned()
        .or_else(|| env::var("NODE_APP_INSTANCE").ok())
        .unwrap_or_else(|| "0".into());
    let whole = flag("--whole");

    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut streams = streams();
    for _ in 0..lines {
        let stream = &mut streams[dice.below(2)];
        let length = dice.below(longest + 1);
        let payload: String = (0..length)
            .map(|_| ALPHABET[dice.below(ALPHABET.len())])
            .collect();
        let number = stream.written;
        let head = format!(
            "w {id} {} {number} {} {:016x} ",
            stream.name,
            payload.len(),
            sum(payload.as_bytes())
        );
        stream.write((head + &payload + "\n").as_bytes(), &mut dice, whole)?;
        stream.written += 1;
    }
    for stream in &mut streams {
        let end = if flag("--open-end") { "" } else { "\n" };
        let last = format!("w {id} {} end {}{end}", stream.name, stream.written);
        stream.write(last.as_bytes(), &mut dice, true)?;
    }
    while flag("--stay") {
        thread::park();
    }
    Ok(())
}

fn main() {
    if run().is_err() {
        process::exit(1); // nobody reads any more
    }
}
