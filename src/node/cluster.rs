//! The part of Node's cluster primary (lib/internal/cluster/primary.js and shared_handle.js of Node).

use std::mem;
use std::os::fd::OwnedFd;

use nix::errno::Errno;

use crate::policy::handover::Transport;
use crate::policy::unix::Endpoint;
use crate::ports::{Asker, PortEvent};
use crate::sys::unix::is_in_our_network;

use super::message::{Cluster, number, text};
use super::peer::Peer;
use super::servers::{Place, Query, Server};
use super::thread::Thread;
use super::{NodeEvent, Said};

/// Most servers of one worker at a time.
const MOST_SERVERS: usize = 256;

impl<F: Fn(NodeEvent)> Thread<F> {
    /// A worker's message of the cluster module.
    pub(super) fn cluster(&mut self, peer: &mut Peer, message: &Cluster<'_>) {
        match message.act.as_deref() {
            Some("queryServer") if !peer.leaves => self.query(peer, message),
            Some("listening") => self.listens(peer, message),
            Some("close") => self.closes(peer, message),
            Some("exitedAfterDisconnect") => {
                if let Some(seq) = message.seq {
                    peer.tell_cluster(&format!("\"ack\":{seq}"));
                }
                if !mem::replace(&mut peer.leaves, true) {
                    self.say(peer.member, Said::Leaves);
                }
            }
            // `online`, answers, and what later versions may say.
            _ => {}
        }
    }

    /// The program asks for a server.
    fn query(&mut self, peer: &mut Peer, message: &Cluster<'_>) {
        let Some(seq) = message.seq else { return };
        let Query { name, place } = Query::read(message);
        let given = place.and_then(|place| {
            let asker = peer.asker.ok_or(Errno::EADDRINUSE)?;
            // The kernel would refuse a second socket there. A server of port 0 has a name for each index.
            if peer.servers.iter().any(|server| server.name == name) {
                return Err(Errno::EADDRINUSE);
            }
            if peer.servers.len() >= MOST_SERVERS {
                return Err(Errno::EMFILE);
            }
            self.give(&name, place, asker)
        });
        let own = message
            .data
            .map_or("null", serde_json::value::RawValue::get);
        let data = self.servers.common_data(&name, own);
        let key = serde_json::to_string(&name).unwrap_or_default();
        match given {
            Ok((fd, at)) => {
                let kind = if is_udp(at.as_ref()) {
                    "dgram.Native"
                } else {
                    "net.Native"
                };
                let body = format!("\"errno\":0,\"key\":{key},\"ack\":{seq},\"data\":{data}");
                peer.tell_cluster_with(&body, kind, fd);
                peer.unconfirmed.push_back((seq, name.clone()));
                if peer.unconfirmed.len() > MOST_SERVERS {
                    // Node confirms each. This is a program that does not.
                    peer.unconfirmed.pop_front();
                }
                peer.servers.push(Server {
                    name,
                    at,
                    listens: false,
                });
            }
            Err(errno) => refuse(peer, &key, seq, data, errno),
        }
    }

    /// The listener that a worker gets, and where it listens.
    fn give(
        &mut self,
        name: &str,
        place: Place,
        asker: Asker,
    ) -> nix::Result<(OwnedFd, Option<Endpoint>)> {
        let (ports, server) = self.ports.as_ref().ok_or(Errno::EADDRINUSE)?;
        // Elsewhere the port would be another one. A process of another uid does not show where it is.
        if is_in_our_network(asker.worker.get()) == Ok(false) {
            return Err(Errno::EACCES);
        }
        match place {
            Place::Port(wanted) => {
                let given = match self.servers.chosen(name) {
                    Some(key) => match ports.ask_key(key, asker) {
                        // It was closed, and somebody else has it by now.
                        Err(Errno::EADDRINUSE) => ports.ask(wanted, asker)?,
                        given => given?,
                    },
                    None => ports.ask(wanted, asker)?,
                };
                if let Endpoint::Port(key) = given.key
                    && wanted.port == 0
                {
                    self.servers.choose(name, key);
                }
                for event in given.events {
                    self.port(event);
                }
                Ok((given.fd, Some(given.key)))
            }
            Place::Path(path) => {
                let (fd, key) = server.ask_path(path, asker)?;
                Ok((fd, Some(key.into())))
            }
            Place::Descriptor(number) => Ok((self.inherited.listener(number)?, None)),
        }
    }

    /// The program's server listens.
    fn listens(&self, peer: &mut Peer, message: &Cluster<'_>) {
        let Some(asker) = peer.asker else { return };
        let port = message.port.and_then(number);
        let path = message.address.and_then(text);
        let fits = |server: &Server| match &server.at {
            Some(Endpoint::Port(key)) => {
                let udp = message
                    .address_type
                    .is_some_and(|kind| kind.get().starts_with("\"udp"));
                port == Some(i64::from(key.addr.port())) && udp == (key.transport == Transport::Udp)
            }
            Some(Endpoint::Unix(_)) => {
                let wanted = server.name.rsplitn(4, ':').nth(3);
                path.is_some() && wanted == path.as_deref()
            }
            None => message.fd.is_some(),
        };
        let found = peer
            .servers
            .iter_mut()
            .find(|server| !server.listens && fits(server));
        let Some(server) = found else { return };
        server.listens = true;
        let (worker, slot) = (asker.worker, asker.slot);
        match &server.at {
            None => self.port(PortEvent::ListensAlone { worker, slot }),
            Some(at) if is_udp(Some(at)) || !self.sees_listen => {
                let key = at.clone();
                self.port(PortEvent::Listening { worker, slot, key });
            }
            Some(_) => {}
        }
    }

    /// The program has closed a server.
    fn closes(&self, peer: &mut Peer, message: &Cluster<'_>) {
        let name = message.key.and_then(text);
        if let Some(name) = name {
            self.leave(peer, &name);
        }
    }

    /// The worker has this server no more.
    fn leave(&self, peer: &mut Peer, name: &str) {
        let at = peer.servers.iter().position(|server| server.name == name);
        let server = at.map(|at| peer.servers.remove(at));
        let port = server.and_then(|server| server.at);
        if let (Some(port), Some(asker), Some((ports, _))) = (port, peer.asker, &self.ports) {
            for event in ports.leave_port(&port, asker) {
                self.port(event);
            }
        }
    }

    /// A listener has arrived at the worker, or not: then its table of descriptors is full.
    pub(super) fn handle_arrived(&mut self, peer: &mut Peer, arrived: bool) {
        let Some((seq, name)) = peer.unconfirmed.pop_front() else {
            return;
        };
        if arrived {
            return;
        }
        self.leave(peer, &name);
        let data = self.servers.common_data(&name, "null");
        let key = serde_json::to_string(&name).unwrap_or_default();
        refuse(peer, &key, seq, data, Errno::EMFILE);
    }

    fn port(&self, event: PortEvent) {
        (self.events)(NodeEvent::Port(event));
    }
}

fn is_udp(at: Option<&Endpoint>) -> bool {
    matches!(at, Some(Endpoint::Port(key)) if key.transport == Transport::Udp)
}

/// The program gets an error. `data` goes with it, because a TLS server reads it in any case.
fn refuse(peer: &mut Peer, key: &str, seq: i64, data: &str, errno: Errno) {
    let errno = -(errno as i32);
    peer.tell_cluster(&format!(
        "\"errno\":{errno},\"key\":{key},\"ack\":{seq},\"data\":{data}"
    ));
}
