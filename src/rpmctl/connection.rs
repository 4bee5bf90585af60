//! Finds the runtime, and asks it.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rpm_runtime::control::protocol::{Command, Reply, Request, VERSION, Version};
use rpm_runtime::control::{Address, Found, find, of_runtime};
use rpm_runtime::sys::links::effective_user;
use rpm_runtime::sys::peer::Peer;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::args::Globals;
use super::exit::Failure;
use super::words::plain;

/// Time for an answer. The runtime answers at once; one that does not is stuck or suspended.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to one runtime.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<UnixStream>,
    address: Address,
}

/// An answer: as it came, and what it says.
#[derive(Debug)]
pub struct Answer<T> {
    pub raw: Box<RawValue>,
    pub value: T,
}

impl Connection {
    /// Connects to the runtime that is meant: the only one, or the one that the options name.
    pub fn open(globals: &Globals) -> Result<Self, Failure> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
        let variable = std::env::var_os("RPM_HOME").filter(|value| !value.is_empty());
        let strict = globals.home.is_some();
        let home = globals.home.clone().or(variable.map(PathBuf::from));
        let uid = effective_user();
        let mut found = find(home.as_deref(), strict, uid);
        if let Some(pid) = globals.pid {
            let is = |address: &Address| of_runtime(address) == Some(pid);
            found.open.retain(|(address, _)| is(address));
            found.closed.retain(|(address, _)| is(address));
        }
        let mut open = Vec::new();
        for (address, stream) in std::mem::take(&mut found.open) {
            match Self::trusted(address, stream, uid) {
                Ok(connection) => open.push(connection),
                Err((address, error)) => found.closed.push((address, error)),
            }
        }
        match open.pop() {
            None => Err(nothing(&found, home, globals.pid)),
            Some(only) if open.is_empty() => Ok(only),
            Some(last) => {
                open.push(last);
                Err(several(open))
            }
        }
    }

    /// Takes only an answer of root, of ourselves, or, as root, of anybody: an abstract name may be anybody's.
    fn trusted(
        address: Address,
        stream: UnixStream,
        uid: u32,
    ) -> Result<Self, (Address, io::Error)> {
        let made = Peer::of(&stream)
            .map_err(io::Error::from)
            .and_then(|peer| {
                if uid == 0 || peer.uid == uid || peer.uid == 0 {
                    Ok(())
                } else {
                    let text = format!("user {} runs it", peer.uid);
                    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
                }
            })
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        match made {
            Ok(()) => Ok(Self {
                stream: BufReader::new(stream),
                address,
            }),
            Err(error) => Err((address, error)),
        }
    }

    /// Asks, and reads the answer.
    pub fn ask<T: DeserializeOwned>(&mut self, command: Command) -> Result<Answer<T>, Failure> {
        let reply = self.exchange(command).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::WouldBlock => {
                    format!("it does not answer within {} s", PATIENCE.as_secs())
                }
                _ => error.to_string(),
            };
            Failure::none(format!("the runtime at {}: {why}", self.address))
        })?;
        if let Some(refusal) = &reply.error {
            return Err(Failure::refused(refusal));
        }
        let raw = reply
            .result
            .ok_or_else(|| Failure::failed("the runtime gave an empty answer"))?;
        let value = serde_json::from_str(raw.get()).map_err(|error| {
            let text = "cannot read the answer of the runtime; use the rpmctl of the same release";
            Failure::failed(format!("{text}: {error}"))
        })?;
        Ok(Answer { raw, value })
    }

    fn exchange(&mut self, command: Command) -> io::Result<Reply> {
        let request = Request {
            v: VERSION,
            command,
        };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        // A runtime that refuses us says why, and may have closed before it reads this.
        let sent = self.stream.get_mut().write_all(&line);
        let mut text = String::new();
        let read = self.stream.read_line(&mut text);
        if text.is_empty() {
            sent?;
            read?;
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it closed the connection without an answer",
            ));
        }
        Ok(serde_json::from_str(&text)?)
    }
}

fn nothing(found: &Found, home: Option<PathBuf>, pid: Option<u32>) -> Failure {
    let mut place = match (home, pid) {
        (_, Some(pid)) => format!("no runtime with pid {pid} can be reached"),
        (Some(home), None) => format!("no runtime can be reached in {}", home.display()),
        (None, None) => "no runtime can be reached".to_owned(),
    };
    let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    let all_denied = found.closed.iter().all(|(_, error)| denied(error));
    for (address, error) in &found.closed {
        let _ = write!(place, "\n  {address}: {error}"); // a String takes everything
    }
    if found.closed.is_empty() {
        place.push_str(
            "; is it running, with RPM_CONTROL=on (in the role of tini it is off)? --home names its RPM_HOME",
        );
        Failure::none(place)
    } else if all_denied {
        place.push_str("\nOnly root and the user that runs it may use it.");
        Failure::not_allowed(place)
    } else {
        Failure::none(place)
    }
}

fn several(open: Vec<Connection>) -> Failure {
    let mut text = format!(
        "there are {} runtimes; choose one with --pid, or with --home if their directories differ:",
        open.len()
    );
    for mut connection in open {
        let pid = of_runtime(&connection.address).unwrap_or_default();
        let app = match connection.ask::<Version>(Command::Version) {
            Ok(answer) => plain(&answer.value.app),
            Err(failure) => format!("({})", failure.why()),
        };
        let _ = write!(text, "\n  --pid {pid:<8} {app:<20} {}", connection.address); // a String takes everything
    }
    Failure::unclear(text)
}
