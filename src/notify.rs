//! Receives notifications of one worker: sd_notify(3).

use std::io;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::time::sleep;

use crate::policy::notify::{Message, merge, parse};
use crate::sys::notify::{open, receive};

/// Longest datagram that is read completely, bytes.
const LONGEST: usize = 64 * 1024;

/// Most datagrams to read in one turn; about as many as the socket can queue (net.unix.max_dgram_qlen).
const MOST_A_TURN: u32 = 8;

/// Pause after a full turn. A worker that sends without end then blocks in its own `send` (unix(7)) and delays nothing
/// else.
const PAUSE: Duration = Duration::from_millis(10);

/// The socket of one worker. Its name is passed to the worker in NOTIFY_SOCKET.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    /// The last turn left datagrams in the socket.
    full: AtomicBool,
}

impl NotifySocket {
    /// Creates a socket. Also returns the value for NOTIFY_SOCKET. Call it inside a tokio runtime. Fails with EMFILE,
    /// ENFILE or ENOMEM.
    pub fn new() -> io::Result<(Self, String)> {
        let (fd, name) = open()?;
        let socket = UnixDatagram::from_std(StdDatagram::from(fd))?;
        let notify = Self {
            socket,
            full: AtomicBool::new(false),
        };
        Ok((notify, name))
    }

    /// Waits for messages of the worker and returns at least one, in order. Descriptors that came with them are closed.
    /// Cancel-safe: dropping the future loses nothing.
    pub async fn next(&self) -> Vec<Message> {
        loop {
            if self.full.load(Ordering::Relaxed) {
                sleep(PAUSE).await;
            }
            match self.socket.ready(Interest::READABLE).await {
                Ok(_) => {}
                // The async runtime is shutting down, so wait forever.
                Err(_) => std::future::pending().await,
            }
            let messages = self.turn();
            if !messages.is_empty() {
                return messages;
            }
        }
    }

    /// Reads waiting datagrams, up to a limit.
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
                // Without memory, the datagrams stay in the socket.
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

/// The complete lines of a datagram. A cut datagram may end inside a line.
fn whole_lines(bytes: &[u8], cut: bool) -> &[u8] {
    let end = match bytes.iter().rposition(|byte| *byte == b'\n') {
        _ if !cut => bytes.len(),
        Some(end) => end,
        None => 0,
    };
    bytes.get(..end).unwrap_or_default()
}
