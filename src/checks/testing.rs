//! Small servers on the listeners of a real group with steering.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::policy::handover::PortKey;
use crate::policy::steering::{Balance, ProbePorts, program};
use crate::sys::{listener, steering};

use super::Target;
use crate::model::{Page, Scheme};

/// Longer than any check of these tests that shall pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a worker must fail within.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// Source port of listener 0.
pub(crate) const BASE: u16 = 61_100;

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// A shared port, as the runtime opens it. Of its listeners only the first is in the program.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) key: PortKey,
    pub(crate) listeners: Arc<Vec<OwnedFd>>,
}

impl Group {
    pub(crate) fn open(addr: &str, v6only: bool, members: u16, backlog: u32) -> Self {
        let ip: SocketAddr = addr.parse().unwrap();
        // A port that was free a moment ago, and is so on every address.
        let free = TcpListener::bind(ip).unwrap().local_addr().unwrap();
        let key = PortKey::new(free, v6only);
        let listeners: Vec<OwnedFd> = (0..members)
            .map(|_| listener::open(key.addr, v6only, backlog, true).unwrap())
            .collect();
        let places: Vec<u32> = (0..u32::from(members)).collect();
        let ports = Some(ProbePorts {
            base: BASE,
            count: 100,
        });
        let code = program(
            u32::try_from(places.len()).unwrap(),
            &places,
            &[0],
            &[],
            Balance::Random,
            ports,
        )
        .unwrap();
        steering::attach(&listeners[0], &code).unwrap();
        Self {
            key,
            listeners: Arc::new(listeners),
        }
    }

    /// Of four members.
    pub(crate) fn new() -> Self {
        Self::open("127.0.0.1:0", false, 4, 64)
    }

    pub(crate) fn target(&self, number: u16) -> Target {
        Target::new(self.key, BASE + number)
    }

    pub(crate) fn queue(&self, number: usize) -> impl Fn() -> Option<u32> + use<> {
        let listeners = Arc::clone(&self.listeners);
        move || {
            let queue = listener::queue(&listeners[number]).ok()?;
            Some(queue.length)
        }
    }

    pub(crate) fn accepting(&self, number: usize) -> TcpListener {
        listener::duplicate(&self.listeners[number]).unwrap().into()
    }

    /// The worker of this listener does `serve` with one client after the other.
    pub(crate) fn work(&self, number: usize, serve: impl Fn(TcpStream) + Send + 'static) {
        let listener = self.accepting(number);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap());
            }
        });
    }

    /// Clients that wait at the listener with this number.
    pub(crate) fn crowd(&self, number: u16, clients: u16) -> Vec<TcpStream> {
        let before = self.queue(usize::from(number))().unwrap();
        let crowd: Vec<TcpStream> = (0..clients).map(|_| self.client(number)).collect();
        let all = before + u32::from(clients);
        while self.queue(usize::from(number))().unwrap() < all {
            thread::yield_now();
        }
        crowd
    }

    /// A client of this listener.
    pub(crate) fn client(&self, number: u16) -> TcpStream {
        block_on(async {
            for last in 1..=u8::MAX {
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                socket.set_reuseaddr(true).unwrap();
                let source = SocketAddr::from(([127, 1, 0, last], BASE + number));
                socket.bind(source).unwrap();
                if let Ok(stream) = socket.connect(self.target(number).addr).await {
                    return stream.into_std().unwrap();
                }
            }
            panic!("no address is left");
        })
    }
}

/// A page over plain HTTP.
pub(crate) fn page(path: &str) -> Page {
    Page::new(Scheme::Http, path)
}

/// Reads the head of a request.
pub(crate) fn request(stream: &TcpStream) -> String {
    let mut head = String::new();
    let mut lines = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head).unwrap_or(0) == 0 {
            break;
        }
    }
    head
}

/// A worker's last words are no concern of it.
pub(crate) fn send(mut stream: &TcpStream, bytes: impl AsRef<[u8]>) {
    let _ = stream.write_all(bytes.as_ref());
}

/// Waits for the client's end.
pub(crate) fn rest(mut stream: &TcpStream) -> std::io::Result<usize> {
    stream.read_to_end(&mut Vec::new())
}

/// Its end is a reset.
pub(crate) fn reset_at_the_end(stream: &TcpStream) {
    let now = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::Linger, &now).unwrap();
}

/// Connections of ours to worker 2 of this group that rest in TIME_WAIT.
pub(crate) fn resting(group: &Group) -> usize {
    let (ours, theirs) = (BASE + 2, group.key.addr.port());
    let rows =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap());
    let is_one = |row: &&str| {
        let words: Vec<&str> = row.split_whitespace().collect();
        words[1].ends_with(&format!(":{ours:04X}"))
            && words[2].ends_with(&format!(":{theirs:04X}"))
            && words[3] == "06"
    };
    rows.concat().lines().filter(is_one).count()
}

/// A worker that answers every request with `status`, or with the value that the test has set since then.
pub(crate) fn answer(status: &str) -> (impl Fn(TcpStream) + Send + 'static, Arc<Mutex<String>>) {
    let status = Arc::new(Mutex::new(status.to_owned()));
    let now = Arc::clone(&status);
    let serve = move |stream: TcpStream| {
        if !request(&stream).is_empty() {
            let status = now.lock().unwrap().clone();
            send(
                &stream,
                format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nhi"),
            );
        }
    };
    (serve, status)
}
