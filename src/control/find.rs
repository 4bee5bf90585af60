//! Finds the control sockets of running runtimes.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::trust::{Doubt, Judge, Standing};
use super::{ABSTRACT, PRIVATE, SUFFIX, homes};
use crate::sys::clock::instant;
use crate::sys::peer::{Peer, may_stand_for_others};
use crate::sys::proc::Proc;
use crate::sys::procunix;
use crate::sys::unix;
use crate::sys::unix_client::connect_at_once;

/// Most sockets of one directory that are looked at, should somebody fill it.
const MOST: usize = 1024;

/// Most sockets in directories of other users that are looked at, in all of them together.
const ELSEWHERE: usize = 256;

/// Longest time for all of these.
const TIME: Duration = Duration::from_secs(1);

/// Where a runtime can be reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// A file.
    Path(PathBuf),
    /// An abstract name, without the leading zero.
    Abstract(String),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

impl std::str::FromStr for Address {
    type Err = &'static str;

    /// Reads what [`Display`](std::fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix('@') {
            Some("") => Err("it is a name without letters"),
            Some(name) => Ok(Self::Abstract(name.to_owned())),
            None if text.is_empty() => Err("it is empty"),
            None => Ok(Self::Path(PathBuf::from(text))),
        }
    }
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Only there; any name will do.
    Socket(Address),
    /// Only in this directory.
    Home(PathBuf),
    /// In this directory, else in the usual ones; and among abstract names.
    Usual(Option<PathBuf>),
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Search {
    /// Where.
    pub place: Place,
    /// Only the runtime with this PID, as it sees itself or as it is seen from here.
    pub pid: Option<u32>,
    /// Our user.
    pub uid: u32,
}

/// The outcome of a search.
#[derive(Debug, Default)]
pub struct Found {
    /// Connections. Whether somebody answers there is not known yet: the kernel connects to a suspended process too.
    pub open: Vec<Open>,
    /// Those that are there and cannot be used.
    pub closed: Vec<(Address, Closed)>,
}

/// A connection to one who may be believed.
#[derive(Debug)]
pub struct Open {
    /// Where.
    pub address: Address,
    /// The connection.
    pub stream: UnixStream,
    /// The process as it is seen from here; `None` if it is not.
    pub pid: Option<u32>,
    /// How sure it is that it is a runtime.
    standing: Standing,
}

impl Open {
    /// Whether it is the process that its name says.
    pub fn is_proven(&self) -> bool {
        self.standing == Standing::Proven
    }
}

/// Why a socket cannot be used.
#[derive(Debug)]
pub enum Closed {
    /// The kernel refuses the connection.
    Failed(io::Error),
    /// Clients wait already, as many as can, and nobody takes them: the process is suspended, or stuck.
    Full,
    /// This user listens there, who may not be believed.
    Foreign(u32),
    /// This user listens there, and nothing proves that it is a runtime.
    Unproven(u32),
    /// It said nothing for so long.
    Silent(Duration),
    /// It does not serve us, for this reason.
    Refused(String),
    /// It is in a directory of another user, so it says nothing about a runtime of ours.
    Elsewhere(Box<Closed>),
}

impl Closed {
    /// Whether another user could use it.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Failed(error) => error.kind() == io::ErrorKind::PermissionDenied,
            Self::Foreign(_) | Self::Unproven(_) | Self::Refused(_) => true,
            Self::Full | Self::Silent(_) | Self::Elsewhere(_) => false,
        }
    }

    /// Whether the person may choose it all the same.
    pub fn can_be_chosen(&self) -> bool {
        match self {
            Self::Unproven(_) => true,
            Self::Elsewhere(why) => why.can_be_chosen(),
            _ => false,
        }
    }
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Full => f.write_str("it accepts no connection, and its queue is full"),
            Self::Foreign(uid) => write!(f, "user {uid} runs it"),
            Self::Unproven(uid) => write!(
                f,
                "user {uid} runs it, and its process cannot be seen to be the one of its name"
            ),
            Self::Silent(time) => write!(f, "it does not answer within {} s", time.as_secs()),
            Self::Refused(why) => f.write_str(why),
            Self::Elsewhere(why) => why.fmt(f),
        }
    }
}

