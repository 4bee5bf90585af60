//! Clients of UDP programs that answer `PID SLOT WORD`.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{patience, until};

/// A client with a source port of its own.
pub struct Asker {
    socket: UdpSocket,
    asked: u64,
}

impl Asker {
    pub fn new(target: SocketAddr) -> Self {
        let own = if target.is_ipv4() {
            "127.0.0.1:0"
        } else {
            "[::1]:0"
        };
        let socket = UdpSocket::bind(own).unwrap();
        socket.connect(target).unwrap();
        socket.set_read_timeout(Some(patience())).unwrap();
        Self { socket, asked: 0 }
    }

    /// Sends a word without waiting for the answer. An error means that nobody has the port.
    pub fn send(&self, word: &str) {
        self.socket.send(word.as_bytes()).unwrap();
    }

    /// The next answer: PID, slot and word. `None` if none comes in time, or nobody has the port.
    pub fn receive(&self) -> Option<(i32, String, String)> {
        let mut answer = [0; 256];
        let len = self.socket.recv(&mut answer).ok()?;
        let text = std::str::from_utf8(&answer[..len]).unwrap();
        let words: Vec<&str> = text.split(' ').collect();
        Some((words[0].parse().unwrap(), words[1].into(), words[2].into()))
    }

    /// Sends a word that no other has, and waits for its answer: PID and slot.
    pub fn ask(&mut self) -> Option<(i32, String)> {
        self.asked += 1;
        let word = format!("w{}", self.asked);
        self.socket.send(word.as_bytes()).ok()?;
        loop {
            let (pid, slot, answered) = self.receive()?;
            if answered == word {
                return Some((pid, slot));
            }
        }
    }
}

/// Clients that send the next word when the last one is answered.
pub struct ClosedLoop {
    end: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<u64>>,
}

impl ClosedLoop {
    /// Starts the clients. A word that is not answered within two seconds is lost, and the client goes on.
    pub fn start(target: SocketAddr, clients: u32) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let clients = (0..clients).map(|_| {
            let (end, answered) = (Arc::clone(&end), Arc::clone(&answered));
            thread::spawn(move || {
                let mut client = Asker::new(target);
                let limit = Some(Duration::from_secs(2).max(patience() / 5));
                client.socket.set_read_timeout(limit).unwrap();
                let mut lost = 0;
                while !end.load(Ordering::Relaxed) {
                    if client.ask().is_some() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    } else {
                        lost += 1;
                    }
                }
                lost
            })
        });
        Self {
            clients: clients.collect(),
            end,
            answered,
        }
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits for `count` more answers.
    #[track_caller]
    pub fn wait_answers(&self, count: u64) {
        let goal = self.answered() + count;
        until("the clients are answered", || self.answered() >= goal);
    }

    /// Ends the clients: words that were lost.
    pub fn stop(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        self.clients
            .into_iter()
            .map(|one| one.join().unwrap())
            .sum()
    }
}
