//! The thread that serves all channels.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;

use crate::policy::node::{Member, Parcel, Relay};
use crate::ports::{BindServer, SharedPorts};
use crate::sys;
use crate::sys::clock::Clock;
use crate::sys::epoll::{Interest, Poller, ReadyFd, Waker};
use crate::sys::inherited::Inherited;

use super::counts::Counts;
use super::log4js::Events;
use super::message::{self, Message};
use super::outbox::Line;
use super::peer::{Peer, Read};
use super::preload::DRAINS;
use super::servers::Servers;
use super::{Fault, NodeEvent, Order, Post, Posted, Said, Settings};

/// Messages that are held for a slot without a ready worker, bytes.
const HELD: usize = 8 << 20;

/// If so much waits for one worker, those that send to it are not read until it has read. Bytes.
const HIGH: usize = 1 << 20;

/// If so much of the runtime's own answers waits for a worker, it is not read until it has read them. Bytes; an answer with a
/// listener has some 150.
const ANSWERS: usize = 32 << 10;

/// What is read at once, bytes.
const PIECE: usize = 64 << 10;

/// Pieces that are read from one worker before it is the turn of the next.
const TURN: usize = 16;

const WAKER: u64 = 0;
/// The log has room again. No worker has this number.
const ROOM: u64 = u64::MAX;

/// How much of a message is shown, bytes. An event has place for less.
const SHOWN: usize = 1 << 10;

/// Stack size, bytes. The values of an event of log4js are shown by recursion.
const STACK: usize = 512 << 10;

pub(super) struct Thread<F> {
    pub(super) events: F,
    pub(super) ports: Option<(SharedPorts, BindServer)>,
    pub(super) sees_listen: bool,
    pub(super) inherited: Inherited,
    pub(super) servers: Servers,
    intercom: bool,
    pub(super) log4js: Events,
    pub(super) poller: Poller,
    waker: Waker,
    inbox: Receiver<Order>,
    pub(super) peers: HashMap<Member, Peer>,
    relay: Relay<Line>,
    /// A worker has sent packets of socket.io's adapter.
    socket_io: bool,
    pub(super) counts: Arc<Counts>,
    pub(super) clock: Clock,
    buffer: Vec<u8>,
}

pub(super) fn start(
    settings: Settings,
    events: impl Fn(NodeEvent) + Send + 'static,
    inbox: Receiver<Order>,
    waker: Waker,
    counts: Arc<Counts>,
) -> std::io::Result<()> {
    let poller = Poller::new()?;
    poller.add(&waker, WAKER, Interest::Readable)?;
    let log4js = Events::new(settings.log)?;
    poller.add(log4js.room(), ROOM, Interest::Readable)?;
    let state = Thread {
        events,
        ports: settings.ports,
        sees_listen: settings.sees_listen,
        inherited: settings.inherited,
        servers: Servers::default(),
        intercom: settings.intercom,
        log4js,
        poller,
        waker,
        inbox,
        peers: HashMap::new(),
        relay: Relay::new(settings.slots, HELD),
        socket_io: false,
        counts,
        clock: Clock::start(),
        buffer: vec![0; PIECE],
    };
    sys::thread::start("channel", STACK, move || state.run())?;
    Ok(())
}

impl<F: Fn(NodeEvent)> Thread<F> {
    fn run(mut self) {
        let mut ready = Vec::new();
        while self.poller.wait(&mut ready, self.until_look()).is_ok() {
            for one in &ready {
                self.serve(*one);
            }
            self.look_at_stuck();
            self.resume();
            self.tell_counts();
        }
    }

    fn serve(&mut self, ready: ReadyFd) {
        if ready.token == WAKER {
            self.waker.clear();
            while let Ok(order) = self.inbox.try_recv() {
                self.execute(order);
            }
            return;
        }
        if ready.token == ROOM {
            self.log4js.room().clear();
            return;
        }
        let member = Member(ready.token);
        let Some(mut peer) = self.peers.remove(&member) else {
            return;
        };
        if ready.readable || ready.hangup {
            self.read(&mut peer);
        }
        self.put_back(peer);
    }