impl Search {
    /// Whether the person has named a socket, a directory or a process.
    pub fn is_choice(&self) -> bool {
        self.pid.is_some() || !matches!(self.place, Place::Usual(_))
    }

    /// Connects to every runtime that is looked for, and waits for nobody. Those of the best standing are left: another
    /// container may share the directory or the abstract names, and has its own PIDs, and other users can run what they like.
    /// Directories of other users are looked at only if nothing of ours is there.
    pub fn run(&self) -> Found {
        let mut found = Found::default();
        let seek = Seek::new(self);
        for address in self.addresses(&seek.proc, &mut found.closed) {
            seek.attempt(address, &mut found, |why| why);
        }
        let full = |(_, why): &(_, Closed)| matches!(why, Closed::Full);
        let ours = !found.open.is_empty() || found.closed.iter().any(full);
        if self.place == Place::Usual(None) && !ours {
            seek.elsewhere(&mut found);
        }
        let best = found.open.iter().map(|open| open.standing).max();
        found.open.retain(|open| Some(open.standing) == best);
        found
    }

    /// The sockets of the place, and the directories that we may not read.
    fn addresses(&self, proc: &Proc, closed: &mut Vec<(Address, Closed)>) -> Vec<Address> {
        let mut sockets = |home: &PathBuf| {
            sockets(home).unwrap_or_else(|error| {
                if error.kind() == io::ErrorKind::PermissionDenied {
                    closed.push((Address::Path(home.clone()), Closed::Failed(error)));
                }
                Vec::new()
            })
        };
        let mut addresses = match &self.place {
            Place::Socket(address) => vec![address.clone()],
            Place::Home(home) => sockets(home),
            Place::Usual(home) => {
                let homes = home
                    .clone()
                    .map_or_else(|| homes(self.uid), |home| vec![home]);
                let files = homes.iter().flat_map(&mut sockets);
                files.chain(abstract_names(proc)).collect()
            }
        };
        addresses.sort();
        addresses.dedup();
        addresses
    }
}

/// A search at work.
struct Seek<'a> {
    search: &'a Search,
    proc: Proc,
    judge: Judge,
}

impl<'a> Seek<'a> {
    fn new(search: &'a Search) -> Self {
        Self {
            search,
            proc: Proc::new("/proc"),
            judge: Judge {
                uid: search.uid,
                ambiguous: may_stand_for_others(search.uid),
                chosen: search.is_choice(),
            },
        }
    }

    /// Connects to one, if it is looked for.
    fn attempt(&self, address: Address, found: &mut Found, tell: fn(Closed) -> Closed) {
        let pid = self.search.pid;
        let named = pid.is_none_or(|pid| of_runtime(&address) == Some(pid));
        match attempt(&address, &self.proc, self.judge) {
            Ok(open) if named || open.pid == pid => found.open.push(open),
            Err(Some(why)) if named => found.closed.push((address, tell(why))),
            Ok(_) | Err(_) => {}
        }
    }

    /// Connects to what is in directories of other users: root may use it, others are told that it is there. They can make as
    /// many as they like, so number and time are limited for all of them together.
    fn elsewhere(&self, found: &mut Found) {
        let tell = |why| Closed::Elsewhere(Box::new(why));
        let end = instant() + TIME;
        let (addresses, unread) = elsewhere(Path::new(PRIVATE), &homes(self.search.uid), end);
        for address in addresses {
            if instant() >= end {
                break;
            }
            self.attempt(address, found, tell);
        }
        let unread = unread.into_iter().filter(|_| self.search.pid.is_none());
        let unread = unread.map(|(home, error)| (Address::Path(home), tell(Closed::Failed(error))));
        found.closed.extend(unread);
    }
}

