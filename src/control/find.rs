//! Finds the control sockets of running runtimes.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};

use super::{ABSTRACT, PRIVATE, SUFFIX, homes};
use crate::sys::proc::Proc;
use crate::sys::procunix;

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
    /// Those that answer.
    pub open: Vec<(Address, UnixStream)>,
    /// Those that are there and cannot be reached, with the reason.
    pub closed: Vec<(Address, io::Error)>,
}

/// Connects to every runtime of the directory, or of the usual directories of this user, and to those that have an
/// abstract name. `strict`: only the directory counts.
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
        match connect(&address) {
            Ok(stream) => found.open.push((address, stream)),
            // What a runtime left that was killed, or one that has just ended.
            Err(error) if is_gone(&error) => {}
            Err(error) => found.closed.push((address, error)),
        }
    }
    found
}

/// Connects to one address.
pub fn connect(address: &Address) -> io::Result<UnixStream> {
    match address {
        Address::Path(path) => UnixStream::connect(path),
        Address::Abstract(name) => {
            UnixStream::connect_addr(&SocketAddr::from_abstract_name(name.as_bytes())?)
        }
    }
}

/// Whether nobody listens there.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
    )
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
