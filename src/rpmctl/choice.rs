//! Finds the runtime that is meant.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use rpm_runtime::control::protocol::{Command, Version};
use rpm_runtime::control::{Address, Closed, Found, Place, Search, of_runtime};
use rpm_runtime::sys::clock::instant;
use rpm_runtime::sys::links::effective_user;
use rpm_runtime::sys::place::{SETTINGS, read_path};

use super::args::Globals;
use super::connection::{Answer, Connection, read};
use super::exit::Failure;
use super::words::plain;
use super::{eprint, pause};

/// For how long a runtime is waited for that takes no connection, or that has to say its name because there are several.
const PATIENCE: Duration = Duration::from_secs(5);

/// For how long each of several is listened to before the next one.
const TURN: Duration = Duration::from_millis(10);

/// Most sockets that cannot be used and are told.
const MOST: usize = 10;

/// Between two attempts.
const STEP: Duration = Duration::from_millis(50);

/// One that may be believed, and was not asked yet.
type Candidate = (Connection, Option<u32>);

/// Sockets that cannot be used.
type Refused = Vec<(Address, Closed)>;

/// Connects to the only runtime, or to the one that the options name, and takes at most `limit` for it.
pub fn choose(globals: &Globals, limit: Duration) -> Result<Connection, Failure> {
    find(globals, limit, None, eprint)
}

/// The same, without a word; the one at this address needs no other choice.
pub fn again(globals: &Globals, limit: Duration, address: &Address) -> Result<Connection, Failure> {
    find(globals, limit, Some(address), |_| ())
}

fn find(
    globals: &Globals,
    limit: Duration,
    before: Option<&Address>,
    tell: fn(&str),
) -> Result<Connection, Failure> {
    let search = search(globals)?;
    let end = instant() + limit.min(PATIENCE);
    loop {
        let (mut open, closed) = look(&search);
        let same = |(connection, _): &Candidate| Some(connection.address()) == before;
        if let Some(at) = open.iter().position(same) {
            return Ok(open.swap_remove(at).0);
        }
        let left = end.saturating_duration_since(instant());
        let full = closed.iter().any(|(_, why)| matches!(why, Closed::Full));
        match open.pop() {
            None if full && !left.is_zero() => pause(STEP.min(left)),
            None => return Err(nothing(&closed, &search)),
            Some((only, _)) if open.is_empty() => {
                let full = closed.iter().filter(|(_, why)| matches!(why, Closed::Full));
                for (address, why) in full {
                    let address = shown(address);
                    tell(&format!("rpmctl: another runtime, at {address}: {why}\n"));
                }
                return Ok(only);
            }
            Some(last) => {
                open.push(last);
                return among(open, &closed, left, tell);
            }
        }
    }
}

fn search(globals: &Globals) -> Result<Search, Failure> {
    let place = match (&globals.socket, &globals.home) {
        (Some(socket), _) => Place::Socket(socket.clone()),
        (None, Some(home)) => Place::Home(home.clone()),
        (None, None) => Place::Usual(home()?),
    };
    Ok(Search {
        place,
        pid: globals.pid,
        uid: effective_user(),
    })
}

/// RPM_HOME, also from the file that RPM_HOME_FILE names, as the runtime reads it.
fn home() -> Result<Option<PathBuf>, Failure> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(home) = variable("RPM_HOME") {
        return Ok(Some(PathBuf::from(home)));
    }
    let Some(file) = variable("RPM_HOME_FILE").map(PathBuf::from) else {
        return Ok(None);
    };
    let bytes = read_path(&file, SETTINGS).map_err(|error| {
        let file = plain(&file.to_string_lossy());
        Failure::unclear(format!(
            "RPM_HOME_FILE={file} cannot be read: {error}; --home names the directory"
        ))
    })?;
    let home = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let home = home.strip_suffix(b"\r").unwrap_or(home);
    Ok((!home.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(home))))
}

/// Connects to all that are meant. Also says why others cannot be used.
fn look(search: &Search) -> (Vec<Candidate>, Refused) {
    let Found { open, mut closed } = search.run();
    let mut candidates = Vec::new();
    for one in open {
        let sure = one.is_proven() || search.is_choice();
        match Connection::over(one.address.clone(), one.stream, sure) {
            Ok(connection) => candidates.push((connection, one.pid)),
            Err(error) => closed.push((one.address, Closed::Failed(error))),
        }
    }
    (candidates, closed)
}

