//! Serves the clients of the control socket. Everything that a client can take is limited: the length of a line, the time
//! for it and for the answer, requests in a time, and the number of clients. A task for each client, on the thread of the
//! loop; nothing runs while nobody asks.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

use serde_json::value::RawValue;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{sleep, timeout};

use super::closing::Closing;
use super::guests::{Guests, Room};
use super::limits::Limits;
use super::protocol::{Command, Kind, Refusal, Reply, VERSION, read_request};
use super::rule::{Rule, Why};
use super::stream::Items;
use super::turns::Turns;
use crate::sys::peer::Peer;

mod pour;

/// The answer to a command, when it is known.
pub type Answer = Pin<Box<dyn Future<Output = Result<Box<RawValue>, Refusal>>>>;

/// What comes of a command.
pub enum Obeyed {
    /// One answer.
    Once(Answer),
    /// Many items.
    Many(Box<dyn Items>),
}

/// What the server asks of the runtime.
pub struct Service {
    /// Who may use it.
    pub rule: Rule,
    /// Obeys a command.
    pub obey: Box<dyn Fn(Command, Peer) -> Obeyed>,
    /// A peer was refused; `None`: the kernel does not say who it is.
    pub refused: Box<dyn Fn(Option<Peer>, Why)>,
    /// A request could not be obeyed: it is malformed or unknown, or there is no place for the client.
    pub fault: Box<dyn Fn(Kind)>,
    /// Connections cannot be accepted.
    pub trouble: Box<dyn Fn(&io::Error)>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

/// What all clients share.
struct Hall {
    service: Service,
    limits: Limits,
    guests: RefCell<Guests<AbortHandle>>,
    requests: Turns,
    pages: Turns,
    closing: Closing,
}

impl Hall {
    /// Waits until one more request may be answered.
    async fn turn(&self) {
        self.requests.next().await;
    }

    /// Waits until one more page of a stream may go out.
    async fn page(&self) {
        self.pages.next().await;
    }

    /// Finds a place for a new client. One that waits may have to leave for it.
    fn enter(&self, peer: Peer) -> Option<u64> {
        let room = {
            let guests = self.guests.borrow();
            guests.room(peer, self.limits.clients, self.limits.root)
        };
        match room {
            Room::Free => {}
            Room::Instead(id) => {
                let task = self.guests.borrow_mut().leave(id);
                if let Some(task) = task {
                    task.abort();
                }
            }
            Room::None => return None,
        }
        Some(self.guests.borrow_mut().enter(peer))
    }
}

/// Serves `listener` while the future is polled, inside a `LocalSet`. It ends only by being dropped; `closing` ends the streams.
pub async fn serve(
    listener: UnixListener,
    service: Service,
    limits: Limits,
    closing: Closing,
) -> Infallible {
    let hall = Rc::new(Hall {
        service,
        limits,
        guests: RefCell::default(),
        requests: Turns::new(limits.burst_of_all, limits.pause_of_all),
        pages: Turns::new(limits.burst_of_pages, limits.pause_of_pages),
        closing,
    });
    let service = &hall.service;
    let lines = Lines::new(service.rule, limits);
    let refusals = Turns::new(limits.refusals, limits.refusal_pause);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                (service.trouble)(&error);
                sleep(limits.accept_retry).await;
                continue;
            }
        };
        let peer = Peer::of(&stream).ok();
        let refused = service.rule.refuses(peer);
        let peer = match (peer, refused) {
            (Some(peer), None) => peer,
            (peer, why) => {
                let why = why.unwrap_or(Why::Unknown);
                tell(&stream, lines.refused(why));
                drop(stream);
                (service.refused)(peer, why);
                refusals.next().await;
                continue;
            }
        };
        let Some(id) = hall.enter(peer) else {
            tell(&stream, &lines.busy);
            (service.fault)(Kind::Busy);
            continue;
        };
        let guard = Guard(Rc::clone(&hall), id);
        let task = tokio::task::spawn_local(async move {
            visit(&stream, peer, &guard).await;
        });
        hall.guests.borrow_mut().ends_with(id, task.abort_handle());
    }
}

