//! What the kernel lets another thread do: its ids and capabilities, and the directories that it must be allowed to pass
//! (credentials(7), user_namespaces(7), acl(5)).
#![expect(unsafe_code, reason = "getxattr(2) has no safe wrapper")]

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};

use super::unix::{FileId, errno, identity};
use crate::model::{Guard, Rights};

/// Longest way from the root to a directory. A path of PATH_MAX has at most 2048 steps; nobody has these.
const STEPS: usize = 256;

/// The name of a task's directory in /proc.
fn name(task: Option<i32>) -> String {
    task.map_or_else(|| "thread-self".to_owned(), |task| task.to_string())
}

/// A namespace, by the text of its link. `None` if the kernel has no such namespaces, and if it cannot be read.
pub(super) fn namespace(of: &str, kind: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{of}/ns/{kind}")).ok()
}

/// /proc/TID/status of a thread; `None`: our own. EPERM is not possible: everybody may read it.
pub(super) fn status(task: Option<i32>) -> nix::Result<Vec<u8>> {
    let path = format!("/proc/{}/status", name(task));
    fs::read(path).map_err(|error| errno(&error))
}

/// The words behind a name in such a file.
pub(super) fn words<'a>(status: &'a [u8], name: &[u8]) -> Option<impl Iterator<Item = &'a str>> {
    let mut lines = status.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(name))?;
    Some(std::str::from_utf8(line).ok()?.split_ascii_whitespace())
}

/// Reads what a thread may do; `None`: our own.
pub fn rights(task: Option<i32>) -> nix::Result<Rights> {
    let here = namespace(&name(task), "user") == namespace("self", "user");
    parse(&status(task)?, here).ok_or(Errno::EIO)
}

fn parse(status: &[u8], here: bool) -> Option<Rights> {
    // The last of the four ids is the one for files.
    let id = |name: &[u8]| words(status, name)?.nth(3)?.parse().ok();
    let groups: Result<Vec<u32>, _> = words(status, b"Groups:")?.map(str::parse).collect();
    Some(Rights {
        uid: id(b"Uid:")?,
        gid: id(b"Gid:")?,
        groups: groups.ok()?,
        effective: u64::from_str_radix(words(status, b"CapEff:")?.next()?, 16).ok()?,
        here,
    })
}

/// The first port that everybody may bind in our network namespace (net.ipv4.ip_unprivileged_port_start; for IPv6 too).
pub fn first_free_port() -> u16 {
    /// Before Linux 4.11 it could not be changed.
    const FIXED: u16 = 1024;
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let number = text.ok().and_then(|text| text.trim().parse().ok());
    number.unwrap_or(FIXED)
}

/// Whether the kernel lets everybody use this algorithm of congestion control (tcp(7)).
pub fn allows_congestion_control(name: &[u8]) -> bool {
    let allowed = fs::read("/proc/sys/net/ipv4/tcp_allowed_congestion_control");
    let end = name.iter().position(|byte| *byte == 0);
    let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
    allowed.is_ok_and(|allowed| {
        let mut names = allowed.split(u8::is_ascii_whitespace);
        names.any(|one| !one.is_empty() && one == name)
    })
}

/// The directories from `from` to this one, which is the last. From the root if `from` is `None` or not above it.
pub(super) fn way(directory: impl AsFd, from: Option<FileId>) -> nix::Result<Vec<Guard>> {
    const LOOK: OFlag = OFlag::O_PATH
        .union(OFlag::O_DIRECTORY)
        .union(OFlag::O_CLOEXEC);
    let mut id = identity(&fstat(directory.as_fd())?);
    let mut way = vec![guard(directory.as_fd())?];
    let mut above = openat(directory, "..", LOOK, Mode::empty())?;
    while way.len() < STEPS {
        let next = identity(&fstat(&above)?);
        if next == id || from == Some(id) {
            way.reverse();
            return Ok(way);
        }
        id = next;
        way.push(guard(&above)?);
        let up: OwnedFd = openat(&above, "..", LOOK, Mode::empty())?;
        above = up;
    }
    Err(Errno::ENAMETOOLONG)
}

fn guard(directory: impl AsFd) -> nix::Result<Guard> {
    let stat = fstat(directory.as_fd())?;
    Ok(Guard {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        listed: has_list(directory),
    })
}

/// Whether the directory has an access control list. If that cannot be read, it counts as one.
fn has_list(directory: impl AsFd) -> bool {
    let path = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    let Ok(path) = CString::new(path) else {
        return true;
    };
    let name = c"system.posix_acl_access";
    // SAFETY: both strings end in NUL; without a buffer the kernel writes nothing and returns the length.
    let len = Errno::result(unsafe {
        libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0)
    });
    !matches!(len, Err(Errno::ENODATA | Errno::EOPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_capabilities_are_those_of_the_status() {
        let status =
            b"Name:\tUid:\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nCapPrm:\t0\n\
            CapEff:\t0000000000000400\n";
        let expected = Rights {
            uid: 4,
            gid: 8,
            groups: vec![9, 10],
            effective: 0x400,
            here: true,
        };
        assert_eq!(parse(status, true), Some(expected));
        assert_eq!(parse(b"Uid:\t1\t2\t3\t4\n", true), None);
    }

    #[test]
    fn a_thread_of_our_own_is_here_and_has_our_rights() {
        let task = nix::unistd::gettid().as_raw();
        let own = rights(None).unwrap();
        assert_eq!(rights(Some(task)), Ok(own.clone()));
        assert!(own.here);
        let file = std::fs::metadata("/proc/self").unwrap();
        assert_eq!(own.uid, std::os::unix::fs::MetadataExt::uid(&file));
        assert!(rights(Some(i32::MAX)).is_err());
    }

    #[test]
    fn the_way_to_a_directory_begins_at_the_root() {
        let base = std::env::temp_dir().join(format!("rpm-way-{}", std::process::id()));
        let inner = base.join("one/two");
        fs::create_dir_all(&inner).unwrap();
        let open = |path: &std::path::Path| fs::File::open(path).unwrap();
        let found = way(open(&inner), None).unwrap();
        let steps: Vec<Guard> = inner
            .ancestors()
            .map(|path| guard(open(path)).unwrap())
            .collect();
        assert!(found.iter().rev().eq(&steps), "{found:?} {steps:?}");
        let root = open(std::path::Path::new("/"));
        assert_eq!(way(root, None).unwrap().len(), 1);
        let id = |path: &std::path::Path| identity(&fstat(open(path)).unwrap());
        let from = |path: &std::path::Path| way(open(&inner), Some(id(path))).unwrap();
        assert_eq!(from(&base), found[found.len() - 3..]);
        assert_eq!(from(&inner), found[found.len() - 1..]);
        let elsewhere = std::path::Path::new("/proc");
        assert_eq!(from(elsewhere), found, "it does not lead there");
        assert!(found.iter().all(|guard| !guard.listed));
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn numbers_of_the_kernel_are_read() {
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
        assert_eq!(first_free_port().to_string(), text.trim());
        assert!(allows_congestion_control(b"reno\0\0"));
        assert!(!allows_congestion_control(b"ren"));
        assert!(!allows_congestion_control(b""));
    }
}