    fn execute(&mut self, order: Order) {
        match order {
            Order::Serve(worker) => {
                let (member, slot) = (worker.member, worker.slot);
                self.log4js.started(slot);
                // It fails only for a bad descriptor.
                if let Ok(peer) = Peer::new(worker) {
                    self.relay.join(slot, member);
                    self.put_back(peer);
                }
            }
            Order::Ready(member) => {
                let due = self.relay.ready(member);
                self.deliver(due);
            }
            Order::Drains(member) => {
                // A program that closed its channel cannot be told. No message is lost by that.
                if self.peers.get(&member).is_some_and(|peer| !peer.closed) {
                    self.post(member, |peer| peer.outbox.push(DRAINS.into(), None));
                }
            }
            Order::Stops(member) => {
                if let Some(peer) = self.peers.get_mut(&member) {
                    peer.stops(self.clock.now());
                }
                self.relay.stops(member);
            }
            Order::Shutdown(member) => {
                let line: Line = Arc::from(&b"\"shutdown\"\n"[..]);
                self.post(member, |peer| peer.outbox.push(line, None));
            }
            Order::Post(post) => self.post_to_some(post),
            Order::Ended(member) => self.ended(member),
            Order::Resize(slots) => self.relay.resize(slots),
        }
    }

    /// Sends a message of an operator to those that read their channel.
    fn post_to_some(&mut self, post: Post) {
        let mut posted = Posted::default();
        for member in post.to {
            let peer = self.peers.get(&member);
            let Some(peer) = peer.filter(|peer| !peer.closed && !peer.over) else {
                posted.closed += 1;
                continue;
            };
            if peer.outbox.queued() + post.line.len() > HIGH {
                posted.full += 1;
                continue;
            }
            posted.workers += 1;
            let line = Arc::clone(&post.line);
            self.post(member, |peer| peer.outbox.push(line, None));
        }
        (post.told)(posted);
    }

    /// A worker has ended. What it sent before is handled first.
    fn ended(&mut self, member: Member) {
        let Some(mut peer) = self.peers.remove(&member) else {
            return;
        };
        peer.paused = false;
        // A listener would be of no use any more.
        peer.leaves = true;
        while !peer.over && peer.read(&mut self.buffer) == Read::Some {
            self.handle(&mut peer, false);
        }
        self.handle(&mut peer, false);
        peer.closed = true;
        peer.watch(&self.poller);
        if self.socket_io {
            // As the adapter's primary tells the workers.
            let Member(id) = member;
            let line = format!("{{\"source\":\"_sio_adapter\",\"type\":3,\"data\":{id}}}\n");
            self.broadcast(member, &Arc::from(line.into_bytes()));
        }
        let due = self.relay.left(member, peer.not_taken());
        self.deliver(due);
    }

    /// Reads what a worker has sent, for one turn.
    fn read(&mut self, peer: &mut Peer) {
        for _ in 0..TURN {
            if peer.over || peer.paused || peer.closed {
                return;
            }
            match peer.read(&mut self.buffer) {
                Read::Some => self.handle(peer, true),
                Read::Empty => return,
                Read::End => {
                    peer.closed = true;
                    self.say(peer.member, Said::Closed);
                }
                Read::Fault(fault) => self.fault(peer, fault),
            }
        }
    }

    /// Handles the lines that have come. `pauses`: until others have read what they were sent.
    fn handle(&mut self, peer: &mut Peer, pauses: bool) {
        if let Some(event) = peer.event.take() {
            peer.event = self.log4js.write(peer.label, event, pauses);
            peer.paused |= peer.event.is_some();
        }
        let mut lines = mem::take(&mut peer.lines);
        while !peer.over && !peer.paused {
            let Some(line) = lines.next_line() else {
                break;
            };
            let full = self.line(peer, line, pauses);
            peer.paused = (full || peer.outbox.own() > ANSWERS) && pauses;
        }
        if !peer.over {
            peer.lines = lines;
        }
    }