/// A client has its place for as long as this lives.
struct Guard(Rc<Hall>, u64);

impl Drop for Guard {
    fn drop(&mut self) {
        // It is the end of its task, which nothing else has to end.
        let _ = self.0.guests.borrow_mut().leave(self.1);
    }
}

/// What is said to those who get no place, written once.
struct Lines {
    foreign: Vec<u8>,
    invisible: Vec<u8>,
    unknown: Vec<u8>,
    busy: Vec<u8>,
}

impl Lines {
    fn new(rule: Rule, limits: Limits) -> Self {
        let refusal = |kind, text: String| line(Err(Refusal::new(kind, text)));
        let foreign = format!(
            "this user may not use the control socket; only root and user {}, as which the runtime runs",
            rule.uid
        );
        let invisible = "a process outside of the container may not use the control socket; use rpmctl in the container";
        let unknown = "the kernel does not say who you are, so you may not use the control socket";
        let busy = format!(
            "there are {} clients already; try again later",
            limits.clients
        );
        Self {
            foreign: refusal(Kind::NotAllowed, foreign),
            invisible: refusal(Kind::NotAllowed, invisible.to_owned()),
            unknown: refusal(Kind::NotAllowed, unknown.to_owned()),
            busy: refusal(Kind::Busy, busy),
        }
    }

    fn refused(&self, why: Why) -> &[u8] {
        match why {
            Why::Foreign => &self.foreign,
            Why::Invisible => &self.invisible,
            Why::Unknown => &self.unknown,
        }
    }
}

/// Writes a short line to a new connection, which always has room for it.
fn tell(stream: &UnixStream, line: &[u8]) {
    // If it fails, the client is gone.
    let _ = stream.try_write(line);
}

/// Serves one client to its end.
async fn visit(stream: &UnixStream, peer: Peer, Guard(hall, id): &Guard) {
    let Hall {
        service, limits, ..
    } = &**hall;
    let mut buffer = Vec::new();
    let mut burst = limits.burst;
    loop {
        let arrived = timeout(limits.request, next(stream, &mut buffer, limits.line)).await;
        let Ok(Ok(Some(text))) = arrived else {
            return;
        };
        hall.turn().await;
        let request = text.map_or_else(
            || {
                let text = format!("a request has at most {} bytes", limits.line);
                Err(Refusal::new(Kind::Malformed, text))
            },
            |text| read_request(&text),
        );
        // The runtime does not end before a stream has its result, if the client takes it.
        let mut place = None;
        let (outcome, over) = match request {
            Ok(command) => match (service.obey)(command, peer) {
                Obeyed::Once(answer) => {
                    hall.guests.borrow_mut().served(*id, true);
                    let outcome = answer.await;
                    hall.guests.borrow_mut().served(*id, false);
                    (outcome, false)
                }
                // Whoever takes a stream leaves for a new client, as one that waits does.
                Obeyed::Many(items) => {
                    let over = place.insert(hall.closing.enter());
                    match pour::pour(stream, &mut buffer, items, hall, over).await {
                        Ok(outcome) => (outcome, false),
                        Err(_) => return,
                    }
                }
            },
            Err(refusal) => {
                (service.fault)(refusal.kind);
                let over = refusal.kind == Kind::Malformed;
                (Err(refusal), over)
            }
        };
        let written = timeout(limits.answer, write(stream, &line(outcome))).await;
        drop(place);
        if over || !matches!(written, Ok(Ok(()))) {
            return;
        }
        // The loop has more to do than to answer one client.
        yield_now().await;
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

/// A reply as a line.
fn line(outcome: Result<Box<RawValue>, Refusal>) -> Vec<u8> {
    let (result, error) = match outcome {
        Ok(result) => (Some(result), None),
        Err(refusal) => (None, Some(refusal)),
    };
    let reply = Reply {
        v: VERSION,
        item: None,
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
