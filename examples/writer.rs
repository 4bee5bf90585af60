//! Writes lines that contain a checksum: `writer LINES [--id ID | --unique] [--max LENGTH] [--seed N] [--whole] [--only
//! STREAM] [--burst LINES] [--pause MS] [--ledger DIRECTORY] [--open-end] [--stay]`; `--forever` replaces LINES.
//!
//! Line k is `w ID STREAM k LENGTH SUM PAYLOAD`, on standard output or standard error (STREAM is `out` or `err`; each
//! stream has its own numbering). SUM is the FNV-1a hash of the payload in sixteen hexadecimal digits. Lines are
//! written in pieces of random size unless `--whole` is given. The last line of each stream is `w ID STREAM end TOTAL`;
//! with `--open-end` it has no newline. ID is the slot by default, SLOT.PID with `--unique`.
//!
//! With `--pause` it pauses for at most this time after each burst of at most `--burst` lines (100). With `--ledger` it
//! maintains the file DIRECTORY/ID: the number of completely written lines of each stream, two numbers of eight bytes,
//! little-endian. SIGUSR1 is ignored from before the ledger exists.
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]

use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;
use std::{env, process, thread};

use nix::sys::signal::{SigHandler, Signal, signal};

/// A small generator (xorshift): the same seed gives the same lines.
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

/// Unbuffered: each write is one system call.
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

/// The words of the command line.
struct Words(Vec<String>);

impl Words {
    fn flag(&self, key: &str) -> bool {
        self.0.iter().any(|word| word == key)
    }

    fn text(&self, key: &str) -> Option<&String> {
        let at = self.0.iter().position(|word| word == key)?;
        self.0.get(at + 1)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }

    /// The number of lines to write.
    fn lines(&self) -> u64 {
        let first = self.0.first().and_then(|word| word.parse().ok());
        if self.flag("--forever") {
            u64::MAX
        } else {
            first.unwrap_or(1000)
        }
    }

    fn id(&self) -> String {
        let slot = env::var("NODE_APP_INSTANCE").unwrap_or_else(|_| "0".into());
        match self.text("--id") {
            Some(id) => id.clone(),
            None if self.flag("--unique") => format!("{slot}.{}", process::id()),
            None => slot,
        }
    }
}

#[allow(unsafe_code, reason = "a payload that must outlive what others get")]
fn ignore_usr1() -> io::Result<()> {
    // SAFETY: no handler is installed.
    unsafe { signal(Signal::SIGUSR1, SigHandler::SigIgn) }?;
    Ok(())
}

/// The number of completely written lines, in a file that outlives the process.
struct Ledger(Option<File>);

impl Ledger {
    fn new(directory: Option<&String>, id: &str) -> io::Result<Self> {
        let create = |directory: &String| File::create(Path::new(directory).join(id));
        let ledger = Self(directory.map(create).transpose()?);
        for at in 0..2 {
            ledger.note(at, 0)?;
        }
        Ok(ledger)
    }

    fn note(&self, stream: usize, lines: u64) -> io::Result<()> {
        let Some(file) = &self.0 else {
            return Ok(());
        };
        file.write_all_at(&lines.to_le_bytes(), 8 * stream as u64)
    }
}

fn run() -> io::Result<()> {
    let words = Words(env::args().skip(1).collect());
    ignore_usr1()?;
    let id = words.id();
    let ledger = Ledger::new(words.text("--ledger"), &id)?;
    let longest = usize::try_from(words.number("--max").unwrap_or(300)).unwrap_or(300);
    let seed = words.number("--seed");
    let seed = seed.unwrap_or_else(|| u64::from(process::id()));
    let burst = words.number("--burst").unwrap_or(100);
    let pause = words.number("--pause");
    let only = words.text("--only").map(String::as_str);
    let whole = words.flag("--whole");

    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut streams = streams();
    let mut until_pause = burst;
    for _ in 0..words.lines() {
        let at = match only {
            Some("out") => 0,
            Some("err") => 1,
            _ => dice.below(2),
        };
        let stream = &mut streams[at];
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
        ledger.note(at, stream.written)?;
        if let Some(longest) = pause {
            until_pause = until_pause.saturating_sub(1);
            if until_pause == 0 {
                until_pause = 1 + dice.next() % burst.max(1);
                thread::sleep(Duration::from_millis(dice.next() % longest.max(1)));
            }
        }
    }
    for stream in &mut streams {
        let end = if words.flag("--open-end") { "" } else { "\n" };
        let last = format!("w {id} {} end {}{end}", stream.name, stream.written);
        stream.write(last.as_bytes(), &mut dice, true)?;
    }
    while words.flag("--stay") {
        thread::park();
    }
    Ok(())
}

fn main() {
    if run().is_err() {
        process::exit(1); // no reader is left
    }
}
