//! Connections that clients keep, at a balance that counts connections. A test opens one when the choice knows of those
//! before, so what it gets does not depend on the speed of the machine.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::shared_port::{queue_length, stop, wait_ready, wait_rotation};
use crate::harness::{Builder, Connection, Reply, Runtime, example, threads, until};

/// A connection that the client keeps.
pub struct Kept {
    pub connection: Connection,
    pub slot: u16,
}

/// A service with `RPM_BALANCE=least`, and the connections that its clients keep.
pub struct Service {
    pub runtime: Runtime,
    pub kept: Vec<Kept>,
    workers: u16,
}

/// `examples/echo_server` on this port.
pub fn echoes(port: u16) -> Builder {
    Runtime::builder()
        .env("PORT", port.to_string())
        .env("RPM_READY", "listen")
        .arg(example("echo_server"))
}

/// What the balance has done, as `/status` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub arrivals: u64,
    pub counts: u64,
}

impl Service {
    /// Starts so many workers, and waits until connections go to all.
    #[track_caller]
    pub fn start(builder: Builder, workers: u16) -> Self {
        let runtime = builder
            .env("RPM_BALANCE", "least")
            .env("RPM_INSTANCES", workers.to_string())
            .start();
        wait_ready(&runtime, workers.into());
        let this = Self {
            runtime,
            kept: Vec::new(),
            workers,
        };
        this.wait_rotation();
        this
    }

    #[track_caller]
    pub fn wait_rotation(&self) {
        let slots: Vec<u16> = (0..self.workers).collect();
        wait_rotation(&self.runtime, &slots);
        // It was woken for the new listeners; when it sleeps again, it hears of arrivals there.
        until("the balance has been told", || sleeps(&self.runtime));
    }

    /// There are as many workers now.
    pub fn scaled(&mut self, workers: u16) {
        self.workers = workers;
    }

    #[track_caller]
    pub fn seen(&self) -> Seen {
        let status = self.runtime.get("/status").json();
        let of = |name: &str| {
            let value = status["balance"][name].as_u64();
            value.unwrap_or_else(|| panic!("no {name}: {}", status["balance"]))
        };
        Seen {
            arrivals: of("arrivals"),
            counts: of("counts"),
        }
    }

    /// Does what makes one connection arrive, and waits until the choice knows of it.
    #[track_caller]
    pub fn arrives<T>(&self, what: impl FnOnce() -> T) -> T {
        let before = self.seen().arrivals;
        let made = what();
        until("the balance has seen it", || self.seen().arrivals > before);
        made
    }

    /// Opens a connection, keeps it, and returns the slot that has it.
    #[track_caller]
    pub fn open(&mut self, address: SocketAddr) -> u16 {
        let kept = self.arrives(|| Kept::open(address));
        let slot = kept.slot;
        self.kept.push(kept);
        slot
    }

    /// So many clients come, the one with a number to the address that `address` gives. After each of them, no worker has
    /// two more than another, or than before. One more is right if connections were counted meanwhile: on a slow machine
    /// a client comes during each count, and then one may be placed as if another had not been there.
    #[track_caller]
    pub fn even_after_each(&mut self, clients: usize, address: impl Fn(usize) -> SocketAddr) {
        let (before, most) = (self.seen(), self.difference().max(1));
        for client in 0..clients {
            self.open(address(client));
            self.is_even(before, most);
        }
        let arrived = self.seen().arrivals - before.arrivals;
        assert_eq!(usize::try_from(arrived).unwrap(), clients);
    }

    /// Checks that a worker has at most so many more than another, or one more after a count.
    #[track_caller]
    pub fn is_even(&self, before: Seen, most: usize) {
        let counted = self.seen().counts > before.counts;
        let difference = self.difference();
        assert!(
            difference <= most + usize::from(counted),
            "{:?}, counted: {counted}",
            self.tally()
        );
    }

    /// Opens so many connections, and asks only then which slots have them: they are even, as in [`Self::even_after_each`].
    #[track_caller]
    pub fn even_unasked(&mut self, count: usize, address: SocketAddr) {
        let before = self.seen();
        let open = |_| self.arrives(|| Connection::open(address).unwrap());
        let opened: Vec<Connection> = (0..count).map(open).collect();
        self.kept.extend(opened.into_iter().map(Kept::ask));
        self.is_even(before, 1);
    }

    /// As [`Self::open`], where the worker of `still` does not accept. Returns the connection if it waits in that queue.
    #[track_caller]
    pub fn open_or_wait(&mut self, address: SocketAddr, still: u16) -> Option<Connection> {
        let listener = format!("0.0.0.0:{}", address.port());
        let waiting = || queue_length(&self.runtime, &listener, still);
        let before = waiting();
        let mut connection = self.arrives(|| {
            let mut connection = Connection::open(address).unwrap();
            let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
            connection.stream().write_all(request).unwrap();
            connection
        });
        let mut answered = false;
        until("it is answered or waits", || {
            answered = has_something(connection.stream());
            answered || waiting() > before
        });
        if !answered {
            return Some(connection);
        }
        self.kept.push(Kept::answered(connection));
        None
    }

