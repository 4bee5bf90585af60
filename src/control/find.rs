//! Finds the control sockets of running runtimes.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ABSTRACT, PRIVATE, SUFFIX, homes};
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

/// The outcome of a search.
#[derive(Debug, Default)]
pub struct Found {
    /// Connections. Whether somebody answers there is not known yet: the kernel connects to a suspended process too.
    pub open: Vec<(Address, UnixStream)>,
    /// Those that are there and cannot be reached.
    pub closed: Vec<(Address, Closed)>,
}

/// Why a socket cannot be used.
#[derive(Debug)]
pub enum Closed {
    /// The kernel refuses the connection.
    Failed(io::Error),
    /// Clients wait already, as many as can, and nobody takes them: the process is suspended, or stuck.
    Full,
    /// This user listens there, and may not be trusted.
    Foreign(u32),
    /// It said nothing for so long.
    Silent(Duration),
}

impl Closed {
    /// Whether another user could use it.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Failed(error) => error.kind() == io::ErrorKind::PermissionDenied,
            Self::Foreign(_) => true,
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
            Self::Silent(time) => write!(f, "it does not answer within {} s", time.as_secs()),
        }
    }
}

/// Connects to every runtime of the directory, or of the usual directories of this user, and to those that have an
/// abstract name. `strict`: only the directory counts. Waits for nobody.
pub fn find(home: Option<&Path>, strict: bool, uid: u32) -> Found {
    let mut addresses: Vec<Address> = match home {
        Some(home) => sockets(home),
        None => usual(uid).iter().flat_map(|home| sockets(home)).collect(),
    };
    if !(strict && home.is_some()) {
        addresses.extend(abstract_names(&Proc::new("/proc")));
    }
    addresses.sort();
    addresses.dedup();
    let mut found = Found::default();
    for address in addresses {
        let error = match connect(&address) {
            Ok(stream) => {
                found.open.push((address, stream));
                continue;
            }
            Err(error) => error,
        };
        match error.kind() {
            // What a runtime left that was killed, or one that has just ended.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {}
            io::ErrorKind::WouldBlock => found.closed.push((address, Closed::Full)),
            _ => found.closed.push((address, Closed::Failed(error))),
        }
    }
    found
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
    let name = match address {
        Address::Path(path) => path.file_name()?.to_str()?.strip_suffix(SUFFIX)?,
        Address::Abstract(name) => name.strip_prefix(ABSTRACT)?,
    };
    let (pid, start) = name.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(start) && digits(pid)).then(|| pid.parse().ok())?
}

/// The usual directories. Root sees those of all users.
fn usual(uid: u32) -> Vec<PathBuf> {
    let mut homes = homes(uid);
    if uid == 0 {
        let private = Path::new(PRIVATE);
        let (parent, begin) = (private.parent(), private.file_name());
        let begin = begin.and_then(|name| name.to_str()).unwrap_or_default();
        let entries = parent.and_then(|parent| fs::read_dir(parent).ok());
        let others = entries.into_iter().flatten().filter_map(Result::ok);
        homes.extend(
            others
                .filter(|entry| {
                    entry
                        .file_name()
                        .to_str()
                        .is_some_and(|name| name.starts_with(begin))
                })
                .map(|entry| entry.path())
                .take(MOST),
        );
    }
    homes
}

/// The sockets in a directory, by their names.
fn sockets(home: &Path) -> Vec<Address> {
    let entries = fs::read_dir(home).into_iter().flatten();
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let sockets = paths.map(Address::Path);
    sockets
        .filter(|address| of_runtime(address).is_some())
        .take(MOST)
        .collect()
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
    use super::*;

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