/// One of several: the only one that answers. All are asked at once, so that suspended ones together cost `limit`.
fn among(
    mut open: Vec<Candidate>,
    closed: &Refused,
    limit: Duration,
    tell: fn(&str),
) -> Result<Connection, Failure> {
    let end = instant() + limit;
    let sent: Vec<_> = open
        .iter_mut()
        .map(|(connection, _)| {
            connection.send(Command::Version, end.saturating_duration_since(instant()))
        })
        .collect();
    let (mut alive, mut silent) = (Vec::new(), Vec::new());
    let mut asked: Vec<_> = open.into_iter().zip(sent).collect();
    // By turns, so that one that is silent does not use up the time of the others.
    while !asked.is_empty() {
        for ((mut connection, pid), sent) in std::mem::take(&mut asked) {
            let left = end.saturating_duration_since(instant());
            let why = match connection.reply(&sent, left.min(TURN)) {
                Ok(reply) => match read::<Version>(reply) {
                    // As of another container of the pod.
                    Err(failure) if failure.is_denied() => {
                        Closed::Refused(failure.why().to_owned())
                    }
                    answer => {
                        alive.push((connection, pid, answer));
                        continue;
                    }
                },
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => Closed::Failed(error),
                Err(_) if left.is_zero() => Closed::Silent(limit),
                Err(_) => {
                    asked.push(((connection, pid), sent));
                    continue;
                }
            };
            silent.push((connection.address().clone(), why));
        }
    }
    let mut others = String::new();
    let full = closed.iter().filter(|(_, why)| matches!(why, Closed::Full));
    for (address, why) in silent.iter().chain(full) {
        let _ = write!(others, "\n  {}: {why}", shown(address)); // a String takes everything
    }
    match alive.pop() {
        None => Err(Failure::none(format!("no runtime answers:{others}"))),
        Some((only, ..)) if alive.is_empty() => {
            tell(&format!(
                "rpmctl: of several runtimes, only the one at {} answers:{others}\n",
                shown(only.address())
            ));
            Ok(only)
        }
        Some(last) => {
            alive.push(last);
            Err(several(&alive, &others))
        }
    }
}

/// An address on one line: anybody can make a directory of any name below /tmp.
fn shown(address: &Address) -> String {
    plain(&address.to_string())
}

fn nothing(closed: &Refused, search: &Search) -> Failure {
    let mut text = match (&search.place, search.pid) {
        (_, Some(pid)) => format!("no runtime with pid {pid} can be reached"),
        (Place::Socket(address), None) => format!("no runtime can be reached at {address}"),
        (Place::Home(home) | Place::Usual(Some(home)), None) => {
            format!("no runtime can be reached in {}", home.display())
        }
        (Place::Usual(None), None) => "no runtime can be reached".to_owned(),
    };
    for (address, why) in closed.iter().take(MOST) {
        let _ = write!(text, "\n  {}: {why}", shown(address)); // a String takes everything
    }
    if let Some(more) = closed.len().checked_sub(MOST).filter(|more| *more > 0) {
        let _ = write!(text, "\n  and {more} more"); // a String takes everything
    }
    let others = |why: &Closed| matches!(why, Closed::Elsewhere(_));
    let mut ours = closed.iter().filter(|(_, why)| !others(why)).peekable();
    if closed.is_empty() {
        text.push_str(
            "; is it running, with RPM_CONTROL=on (in the role of tini it is off)? --home names its RPM_HOME",
        );
    }
    let denied = ours.peek().is_some() && ours.all(|(_, why)| why.is_denied());
    if closed.iter().any(|(_, why)| why.can_be_chosen()) {
        text.push_str("\nIt is used if --socket, --pid or --home chooses it.");
    } else if denied {
        text.push_str("\nOnly root and the user that runs it may use it.");
    }
    if !denied {
        return Failure::none(text);
    }
    let failure = Failure::not_allowed(text);
    // What others run says nothing about the one that is to come, unless it was chosen.
    if search.is_choice() {
        failure
    } else {
        failure.passing()
    }
}

/// A runtime that answers: its process as it is seen from here, and who it says it is.
type Alive = (Connection, Option<u32>, Result<Answer<Version>, Failure>);

fn several(alive: &[Alive], others: &str) -> Failure {
    let mut text = format!(
        "there are {} runtimes; choose one with --pid or --socket, or with --home if their directories differ:",
        alive.len()
    );
    for (connection, pid, answer) in alive {
        let address = connection.address();
        let pid = pid.or_else(|| of_runtime(address)).unwrap_or_default();
        let app = match answer {
            Ok(answer) => plain(&answer.value.app),
            Err(failure) => format!("({})", failure.why()),
        };
        let address = shown(address);
        let _ = write!(text, "\n  --pid {pid:<8} {app:<20} --socket {address}"); // a String takes everything
    }
    text.push_str(others);
    Failure::unclear(text)
}
