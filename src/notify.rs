//! Receives notifications of one worker: sd_notify(3).

use std::io;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::time::sleep;

use crate::model::{Kinship, Pid};
use crate::policy::notify::{Message, is_believed, merge, parse};
use crate::sys::notify::{Sender, open, receive};
use crate::sys::proc::Proc;
use crate::sys::{caller, links};

/// Longest datagram that is read completely, bytes.
const LONGEST: usize = 64 * 1024;

/// Most datagrams to read in one turn; about as many as the socket can queue (net.unix.max_dgram_qlen).
const MOST_A_TURN: u32 = 8;

/// Pause after a full turn. A worker that sends without end then blocks in its own `send` (unix(7)) and delays nothing
/// else.
const PAUSE: Duration = Duration::from_millis(10);

/// What was heard in one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Messages of the worker, in order.
    pub messages: Vec<Message>,
    /// Datagrams that no process of the worker sent. They are not read.
    pub refused: u32,
    /// The last of their senders.
    pub stranger: Option<Sender>,
}

/// The socket of one worker. Its name is passed to the worker in NOTIFY_SOCKET.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    /// NOTIFY_SOCKET as it stands in the environment of the worker.
    variable: Vec<u8>,
    proc: Proc,
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
            variable: format!("NOTIFY_SOCKET={name}").into_bytes(),
            proc: Proc::new("/proc"),
            full: AtomicBool::new(false),
        };
        Ok((notify, name))
    }

    /// Waits until something is heard for this worker. Descriptors that came with a message are closed. Cancel-safe:
    /// dropping the future loses nothing.
    pub async fn next(&self, worker: Pid) -> Heard {
        loop {
            if self.full.load(Ordering::Relaxed) {
                sleep(PAUSE).await;
            }
            match self.socket.ready(Interest::READABLE).await {
                Ok(_) => {}
                // The async runtime is shutting down, so wait forever.
                Err(_) => std::future::pending().await,
            }
            let heard = self.turn(worker);
            if heard != Heard::default() {
                return heard;
            }
        }
    }

    /// Reads waiting datagrams, up to a limit.
    fn turn(&self, worker: Pid) -> Heard {
        let mut buffer = vec![0; LONGEST];
        let mut heard = Heard::default();
        let mut full = true;
        for _ in 0..MOST_A_TURN {
            let received = self.socket.try_io(Interest::READABLE, || {
                receive(&self.socket, &mut buffer).map_err(io::Error::from)
            });
            match received {
                Ok(datagram) if self.believes(datagram.sender, worker) => {
                    let bytes = buffer.get(..datagram.len).unwrap_or_default();
                    let messages = parse(whole_lines(bytes, datagram.cut));
                    heard.messages.extend(messages);
                }
                Ok(datagram) => {
                    heard.refused += 1;
                    heard.stranger = datagram.sender;
                }
                // Without memory, the datagrams stay in the socket.
                Err(error) => {
                    full = error.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        self.full.store(full, Ordering::Relaxed);
        heard.messages = merge(heard.messages);
        heard
    }

    /// Whether this process speaks for the worker.
    fn believes(&self, sender: Option<Sender>, worker: Pid) -> bool {
        let Some(Sender { pid, uid }) = sender else {
            return false;
        };
        // The user of a worker that has ended is not known any more.
        let user = || {
            caller::maker(Some(worker.get()))
                .map_or_else(|_| links::effective_user(), |maker| maker.uid)
        };
        // Another user is not asked for more: a process can make whoever reads its memory wait.
        let alike = || uid == 0 || uid == user();
        let adopted = |pid| alike() && self.proc.has_variable(pid, &self.variable);
        let kinship = self.proc.kinship(pid, worker, adopted);
        kinship == Kinship::Own || is_believed(kinship, uid, user())
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
