//! Listening to one worker: sd_notify(3).

use std::io;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::time::sleep;

use crate::policy::notify::{Message, merge, parse};
use crate::sys::notify::{open, receive};

/// Longest datagram that is read whole.
const LONGEST: usize = 64 * 1024;

/// Datagrams that are read in one turn; about as many as wait there at most (net.unix.max_dgram_qlen).
const MOST_A_TURN: u32 = 8;

/// Pause after a full turn: a worker that never stops talking waits (unix(7): so does its `send`), and nobody else.
const PAUSE: Duration = Duration::from_millis(10);

/// One worker's socket. Its name goes into the worker's environment as NOTIFY_SOCKET.
#[derive(Debug)]
pub struct Notify {
    socket: UnixDatagram,
    /// The last turn left something.
    full: AtomicBool,
}

impl Notify {
    /// A new socket, and what NOTIFY_SOCKET has to say. Only within a tokio runtime. Fails with EMFILE, ENFILE or
    /// ENOMEM.
    pub fn new() -> io::Result<(Self, String)> {
        let (fd, name) = open()?;
        let socket = UnixDatagram::from_std(StdDatagram::from(fd))?;
        let notify = Self {
            socket,
            full: AtomicBool::new(false),
        };
        Ok((notify, name))
    }

    /// Waits until the worker has said something, and returns it: at least one message, in their order. Descriptors that
    /// came along are closed. Nothing is lost if it is dropped while it waits.
    pub async fn next(&self) -> Vec<Message> {
        loop {
            if self.full.load(Ordering::Relaxed) {
                sleep(PAUSE).await;
            }
            match self.socket.ready(Interest::READABLE).await {
                Ok(_) => {}
                // The runtime is going down; there is nothing to wait for.
                Err(_) => std::future::pending().await,
            }
            let messages = self.turn();
            if !messages.is_empty() {
                return messages;
            }
        }
    }

    /// Reads what is there, but not for ever.
    fn turn(&self) -> Vec<Message> {
        let mut buffer = vec![0; LONGEST];
        let mut messages = Vec::new();
        let mut full = true;
        for _ in 0..MOST_A_TURN {
            let received = self.socket.try_io(Interest::READABLE, || {
                receive(&self.socket, &mut buffer).map_err(io::Error::from)
            });
            match received {
                Ok(datagram) if datagram.seen => {
                    let bytes = buffer.get(..datagram.len).unwrap_or_default();
                    messages.extend(parse(whole_lines(bytes, datagram.cut)));
                }
                Ok(_) => {}
                // Out of memory: what is there stays there.
                Err(error) => {
                    full = error.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        self.full.store(full, Ordering::Relaxed);
        merge(messages)
    }
}

/// A datagram that was cut ends somewhere in a line.
fn whole_lines(bytes: &[u8], cut: bool) -> &[u8] {
    let end = match bytes.iter().rposition(|byte| *byte == b'\n') {
        _ if !cut => bytes.len(),
        Some(end) => end,
        None => 0,
    };
    bytes.get(..end).unwrap_or_default()
}