    /// Waits until open connections have been counted that are open now, and the choice knows of it. Only after an arrival,
    /// because nothing is counted while nobody comes.
    #[track_caller]
    pub fn counted(&self) {
        // The next count may have begun already.
        let before = self.seen().counts;
        for more in 1..=2 {
            until("the open connections are counted", || {
                self.seen().counts >= before + more
            });
        }
    }

    /// As [`Self::counted`], after one more client.
    #[track_caller]
    pub fn counted_with(&mut self, address: SocketAddr) {
        self.open(address);
        self.counted();
    }

    /// Number of kept connections by slot, in their order.
    pub fn tally(&self) -> Vec<usize> {
        let of = |slot| self.kept.iter().filter(|kept| kept.slot == slot).count();
        (0..self.workers).map(of).collect()
    }

    /// By how much the worker with the most has more than the one with the fewest.
    pub fn difference(&self) -> usize {
        let tally = self.tally();
        tally.iter().max().unwrap() - tally.iter().min().unwrap()
    }

    /// The client closes so many connections of this slot. Waits until the worker has closed them.
    #[track_caller]
    pub fn close(&mut self, slot: u16, count: usize) {
        let mut left = count;
        self.kept.retain(|kept| {
            let goes = kept.slot == slot && left > 0;
            left -= usize::from(goes);
            !goes
        });
        assert_eq!(left, 0, "slot {slot}");
        self.wait_connections();
    }

    /// Waits until the workers have exactly the kept connections.
    #[track_caller]
    pub fn wait_connections(&self) {
        let tally = self.tally();
        until(&format!("connections {tally:?}"), || {
            let status = self.runtime.get("/status").json();
            let slots = status["slots"].as_array().unwrap().iter();
            let open = slots.map(|slot| slot["connections"].as_u64().unwrap());
            open.eq(tally.iter().map(|count| *count as u64))
        });
    }

    /// More clients come until no worker has two more than another. Then that stays so. A worker that has few gets each of
    /// them with a chance of one half; that it needs a thousand to catch up has a chance far below 1e-9.
    #[track_caller]
    pub fn gets_even(&mut self, address: SocketAddr) {
        let mut left = 1000;
        while self.difference() > 1 && left > 0 {
            self.open(address);
            left -= 1;
        }
        self.even_after_each(2 * usize::from(self.workers), |_| address);
    }

    /// As [`Self::gets_even`], after clients have left. A connection that came a few seconds ago counts although it is closed,
    /// so it takes time, and each of the clients comes after a count.
    #[track_caller]
    pub fn gets_even_with_time(&mut self, address: SocketAddr) {
        let mut left = 100;
        while self.difference() > 1 && left > 0 {
            self.counted_with(address);
            left -= 1;
        }
        self.gets_even(address);
    }

    /// Forgets the connections that their worker has closed, and returns how many these were.
    pub fn cut(&mut self) -> usize {
        let before = self.kept.len();
        self.kept.retain_mut(|kept| !kept.is_cut());
        before - self.kept.len()
    }

    #[track_caller]
    pub fn stop(self) {
        drop(self.kept);
        stop(self.runtime);
    }
}

impl Kept {
    #[track_caller]
    fn open(address: SocketAddr) -> Self {
        Self::ask(Connection::open(address).unwrap())
    }

    /// Asks which slot has this connection.
    #[track_caller]
    pub fn ask(mut connection: Connection) -> Self {
        let reply = connection.get("/").unwrap();
        Self::with(connection, &reply)
    }

    /// The answer says which slot has this connection.
    #[track_caller]
    pub fn answered(mut connection: Connection) -> Self {
        let reply = connection.reply().unwrap();
        Self::with(connection, &reply)
    }

    #[track_caller]
    fn with(connection: Connection, reply: &Reply) -> Self {
        assert_eq!(reply.status, 200);
        let slot = reply.json()["slot"].as_str().unwrap().parse().unwrap();
        Self { connection, slot }
    }

    /// Whether the worker has closed it.
    fn is_cut(&mut self) -> bool {
        // Nothing is asked, so there is nothing else to read.
        has_something(self.connection.stream())
    }
}

/// Whether the balancing thread sleeps.
fn sleeps(runtime: &Runtime) -> bool {
    let threads = threads(runtime.pid()).into_iter();
    let mut named = threads.filter(|(name, _)| name == "balance");
    named.all(|(_, path)| {
        let stat = fs::read_to_string(path.join("stat")).unwrap();
        stat.contains(" (balance) S")
    })
}

/// Whether there is something to read, if only the end.
fn has_something(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    !matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
}
