//! Finds the runtime that is meant.

use std::fmt::Write as _;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rpm_runtime::control::protocol::{Command, Version};
use rpm_runtime::control::{Address, Closed, Found, find, of_runtime};
use rpm_runtime::sys::clock::instant;
use rpm_runtime::sys::links::effective_user;
use rpm_runtime::sys::peer::Peer;

use super::args::Globals;
use super::connection::{Answer, Connection, read};
use super::exit::Failure;
use super::words::plain;
use super::{eprint, pause};

/// For how long a runtime is waited for that takes no connection, or that has to say its name because there are several.
const PATIENCE: Duration = Duration::from_secs(5);

/// For how long each of several is listened to before the next one.
const TURN: Duration = Duration::from_millis(10);

/// Between two attempts.
const STEP: Duration = Duration::from_millis(50);

/// Connects to the only runtime, or to the one that the options name, and takes at most `limit` for it.
pub fn choose(globals: &Globals, limit: Duration) -> Result<Connection, Failure> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    let variable = std::env::var_os("RPM_HOME").filter(|value| !value.is_empty());
    let strict = globals.home.is_some();
    let home = globals.home.clone().or(variable.map(PathBuf::from));
    let end = instant() + limit.min(PATIENCE);
    loop {
        let (mut open, closed) = look(globals, home.as_deref(), strict);
        let left = end.saturating_duration_since(instant());
        let full = closed.iter().any(|(_, why)| matches!(why, Closed::Full));
        match open.pop() {
            None if full && !left.is_zero() => pause(STEP.min(left)),
            None => return Err(nothing(&closed, home, globals.pid)),
            Some(only) if open.is_empty() => {
                let silent: Vec<_> = closed
                    .iter()
                    .filter(|(_, why)| matches!(why, Closed::Full))
                    .collect();
                for (address, why) in silent {
                    eprint(&format!("rpmctl: another runtime, at {address}: {why}\n"));
                }
                return Ok(only);
            }
            Some(last) => {
                open.push(last);
                return among(open, &closed, left);
            }
        }
    }
}

type Refused = Vec<(Address, Closed)>;

/// Connects to all that are meant. Also says why others cannot be used.
fn look(globals: &Globals, home: Option<&Path>, strict: bool) -> (Vec<Connection>, Refused) {
    let uid = effective_user();
    let Found {
        mut open,
        mut closed,
    } = find(home, strict, uid);
    if let Some(pid) = globals.pid {
        let is = |address: &Address| of_runtime(address) == Some(pid);
        open.retain(|(address, _)| is(address));
        closed.retain(|(address, _)| is(address));
    }
    let mut trusted = Vec::new();
    for (address, stream) in open {
        match trust(&stream, uid)
            .and_then(|()| Connection::over(address.clone(), stream).map_err(Closed::Failed))
        {
            Ok(connection) => trusted.push(connection),
            Err(why) => closed.push((address, why)),
        }
    }
    (trusted, closed)
}

/// Takes only an answer of root, of ourselves, or, as root, of anybody: an abstract name may be anybody's.
fn trust(stream: &UnixStream, uid: u32) -> Result<(), Closed> {
    let peer = Peer::of(stream).map_err(|errno| Closed::Failed(errno.into()))?;
    if uid == 0 || peer.uid == uid || peer.uid == 0 {
        Ok(())
    } else {
        Err(Closed::Foreign(peer.uid))
    }
}

/// One of several: the only one that answers. All are asked at once, so that suspended ones together cost `limit`.
fn among(
    mut open: Vec<Connection>,
    closed: &Refused,
    limit: Duration,
) -> Result<Connection, Failure> {
    let end = instant() + limit;
    let sent: Vec<_> = open
        .iter_mut()
        .map(|connection| {
            connection.send(Command::Version, end.saturating_duration_since(instant()))
        })
        .collect();
    let (mut alive, mut silent) = (Vec::new(), Vec::new());
    let mut asked: Vec<_> = open.into_iter().zip(sent).collect();
    // By turns, so that one that is silent does not use up the time of the others.
    while !asked.is_empty() {
        for (mut connection, sent) in std::mem::take(&mut asked) {
            let left = end.saturating_duration_since(instant());
            match connection.reply(&sent, left.min(TURN)) {
                Ok(reply) => alive.push((connection, read::<Version>(reply))),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    silent.push((connection.address().clone(), Closed::Failed(error)));
                }
                Err(_) if left.is_zero() => {
                    silent.push((connection.address().clone(), Closed::Silent(limit)));
                }
                Err(_) => asked.push((connection, sent)),
            }
        }
    }
    let mut others = String::new();
    let full = closed.iter().filter(|(_, why)| matches!(why, Closed::Full));
    for (address, why) in silent.iter().chain(full) {
        let _ = write!(others, "\n  {address}: {why}"); // a String takes everything
    }
    match alive.pop() {
        None => Err(Failure::none(format!("no runtime answers:{others}"))),
        Some((only, _)) if alive.is_empty() => {
            eprint(&format!(
                "rpmctl: of several runtimes, only the one at {} answers:{others}\n",
                only.address()
            ));
            Ok(only)
        }
        Some(last) => {
            alive.push(last);
            Err(several(&alive, &others))
        }
    }
}

fn nothing(closed: &Refused, home: Option<PathBuf>, pid: Option<u32>) -> Failure {
    let mut place = match (home, pid) {
        (_, Some(pid)) => format!("no runtime with pid {pid} can be reached"),
        (Some(home), None) => format!("no runtime can be reached in {}", home.display()),
        (None, None) => "no runtime can be reached".to_owned(),
    };
    let all_denied = closed.iter().all(|(_, why)| why.is_denied());
    for (address, why) in closed {
        let _ = write!(place, "\n  {address}: {why}"); // a String takes everything
    }
    if closed.is_empty() {
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

fn several(alive: &[(Connection, Result<Answer<Version>, Failure>)], others: &str) -> Failure {
    let mut text = format!(
        "there are {} runtimes; choose one with --pid, or with --home if their directories differ:",
        alive.len()
    );
    for (connection, answer) in alive {
        let address = connection.address();
        let pid = of_runtime(address).unwrap_or_default();
        let app = match answer {
            Ok(answer) => plain(&answer.value.app),
            Err(failure) => format!("({})", failure.why()),
        };
        let _ = write!(text, "\n  --pid {pid:<8} {app:<20} {address}"); // a String takes everything
    }
    text.push_str(others);
    Failure::unclear(text)
}
