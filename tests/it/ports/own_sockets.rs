//! Listeners whose `bind` the runtime does not see. Here the program gets its listener from another process; a program of
//! 32 bits, and one that binds by io_uring, look the same.

use std::fs;
use std::io::IoSlice;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixListener;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::harness::reloads::reload;
use crate::harness::shared_port::{field, stop, wait_ready};
use crate::harness::{Runtime, free_port, scratch};

/// Fetches its listener, and then says that it is ready.
const PROGRAM: &str = "
import os, signal, socket
from_whom = socket.socket(socket.AF_UNIX)
from_whom.connect(os.environ['FROM'])
data, fds, _, _ = socket.recv_fds(from_whom, 1, 1)
to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = os.environ['NOTIFY_SOCKET']
to.sendto(b'READY=1', '\\0' + name[1:] if name.startswith('@') else name)
signal.pause()
";

/// Gives the next worker a copy of this descriptor.
fn give(from: &UnixListener, fd: RawFd) {
    let (client, _) = from.accept().unwrap();
    let fds = [fd];
    let content = [IoSlice::new(b"!")];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(
        client.as_raw_fd(),
        &content,
        &rights,
        MsgFlags::empty(),
        None,
    )
    .unwrap();
}

#[test]
fn a_ready_worker_that_listens_by_itself_on_a_port_to_be_shared_is_told_of_once() {
    let port = free_port();
    let directory = scratch("own-sockets");
    let path = directory.join("from.sock");
    let from = UnixListener::bind(&path).unwrap();
    let own = TcpListener::bind(("127.0.0.1", port)).unwrap();
    // A free port of the kernel's choice is no fixed one.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let runtime = Runtime::builder()
        .env("RPM_READY", "notify")
        .env("FROM", path.display().to_string())
        .program(["/usr/bin/python3", "-c", PROGRAM])
        .start();
    give(&from, own.as_raw_fd());
    let told = |line: &str| line.contains("listens on a port that is not shared");
    let line = runtime.wait_for_line(told);
    assert_eq!(field(&line, "port"), format!("127.0.0.1:{port}"));
    assert!(line.contains("its bind was not seen"), "{line}");
    wait_ready(&runtime, 1);
    // The next ones have it too, and another one that is not to be shared.
    for fd in [own.as_raw_fd(), free.as_raw_fd()] {
        std::thread::scope(|scope| {
            scope.spawn(|| give(&from, fd));
            reload(&runtime);
        });
    }
    let lines = runtime.lines();
    assert_eq!(lines.iter().filter(|line| told(&line.text)).count(), 1);
    stop(runtime);
    fs::remove_dir_all(directory).unwrap();
}
