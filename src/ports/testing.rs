//! Shared by the tests on real sockets: workers that are threads, and clients.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use crate::policy::handover::{PortKey, PortRule};
use crate::policy::steering::Balance;
use crate::sys::io::wait_readable;

use super::{PortSettings, SharedPorts, Steering};

/// Limit of each wait in the tests.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Opens a port with `slots` listeners and one spare, on 127.73.0.`last`, which no other test binds.
pub(super) fn open(
    last: u8,
    slots: u16,
    choice: Balance,
    descriptors: usize,
) -> (SharedPorts, PortKey) {
    let free = TcpListener::bind((Ipv4Addr::new(127, 73, 0, last), 0)).unwrap();
    let key = PortKey::new(free.local_addr().unwrap(), false);
    drop(free);
    let ports = SharedPorts::new(PortSettings {
        descriptors,
        slots,
        listeners: slots + 1,
        backlog: 4096,
        rule: PortRule::Any,
        steering: Some(Steering {
            balance: choice,
            follows: choice == Balance::Least,
            probe: None,
        }),
    });
    ports.open(key).unwrap();
    (ports, key)
}

/// Waits for `time`, where no event can be awaited.
pub(super) fn pause(time: Duration) {
    let (_never, nothing) = mpsc::channel::<()>();
    let _ = nothing.recv_timeout(time);
}

#[track_caller]
pub(super) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() {
        if condition() {
            return;
        }
        pause(Duration::from_millis(1));
    }
    panic!("never came true: {what}");
}

/// Makes closing this connection send a reset, so that nothing remains in the kernel.
pub(super) fn reset(client: &TcpStream) {
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(client, sockopt::Linger, &linger).unwrap();
}

/// Sends everything back at once.
pub(super) fn echo(mut client: TcpStream) {
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = client.read(&mut chunk) {
        if client.write_all(&chunk[..count]).is_err() {
            return;
        }
    }
}

/// Sends a word and expects it back from a worker that echoes.
#[track_caller]
pub(super) fn ask(client: &mut TcpStream) {
    client.write_all(b"ping").unwrap();
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ping");
}

/// Accepts until it is dropped, with one thread for each connection.
pub(super) struct Worker {
    end: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Worker {
    /// Starts on a listener in non-blocking mode.
    pub(super) fn start(
        listener: impl AsFd + Into<TcpListener> + Send + 'static,
        serve: impl Fn(TcpStream) + Clone + Send + 'static,
    ) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&end);
        let listener = listener.into();
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if wait_readable(&listener, Duration::from_millis(10)).unwrap() {
                    let (client, _) = listener.accept().unwrap();
                    client.set_nonblocking(false).unwrap();
                    let serve = serve.clone();
                    thread::spawn(move || serve(client));
                }
            }
        });
        Self {
            end,
            thread: Some(thread),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}
