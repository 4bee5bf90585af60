use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};

use super::*;
use crate::sys::epoll_set::items;
use crate::sys::listener::inode;

const ET: u32 = libc::EPOLLET.cast_unsigned();
const IN: u32 = libc::EPOLLIN.cast_unsigned();
/// The kernel adds them to every entry.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP).cast_unsigned();

/// The set and the listener of a worker; `taken` is what has the worker's number here.
struct Scene {
    set: Epoll,
    listener: TcpListener,
    taken: File,
}

impl Scene {
    fn new() -> Self {
        Self {
            set: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap(),
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            taken: File::open("/proc/self/status").unwrap(),
        }
    }

    fn places(&self, events: u32) -> [Place<&OwnedFd>; 1] {
        [Place {
            set: &self.set.0,
            events,
            data: 0xdead_beef_0000_0007,
        }]
    }

    /// Number, inode and events of all entries.
    fn entries(&self) -> Vec<(i32, u64, u32)> {
        let entries = items(&self.set.0).unwrap();
        let entries = entries.iter();
        entries
            .map(|item| (item.number, item.inode, item.events))
            .collect()
    }

    /// The data of the events that are ready now.
    fn ready(&self) -> Vec<u64> {
        let mut events = [EpollEvent::empty(); 4];
        let count = self.set.wait(&mut events, EpollTimeout::ZERO).unwrap();
        events[..count].iter().map(EpollEvent::data).collect()
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listener.local_addr().unwrap()).unwrap()
    }
}

/// Waits for the thread's end, and drops the registration.
fn abandon(registration: Registration) {
    let Registration { go, thread, .. } = registration;
    drop(go);
    thread.join().unwrap();
}

#[test]
fn a_member_gets_the_number_it_has_elsewhere_and_nothing_is_closed_here() {
    let scene = Scene::new();
    let (number, before) = (scene.taken.as_raw_fd(), inode(&scene.taken).unwrap());
    let registration = add(&scene.listener, number, &scene.places(IN | ET)).unwrap();
    let listener = inode(&scene.listener).unwrap();
    assert_eq!(scene.entries(), [(number, listener, ET | ALWAYS)]);
    let _client = scene.connect();
    assert_eq!(scene.ready(), Vec::<u64>::new());
    let (armed, thread) = registration.arm();
    assert_eq!(armed, Ok(()));
    thread.join().unwrap();
    assert_eq!(scene.entries(), [(number, listener, IN | ET | ALWAYS)]);
    assert_eq!(scene.ready(), [0xdead_beef_0000_0007]);
    assert_eq!(inode(&scene.taken), Ok(before));

    let removed = remove(&scene.listener, number, &scene.places(0)).unwrap();
    removed.join().unwrap();
    assert_eq!(scene.entries(), []);
    assert_eq!(inode(&scene.taken), Ok(before));
}

#[test]
fn a_registration_that_is_dropped_leaves_nothing() {
    let scene = Scene::new();
    let number = scene.taken.as_raw_fd();
    abandon(add(&scene.listener, number, &scene.places(IN)).unwrap());
    assert_eq!(scene.entries(), []);
}

#[test]
fn the_number_may_be_that_of_the_set_or_of_the_member() {
    let scene = Scene::new();
    for number in [scene.set.0.as_raw_fd(), scene.listener.as_raw_fd()] {
        let registration = add(&scene.listener, number, &scene.places(IN)).unwrap();
        let (armed, thread) = registration.arm();
        assert_eq!(armed, Ok(()));
        thread.join().unwrap();
        let listener = inode(&scene.listener).unwrap();
        assert_eq!(scene.entries(), [(number, listener, IN | ALWAYS)]);
        let removed = remove(&scene.listener, number, &scene.places(0)).unwrap();
        removed.join().unwrap();
    }
}

#[test]
fn an_entry_that_the_worker_left_behind_is_replaced() {
    let scene = Scene::new();
    let number = scene.taken.as_raw_fd();
    for events in [IN, IN | EXCLUSIVE, ET] {
        let registration = add(&scene.listener, number, &scene.places(events)).unwrap();
        let (armed, thread) = registration.arm();
        assert_eq!(armed, Ok(()));
        thread.join().unwrap();
        let entries: Vec<u32> = scene.entries().iter().map(|entry| entry.2).collect();
        assert_eq!(entries, [events | ALWAYS]);
    }
}

#[test]
fn what_cannot_be_registered_is_an_error_and_changes_nothing() {
    let scene = Scene::new();
    let added = add(&scene.listener, i32::MAX, &scene.places(IN));
    assert_eq!(added.map(drop), Err(Errno::EBADF));
    // A file cannot be watched: the first place is taken back.
    let number = scene.listener.as_raw_fd();
    let file = OwnedFd::from(File::open("/").unwrap());
    let two = [&scene.set.0, &file].map(|set| Place {
        set,
        events: IN,
        data: 1,
    });
    let added = add(&scene.listener, number, &two);
    assert_eq!(added.map(drop), Err(Errno::EINVAL));
    assert_eq!(scene.entries(), []);
}
