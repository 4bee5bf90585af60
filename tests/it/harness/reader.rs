//! The reader of the runtime's stdout: a pipe that is read at a chosen speed.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::fcntl::{FcntlArg, fcntl};

use super::patience;

/// How the reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    Fast,
    /// A little at a time.
    Slow,
    Stopped,
}

#[derive(Debug)]
struct State {
    speed: Speed,
    bytes: Vec<u8>,
    ended: bool,
}

/// Reads in a thread until the end.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<(Mutex<State>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Reader {
    /// A reader, and the runtime's stdout: a pipe of `size` bytes.
    pub fn pipe(size: i32, speed: Speed) -> (Self, OwnedFd) {
        let (reader, writer) = std::io::pipe().unwrap();
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(size)).unwrap();
        (
            Self::start(OwnedFd::from(reader).into(), speed),
            writer.into(),
        )
    }

    fn start(mut file: File, speed: Speed) -> Self {
        let state = State {
            speed,
            bytes: Vec::new(),
            ended: false,
        };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let ours = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let state = ours.0.lock().unwrap();
                let stopped = |state: &mut State| state.speed == Speed::Stopped;
                let speed = ours.1.wait_while(state, stopped).unwrap().speed;
                let room = if speed == Speed::Slow { 700 } else { 64 << 10 };
                let count = file.read(&mut buffer[..room]).unwrap();
                let mut state = ours.0.lock().unwrap();
                state.bytes.extend_from_slice(&buffer[..count]);
                state.ended = count == 0;
                ours.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Self { shared, thread }
    }

    /// Changes the speed. A read in progress still completes after `Stopped`.
    pub fn speed(&self, speed: Speed) {
        self.shared.0.lock().unwrap().speed = speed;
        self.shared.1.notify_all();
    }

    /// The bytes so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.shared.0.lock().unwrap().bytes.clone()
    }

    /// The complete lines so far.
    pub fn lines(&self) -> Vec<String> {
        let mut bytes = self.bytes();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        bytes.truncate(whole.map_or(0, |at| at + 1));
        lines_of(&bytes)
    }

    /// Waits until `count` bytes have arrived.
    #[track_caller]
    pub fn wait_bytes(&self, count: usize) {
        let end = Instant::now() + patience();
        let mut state = self.shared.0.lock().unwrap();
        while state.bytes.len() < count {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} bytes", state.bytes.len());
            assert!(!state.ended, "the end after {} bytes", state.bytes.len());
            state = self.shared.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// All bytes, once all writers have closed.
    pub fn rest(self) -> Vec<u8> {
        self.speed(Speed::Fast);
        self.thread.join().unwrap();
        let mut state = self.shared.0.lock().unwrap();
        std::mem::take(&mut state.bytes)
    }
}

/// Lines without their newlines; bytes that are not UTF-8 are replaced. Panics if the last line has no newline.
#[track_caller]
pub fn lines_of(bytes: &[u8]) -> Vec<String> {
    let whole = bytes.is_empty() || bytes.last() == Some(&b'\n');
    assert!(whole, "the last line has no end");
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines
        .map(|line| String::from_utf8_lossy(&line[..line.len() - 1]).into_owned())
        .collect()
}
