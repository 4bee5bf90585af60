//! Serves the clients of the control socket. Everything that a client can take is limited: the length of a line, the time
//! for it and for the answer, requests in a time, and the number of clients. A task for each client, on the thread of the
//! loop; nothing runs while nobody asks.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::protocol::{Command, Kind, Refusal, Reply, Request, VERSION};
use crate::sys::peer::Peer;

/// The answer to a command, when it is known.
pub type Answer = Pin<Box<dyn Future<Output = Result<Box<RawValue>, Refusal>>>>;

/// What the server asks of the runtime.
pub struct Service {
    /// The user of the runtime, who may use it beside root.
    pub uid: u32,
    /// Obeys a command.
    pub obey: Box<dyn Fn(Command, Peer) -> Answer>,
    /// A peer was refused; `None`: the kernel does not say who it is.
    pub refused: Box<dyn Fn(Option<Peer>)>,
    /// Connections cannot be accepted.
    pub trouble: Box<dyn Fn(&io::Error)>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("uid", &self.uid)
            .finish_non_exhaustive()
    }
}

/// Limits on what clients can take from the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Clients at the same time. A further one is told so.
    pub clients: usize,
    /// Bytes of a request.
    pub line: usize,
    /// Time for a request to arrive, and so the longest pause between two.
    pub request: Duration,
    /// Time for a client to take its answer.
    pub answer: Duration,
    /// Requests that a client may send as fast as they are answered. Before each further one there is a pause.
    pub burst: u32,
    /// That pause.
    pub pause: Duration,
    /// Pause after a failed accept.
    pub accept_retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 128,
            line: 16 << 10,
            request: Duration::from_secs(10),
            answer: Duration::from_secs(5),
            burst: 32,
            pause: Duration::from_millis(50),
            accept_retry: Duration::from_millis(200),
        }
    }
}

/// Serves `listener` while the future is polled, inside a `LocalSet`. It ends only by being dropped.
pub async fn serve(listener: UnixListener, service: Service, limits: Limits) -> Infallible {
    let service = Rc::new(service);
    let clients = Rc::new(Cell::new(0));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                (service.trouble)(&error);
                sleep(limits.accept_retry).await;
                continue;
            }
        };
        let Some(peer) = admit(&stream, &service) else {
            continue;
        };
        if clients.get() >= limits.clients {
            let text = format!(
                "there are {} clients already; try again later",
                limits.clients
            );
            tell(&stream, Err(Refusal::new(Kind::Busy, text)));
            continue;
        }
        let guard = Guard::new(&clients);
        let service = Rc::clone(&service);
        tokio::task::spawn_local(async move {
            let _guard = guard;
            visit(&stream, peer, &service, limits).await;
        });
    }
}

/// A client is counted for as long as this lives.
struct Guard(Rc<Cell<usize>>);

impl Guard {
    fn new(clients: &Rc<Cell<usize>>) -> Self {
        clients.set(clients.get() + 1);
        Self(Rc::clone(clients))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Root and the user of the runtime may use it. Everybody else is told so, at once and without waiting for it.
fn admit(stream: &UnixStream, service: &Service) -> Option<Peer> {
    let peer = Peer::of(stream).ok();
    if let Some(peer) = peer.filter(|peer| peer.uid == 0 || peer.uid == service.uid) {
        return Some(peer);
    }
    (service.refused)(peer);
    let who = peer.map_or_else(
        || "an unknown user".to_owned(),
        |peer| format!("user {}", peer.uid),
    );
    let text = format!(
        "{who} may not use the control socket; only root and user {}, as which the runtime runs",
        service.uid
    );
    tell(stream, Err(Refusal::new(Kind::NotAllowed, text)));
    None
}

/// Writes a short line to a new connection, which always has room for it.
fn tell(stream: &UnixStream, outcome: Result<Box<RawValue>, Refusal>) {
    // If it fails, the client is gone.
    let _ = stream.try_write(&line(outcome));
}

/// Serves one client to its end.
async fn visit(stream: &UnixStream, peer: Peer, service: &Service, limits: Limits) {
    let mut buffer = Vec::new();
    let mut burst = limits.burst;
    loop {
        let arrived = timeout(limits.request, next(stream, &mut buffer, limits.line)).await;
        let Ok(Ok(Some(text))) = arrived else {
            return;
        };
        let (outcome, over) = match text {
            None => {
                let text = format!("a request has at most {} bytes", limits.line);
                (Err(Refusal::new(Kind::Malformed, text)), true)
            }
            Some(text) => match read(&text) {
                Ok(command) => ((service.obey)(command, peer).await, false),
                Err(refusal) => {
                    let over = refusal.kind == Kind::Malformed;
                    (Err(refusal), over)
                }
            },
        };
        let written = timeout(limits.answer, write(stream, &line(outcome))).await;
        if over || !matches!(written, Ok(Ok(()))) {
            return;
        }
        match burst.checked_sub(1) {
            Some(left) => burst = left,
            None => sleep(limits.pause).await,
        }
    }
}

/// The next line; the inner `None` for one that is too long, the outer one at the end.
async fn next(
    stream: &UnixStream,
    buffer: &mut Vec<u8>,
    most: usize,
) -> io::Result<Option<Option<Vec<u8>>>> {
    let mut bytes = [0; 2048];
    loop {
        if let Some(at) = buffer.iter().position(|byte| *byte == b'\n') {
            let rest = buffer.split_off(at + 1);
            let text = std::mem::replace(buffer, rest);
            return Ok(Some(Some(text)));
        }
        if buffer.len() > most {
            return Ok(Some(None));
        }
        stream.readable().await?;
        match stream.try_read(&mut bytes) {
            Ok(0) => return Ok(None),
            Ok(count) => buffer.extend_from_slice(bytes.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn write(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a request. An unknown version is told apart from an unknown command, and both from what is no request.
fn read(text: &[u8]) -> Result<Command, Refusal> {
    #[derive(serde::Deserialize)]
    struct Head {
        v: u32,
        command: String,
    }
    let malformed = |error: serde_json::Error| {
        let text = format!("this is no request: {error}");
        Refusal::new(Kind::Malformed, text)
    };
    let head: Head = serde_json::from_slice(text).map_err(malformed)?;
    if head.v != VERSION {
        let text = format!(
            "this runtime speaks version {VERSION} of the protocol, the request is of version {}; use the rpmctl of the same \
             release",
            head.v
        );
        return Err(Refusal::new(Kind::Unknown, text));
    }
    if !Command::NAMES.contains(&head.command.as_str()) {
        // The name is not repeated: it may be long, or anything.
        let text = format!(
            "there is no such command; there are {}",
            Command::NAMES.join(", ")
        );
        return Err(Refusal::new(Kind::Unknown, text));
    }
    let request: Request = serde_json::from_slice(text).map_err(malformed)?;
    Ok(request.command)
}

/// A reply as a line.
fn line(outcome: Result<Box<RawValue>, Refusal>) -> Vec<u8> {
    let (result, error) = match outcome {
        Ok(result) => (Some(result), None),
        Err(refusal) => (None, Some(refusal)),
    };
    let reply = Reply {
        v: VERSION,
        result,
        error,
    };
    // Nothing in a reply can fail to be written.
    let mut line = serde_json::to_vec(&reply).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
