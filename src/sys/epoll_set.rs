//! What an epoll set contains (proc_pid_fdinfo(5)): a set of our own, or one of another process.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags};

use super::remote::Descriptor;

/// Most bytes of one description to read, some 4 000 descriptors in a set. Programs have few of them when they `bind`.
const MOST: u64 = 512 * 1024;

/// Most descriptors of another process to look at.
const MOST_DESCRIPTORS: usize = 4096;

/// One watched descriptor. The kernel tells them apart by the open file description and this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// The descriptor's number when it was added.
    pub number: i32,
    /// The inode of what is watched.
    pub inode: u64,
    /// The events that are waited for, and the flags, such as EPOLLET.
    pub events: u32,
    /// What the program gets with an event.
    pub data: u64,
}

/// Creates an empty set, close-on-exec. Fails with EMFILE, ENFILE or ENOMEM (epoll_create(2)).
pub fn create() -> nix::Result<OwnedFd> {
    Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(|epoll| epoll.0)
}

/// What a set of our own contains.
pub fn items(set: impl AsFd) -> nix::Result<Vec<Item>> {
    let number = set.as_fd().as_raw_fd();
    read(&format!("/proc/self/fdinfo/{number}"))
}

/// Whether any epoll set of the process watches this descriptor of it.
pub fn is_watched(descriptor: Descriptor, inode: u64) -> nix::Result<bool> {
    let Descriptor { task, fd } = descriptor;
    let entries = fs::read_dir(format!("/proc/{task}/fd")).map_err(|error| errno(&error))?;
    for entry in entries.take(MOST_DESCRIPTORS) {
        let entry = entry.map_err(|error| errno(&error))?;
        // A descriptor that was closed meanwhile watches nothing.
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        if target.as_os_str() != "anon_inode:[eventpoll]" {
            continue;
        }
        let name = entry.file_name();
        let items = read(&format!("/proc/{task}/fdinfo/{}", name.display()));
        let same = |item: &Item| item.number == fd && item.inode == inode;
        if items.is_ok_and(|items| items.iter().any(same)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read(path: &str) -> nix::Result<Vec<Item>> {
    let file = fs::File::open(path).map_err(|error| errno(&error))?;
    let mut text = String::new();
    file.take(MOST)
        .read_to_string(&mut text)
        .map_err(|error| errno(&error))?;
    Ok(text.lines().filter_map(parse).collect())
}

/// Reads a line such as `tfd:        5 events: 8000001d data: ffffffff00000005  pos:0 ino:61af sdev:8`.
fn parse(line: &str) -> Option<Item> {
    let words = line.strip_prefix("tfd:")?;
    let (number, rest) = words.split_once("events:")?;
    let (events, rest) = rest.split_once("data:")?;
    let mut words = rest.split_whitespace();
    let data = words.next()?;
    let inode = words.find_map(|word| word.strip_prefix("ino:"))?;
    Some(Item {
        number: number.trim().parse().ok()?,
        inode: u64::from_str_radix(inode, 16).ok()?,
        events: u32::from_str_radix(events.trim(), 16).ok()?,
        data: u64::from_str_radix(data, 16).ok()?,
    })
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::sys::epoll::{EpollEvent, EpollFlags};

    use super::*;

    #[test]
    fn a_set_tells_what_it_contains() {
        let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = crate::sys::listener::inode(&socket).unwrap();
        let own = Descriptor {
            task: i32::try_from(std::process::id()).unwrap(),
            fd: socket.as_raw_fd(),
        };
        assert_eq!(items(&set.0), Ok(Vec::new()));
        assert_eq!(is_watched(own, inode), Ok(false));
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        let data = 0xfedc_ba98_0000_0001;
        set.add(&socket, EpollEvent::new(flags, data)).unwrap();
        let found = items(&set.0).unwrap();
        let [item] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!((item.number, item.inode), (socket.as_raw_fd(), inode));
        let wanted = flags | EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
        assert_eq!(item.events, wanted.bits().cast_unsigned());
        assert_eq!(item.data, data);
        assert_eq!(is_watched(own, inode), Ok(true));
        assert_eq!(is_watched(own, inode + 1), Ok(false));
    }

    #[test]
    fn lines_of_another_form_are_skipped() {
        let line = "tfd:        5 events:       19 data:                5  pos:0 ino:61af sdev:8";
        let item = Item {
            number: 5,
            inode: 0x61af,
            events: 0x19,
            data: 5,
        };
        assert_eq!(parse(line), Some(item));
        for other in ["pos:\t0", "flags:\t02", "tfd: 5 events: 19", "tfd:"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
