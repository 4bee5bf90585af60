//! Finds the control sockets of running runtimes.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::trust::{Doubt, Judge, Standing};
use super::{ABSTRACT, PRIVATE, SUFFIX, homes};
use crate::sys::peer::{Peer, may_stand_for_others};
use crate::sys::proc::Proc;
use crate::sys::procunix;
use crate::sys::unix;
use crate::sys::unix_client::connect_at_once;

/// Most sockets of one directory that are looked at, should somebody fill it.
const MOST: usize = 1024;

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
}

impl Closed {
    /// Whether another user could use it.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Failed(error) => error.kind() == io::ErrorKind::PermissionDenied,
            Self::Foreign(_) | Self::Unproven(_) | Self::Refused(_) => true,
            Self::Full | Self::Silent(_) => false,
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
        }
    }
}

impl Search {
    /// Whether the person has named a socket, a directory or a process.
    pub fn is_choice(&self) -> bool {
        self.pid.is_some() || !matches!(self.place, Place::Usual(_))
    }

    /// Connects to every runtime that is looked for, and waits for nobody. If some are proven to be what their names say,
    /// the others are left out: another container may share the directory or the abstract names, and has its own PIDs.
    pub fn run(&self) -> Found {
        let proc = Proc::new("/proc");
        let judge = Judge {
            uid: self.uid,
            ambiguous: may_stand_for_others(self.uid),
            chosen: self.is_choice(),
        };
        let mut found = Found::default();
        let addresses = self.addresses(&proc, &mut found.closed);
        for address in addresses {
            let named = self.pid.is_none_or(|pid| of_runtime(&address) == Some(pid));
            match attempt(&address, &proc, judge) {
                Ok(open) if named || open.pid == self.pid => found.open.push(open),
                Err(Some(why)) if named => found.closed.push((address, why)),
                Ok(_) | Err(_) => {}
            }
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
                    .map_or_else(|| usual(self.uid), |home| vec![home]);
                let files = homes.iter().flat_map(&mut sockets);
                files.chain(abstract_names(proc)).collect()
            }
        };
        addresses.sort();
        addresses.dedup();
        addresses
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

/// The usual directories, then those of other users: root may use what is there, others are told that it is there.
fn usual(uid: u32) -> Vec<PathBuf> {
    let mut homes = homes(uid);
    let private = Path::new(PRIVATE);
    let (parent, begin) = (private.parent(), private.file_name());
    let begin = begin.and_then(|name| name.to_str()).unwrap_or_default();
    let entries = parent.and_then(|parent| fs::read_dir(parent).ok());
    let others = entries.into_iter().flatten().filter_map(Result::ok);
    let others = others.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(begin)) && !homes.contains(path)
    });
    let others: Vec<PathBuf> = others.take(MOST).collect();
    homes.extend(others);
    homes
}

/// The sockets in a directory, by their names.
fn sockets(home: &Path) -> io::Result<Vec<Address>> {
    let entries = fs::read_dir(home)?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let sockets = paths.map(Address::Path);
    let ours = sockets.filter(|address| of_runtime(address).is_some());
    Ok(ours.take(MOST).collect())
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
mod tests {
    use std::os::unix::net::UnixListener;

    use super::super::socket_name;
    use super::*;
    use crate::sys::proc::ProcDir;

    #[test]
    fn only_the_names_of_runtimes_are_taken() {
        let path = |name: &str| of_runtime(&Address::Path(PathBuf::from(name)));
        assert_eq!(path("/run/rpm-runtime/17-2300.sock"), Some(17));
        for other in [
            "/run/17-2300",
            "/run/x-2300.sock",
            "/run/17.sock",
            "/run/-5.sock",
            "/run/1-+5.sock",
            "/run/99999999999999-5.sock",
        ] {
            assert_eq!(path(other), None, "{other}");
        }
        let name = |name: &str| of_runtime(&Address::Abstract(name.to_owned()));
        assert_eq!(name("rpm-runtime/1-50"), Some(1));
        assert_eq!(name("other/1-50"), None);
    }

    #[test]
    fn an_address_is_read_as_it_is_shown() {
        for text in ["/run/rpm-runtime/17-2300.sock", "@rpm-runtime/1-50", "x"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert!("".parse::<Address>().is_err());
        assert!("@".parse::<Address>().is_err());
    }

    #[test]
    fn the_process_of_the_name_is_preferred_to_one_that_has_taken_a_name() {
        let home = std::env::temp_dir().join(format!("rpm-proven-{}", std::process::id()));
        // Left by an earlier process with our PID.
        let _ = fs::remove_dir_all(&home);
        fs::create_dir(&home).unwrap();
        let search = |pid| Search {
            place: Place::Home(home.clone()),
            pid,
            uid: crate::sys::links::effective_user(),
        };
        let names = |found: Found| -> Vec<String> {
            let open = found.open.into_iter().map(|open| open.address);
            open.map(|address| address.to_string()).collect()
        };
        let listen = |name: &str| {
            let path = home.join(name);
            let listener = UnixListener::bind(&path).unwrap();
            (listener, path.to_str().unwrap().to_owned())
        };
        let (_taken, taken) = listen("1-5.sock");
        assert_eq!(names(search(None).run()), [taken.as_str()]);
        let proc = Proc::new("/proc");
        let started = proc.stat(ProcDir::Own).unwrap().started;
        let own = std::process::id();
        let (_own, real) = listen(&format!("{}{SUFFIX}", socket_name(own, started)));
        assert_eq!(names(search(None).run()), [real.as_str()]);
        assert_eq!(names(search(Some(1)).run()), [taken]);
        assert_eq!(names(search(Some(own)).run()), [real]);
        fs::remove_dir_all(&home).unwrap();
    }

    #[test]
    fn abstract_names_are_read_from_the_table_of_the_kernel() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
                      0000000000000000: 00000002 00000000 00010000 0001 01 1 @rpm-runtime/1-50\n\
                      0000000000000000: 00000002 00000000 00010000 0001 01 2 /run/x.sock\n\
                      0000000000000000: 00000002 00000000 00010000 0001 01 3\n\
                      0000000000000000: 00000002 00000000 00010000 0001 01 4 @other\n\
                      0000000000000000: 00000002 00000000 00010000 0001 01 5 @\xff\n";
        let root = std::env::temp_dir().join(format!("rpm-find-{}", std::process::id()));
        fs::create_dir_all(root.join("net")).unwrap();
        fs::write(root.join("net/unix"), table).unwrap();
        let found = abstract_names(&Proc::new(&root));
        fs::remove_dir_all(&root).unwrap();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["@rpm-runtime/1-50"]);
    }
}
