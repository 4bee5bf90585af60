//! Asks a runtime.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rpm_runtime::control::Address;
use rpm_runtime::control::protocol::{Command, Reply, Request, Streamed, VERSION};
use rpm_runtime::sys::clock::instant;
use serde::de::DeserializeOwned;

use super::args::Globals;
use super::choice;
use super::exit::Failure;
use super::lines::Lines;
use super::plain::{Said, plain};
use super::words::human;

/// Time for an answer. The runtime answers at once; one that does not is stuck or suspended.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to one runtime.
#[derive(Debug)]
pub struct Connection {
    lines: Lines,
    address: Address,
    /// It is the runtime that is meant. Otherwise it may be that of another container.
    sure: bool,
    /// No answer is waited for after it.
    deadline: Option<Instant>,
}

/// An answer: as it came, and what it says.
#[derive(Debug)]
pub struct Answer<T> {
    pub raw: Said,
    pub value: T,
}

impl Connection {
    /// Connects to the runtime that is meant: the only one, or the one that the options name.
    pub fn open(globals: &Globals) -> Result<Self, Failure> {
        choice::choose(globals, PATIENCE)
    }

    /// The same after a connection was lost: to the runtime at this address if it is still there. Says nothing beside.
    pub fn again(globals: &Globals, address: &Address) -> Result<Self, Failure> {
        choice::again(globals, PATIENCE, address)
    }

    /// The same; neither this nor any answer is waited for after `limit`.
    pub fn within(globals: &Globals, limit: Duration) -> Result<Self, Failure> {
        let deadline = instant() + limit;
        let mut connection = choice::choose(globals, limit)?;
        connection.deadline = Some(deadline);
        Ok(connection)
    }

    /// Uses an open connection. `sure`: it leads to the runtime that is meant.
    pub fn over(address: Address, stream: UnixStream, sure: bool) -> io::Result<Self> {
        Ok(Self {
            lines: Lines::new(stream)?,
            address,
            sure,
            deadline: None,
        })
    }

    /// From now on, no answer is waited for after `deadline`.
    pub fn end_at(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Where it leads.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the next line of an answer is here already.
    pub fn has_next(&self) -> bool {
        self.lines.has_next()
    }

    /// Asks, and reads the answer.
    pub fn ask<T: DeserializeOwned>(&mut self, command: Command) -> Result<Answer<T>, Failure> {
        let left = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(instant()));
        let limit = left.map_or(PATIENCE, |left| left.min(PATIENCE));
        let sent = self.send(command, limit);
        self.reply(&sent, limit)
            .map_err(|error| self.failure(&error, limit))
            .and_then(read)
            .map_err(|failure| {
                if failure.is_denied() && !self.sure {
                    failure.passing()
                } else {
                    failure
                }
            })
    }

    /// Asks for a stream, and gives each item to `each` as JSON, and whether the next one is here already. With `follow` it may
    /// be silent for any time. Returns what became of the items when the runtime has ended it.
    pub fn stream(
        &mut self,
        command: Command,
        follow: bool,
        mut each: impl FnMut(&Said, bool) -> Result<(), Failure>,
    ) -> Result<Streamed, Failure> {
        let sent = self.send(command, PATIENCE);
        let limit = (!follow).then_some(PATIENCE);
        let mut any = false;
        loop {
            let reply = match self.reply(&sent, limit) {
                Err(error) if (any || follow) && error.kind() == io::ErrorKind::UnexpectedEof => {
                    let why = "the runtime has ended, or another client needed the place";
                    return Err(Failure::none(format!("the connection was closed: {why}")));
                }
                other => other.map_err(|error| self.failure(&error, PATIENCE))?,
            };
            match reply.item {
                Some(item) => each(&Said::from(item), self.lines.has_next())?,
                None => return read(reply).map(|answer| answer.value),
            }
            any = true;
        }
    }

    /// Sends a question; [`Self::reply`] reads what comes. With both, several runtimes can be asked at once.
    pub fn send(&mut self, command: Command, limit: Duration) -> io::Result<()> {
        let request = Request {
            v: VERSION,
            command,
        };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        self.lines.send(&line, limit)
    }

    /// Reads the reply to a question; `sent` is the outcome of sending it. Can be called again after `WouldBlock`.
    pub fn reply(
        &mut self,
        sent: &io::Result<()>,
        limit: impl Into<Option<Duration>>,
    ) -> io::Result<Reply> {
        // A runtime that refuses us says why, and may have closed before it reads the question.
        let line = match self.lines.next(limit.into()) {
            Ok(Some(line)) => line,
            other => {
                if let Err(error) = sent {
                    return Err(error.kind().into());
                }
                other?;
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it closed the connection without an answer",
                ));
            }
        };
        Ok(serde_json::from_slice(&line)?)
    }

    /// What an error of an exchange means.
    fn failure(&self, error: &io::Error, limit: Duration) -> Failure {
        let why = match error.kind() {
            io::ErrorKind::WouldBlock => {
                format!("it does not answer within {}", human(limit.as_secs_f64()))
            }
            _ => error.to_string(),
        };
        let address = plain(&self.address.to_string());
        Failure::none(format!("the runtime at {address}: {}", plain(&why)))
    }
}

/// What the reply says, as JSON and as a value.
pub fn read<T: DeserializeOwned>(reply: Reply) -> Result<Answer<T>, Failure> {
    if let Some(refusal) = &reply.error {
        return Err(Failure::refused(refusal));
    }
    let raw = reply
        .result
        .map(Said::from)
        .ok_or_else(|| Failure::failed("the runtime gave an empty answer"))?;
    let value = raw.read().map_err(|error| {
        let text = "cannot read the answer of the runtime; use the rpmctl of the same release";
        Failure::failed(format!("{text}: {error}"))
    })?;
    Ok(Answer { raw, value })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    #[test]
    fn a_stream_that_is_closed_before_its_first_item_says_why() {
        let closed = |follow| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let address = Address::Path("/run/x.sock".into());
            let mut connection = Connection::over(address, ours, true).unwrap();
            let runtime = std::thread::spawn(move || {
                let mut request = String::new();
                BufReader::new(theirs).read_line(&mut request).unwrap();
            });
            let lines = None;
            let command = Command::Events { follow, lines };
            let failure = connection.stream(command, follow, |_, _| Ok(()));
            runtime.join().unwrap();
            failure.unwrap_err().why().to_owned()
        };
        let text = closed(true);
        assert!(text.contains("another client needed the place"), "{text}");
        let text = closed(false);
        assert!(text.contains("without an answer"), "{text}");
    }
}