/// Connects, and judges who listens. `Err(None)`: nobody does any more.
fn attempt(address: &Address, proc: &Proc, judge: Judge) -> Result<Open, Option<Closed>> {
    let stream = connect(address).map_err(|error| match error.kind() {
        // What a runtime left that was killed, or one that has just ended.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            if of_runtime(address).is_some() =>
        {
            None
        }
        io::ErrorKind::WouldBlock => Some(Closed::Full),
        _ => Some(Closed::Failed(error)),
    })?;
    let peer = Peer::of(&stream).map_err(|errno| Some(Closed::Failed(errno.into())))?;
    let proven = name_of(address).is_some_and(|(pid, start)| peer.is_process(proc, pid, start));
    let standing = judge.hears(peer, proven).map_err(|doubt| {
        Some(match doubt {
            Doubt::Foreign => Closed::Foreign(peer.uid),
            Doubt::Unproven => Closed::Unproven(peer.uid),
        })
    })?;
    Ok(Open {
        address: address.clone(),
        stream,
        pid: u32::try_from(peer.pid).ok().filter(|pid| *pid > 0),
        standing,
    })
}

/// Connects to one address without waiting.
pub fn connect(address: &Address) -> io::Result<UnixStream> {
    let address = match address {
        Address::Path(path) => unix::Address::Path(path.clone()),
        Address::Abstract(name) => unix::Address::Abstract(name.clone().into_bytes()),
    };
    connect_at_once(&address)
}

/// The process that an address names.
pub fn of_runtime(address: &Address) -> Option<u32> {
    name_of(address).map(|(pid, _)| pid)
}

/// The process that an address names, and its start in milliseconds after the boot.
fn name_of(address: &Address) -> Option<(u32, u64)> {
    let name = match address {
        Address::Path(path) => path.file_name()?.to_str()?.strip_suffix(SUFFIX)?,
        Address::Abstract(name) => name.strip_prefix(ABSTRACT)?,
    };
    let (pid, start) = name.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = digits(start) && digits(pid);
    is_name.then(|| Some((pid.parse().ok()?, start.parse().ok()?)))?
}

/// The sockets in the directories whose paths begin so, without our own ones, and the directories that cannot be read: of each at
/// most [`ELSEWHERE`], and what is found until `end`.
fn elsewhere(
    begin: &Path,
    own: &[PathBuf],
    end: Instant,
) -> (Vec<Address>, Vec<(PathBuf, io::Error)>) {
    let (mut addresses, mut unread) = (Vec::new(), Vec::new());
    let name = begin.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    let entries = begin.parent().and_then(|parent| fs::read_dir(parent).ok());
    let entries = entries.into_iter().flatten().filter_map(Result::ok);
    let entries = entries.take_while(|_| instant() < end);
    let others = entries.map(|entry| entry.path()).filter(|path| {
        let is = path.file_name().and_then(|name| name.to_str());
        is.is_some_and(|is| is.starts_with(name)) && !own.contains(path)
    });
    for home in others.take(ELSEWHERE) {
        match fs::read_dir(&home) {
            Ok(entries) => {
                let entries = entries.take_while(|_| instant() < end);
                let left = ELSEWHERE - addresses.len();
                addresses.extend(of_runtimes(entries).take(left));
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                unread.push((home, error));
            }
            Err(_) => {}
        }
    }
    (addresses, unread)
}

/// The sockets in a directory, by their names.
fn sockets(home: &Path) -> io::Result<Vec<Address>> {
    Ok(of_runtimes(fs::read_dir(home)?).take(MOST).collect())
}

/// Those that have the name of a runtime's socket.
fn of_runtimes(
    entries: impl Iterator<Item = io::Result<fs::DirEntry>>,
) -> impl Iterator<Item = Address> {
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let sockets = paths.map(Address::Path);
    sockets.filter(|address| of_runtime(address).is_some())
}

/// The abstract names of runtimes in the kernel's table. None without /proc.
fn abstract_names(proc: &Proc) -> Vec<Address> {
    let mut found = Vec::new();
    let _ = procunix::dump(proc, |row| {
        let name = row.address.as_bytes().strip_prefix(b"@");
        // Those of others need not be text.
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        let address = name.map(|name| Address::Abstract(name.to_owned()));
        found.extend(address.filter(|address| of_runtime(address).is_some()));
    });
    found
}

#[cfg(test)]
mod tests;