    /// Handles one line. True if it went to a worker for which much waits, or finds no room in the log.
    fn line(&mut self, peer: &mut Peer, line: &[u8], pauses: bool) -> bool {
        let Ok(message) = message::read(line) else {
            self.fault(peer, Fault::NotJson);
            return false;
        };
        if matches!(message, Message::Topic)
            && let Some(full) = self.log_event(peer, line, pauses)
        {
            return full;
        }
        if matches!(message, Message::Topic | Message::SocketIo | Message::Other) {
            let begin = line.get(..SHOWN).unwrap_or(line);
            let text = String::from_utf8_lossy(begin.trim_ascii_end()).into_owned();
            (self.events)(NodeEvent::Message(peer.label.slot, peer.label.pid, text));
        }
        match message {
            Message::Cluster(cluster) => self.cluster(peer, &cluster),
            Message::HandleArrived(arrived) => self.handle_arrived(peer, arrived),
            Message::Handle => {
                peer.drop_descriptor();
                self.counts.unaddressed.fetch_add(1, Relaxed);
                // Otherwise Node keeps all its later messages for itself.
                let answer: Line = Arc::from(&b"{\"cmd\":\"NODE_HANDLE_ACK\"}\n"[..]);
                peer.outbox.push(answer, None);
            }
            Message::Internal => {}
            Message::Ready => {
                if !mem::replace(&mut peer.said_ready, true) {
                    self.say(peer.member, Said::Ready);
                }
            }
            Message::Topic if self.intercom => {
                let due = self.relay.send(peer.member, &whole(line));
                return self.deliver(due);
            }
            Message::SocketIo if self.intercom => {
                self.socket_io = true;
                return self.broadcast(peer.member, &whole(line));
            }
            Message::Topic | Message::SocketIo | Message::Other => {
                self.counts.unaddressed.fetch_add(1, Relaxed);
            }
        }
        false
    }

    /// Delivers messages. True if much waits for one of the workers now.
    fn deliver(&mut self, due: Vec<(Member, Parcel<Line>)>) -> bool {
        let count = u64::try_from(due.len()).unwrap_or(u64::MAX);
        self.counts.relayed.fetch_add(count, Relaxed);
        let mut full = false;
        for (member, parcel) in due {
            full |= self.post(member, |peer| peer.outbox.relay(parcel));
        }
        full
    }

    /// Sends a line to all other workers, those included that are not ready yet or drain: each has clients of its own.
    fn broadcast(&mut self, from: Member, line: &Line) -> bool {
        let others: Vec<Member> = self
            .peers
            .keys()
            .filter(|one| **one != from)
            .copied()
            .collect();
        let count = u64::try_from(others.len()).unwrap_or(u64::MAX);
        self.counts.relayed.fetch_add(count, Relaxed);
        let mut full = false;
        for member in others {
            full |= self.post(member, |peer| peer.outbox.push(Arc::clone(line), None));
        }
        full
    }

    /// Puts something into the outbox of a worker, and sends it. True if much waits there now.
    fn post(&mut self, member: Member, put: impl FnOnce(&mut Peer)) -> bool {
        let Some(peer) = self.peers.get_mut(&member) else {
            return false;
        };
        if peer.closed {
            self.counts.lost_closed.fetch_add(1, Relaxed);
            return false;
        }
        put(peer);
        peer.flush(self.clock.now());
        peer.watch(&self.poller);
        peer.outbox.queued() > HIGH
    }

    fn put_back(&mut self, mut peer: Peer) {
        peer.flush(self.clock.now());
        peer.let_end_be_seen(self.clock.now());
        peer.watch(&self.poller);
        self.peers.insert(peer.member, peer);
    }

    /// Reads again from the workers that had to wait, if nobody has too much before it any more.
    fn resume(&mut self) {
        let waits = |peer: &&Peer| peer.paused;
        let paused: Vec<Member> = self
            .peers
            .values()
            .filter(waits)
            .map(|peer| peer.member)
            .collect();
        for member in paused {
            let full = |peer: &Peer| peer.outbox.queued() > HIGH && !peer.closed;
            if self.peers.values().any(full) {
                return;
            }
            if let Some(mut peer) = self.peers.remove(&member) {
                // If its own answers still wait, it is paused again.
                peer.paused = peer.outbox.own() > ANSWERS && !peer.closed;
                self.handle(&mut peer, true);
                self.put_back(peer);
            }
        }
    }

    /// A channel cannot be served any more. It stays open: closing it would end the program at once.
    fn fault(&mut self, peer: &mut Peer, fault: Fault) {
        peer.over = true;
        self.counts.faults.fetch_add(1, Relaxed);
        self.say(peer.member, Said::Fault(fault));
    }

    pub(super) fn say(&self, member: Member, said: Said) {
        (self.events)(NodeEvent::Worker(member, said));
    }

    fn tell_counts(&mut self) {
        self.counts.lose(&self.relay.lost());
        let held = u64::try_from(self.relay.held().0).unwrap_or(u64::MAX);
        self.counts.held.store(held, Relaxed);
    }
}

/// The line with its newline, to be sent to others.
fn whole(line: &[u8]) -> Line {
    line.iter().copied().chain([b'\n']).collect()
}
