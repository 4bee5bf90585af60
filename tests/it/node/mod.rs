//! Node's channel: cluster workers without Node's primary. What depends on the protocol runs with Node 18, 20, 22 and
//! 24.

mod dgram;
mod hostile;
mod intercom;
mod listen;
mod log4js;
mod messages;
mod ready;
mod shutdown;
mod stop;
mod tls;
mod worker;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::harness::nodes::Service;
use crate::harness::{http_get, until};

/// Two ready workers that do not use PORT.
fn without_port(version: u32, start: &str) -> Service {
    Service::with(version, 2, start, |builder| builder.env_remove("PORT")).ready()
}

/// Sends requests until exactly these slots have answered.
#[track_caller]
fn answered_by(address: SocketAddr, slots: &[u16]) {
    let wanted: BTreeSet<String> = slots.iter().map(u16::to_string).collect();
    let mut seen = BTreeSet::new();
    until(&format!("{slots:?} answer at {address}"), || {
        seen.insert(slot_of(address));
        seen.is_superset(&wanted)
    });
    assert_eq!(seen, wanted);
}

/// Who answers one request.
#[track_caller]
fn slot_of(address: SocketAddr) -> String {
    let reply = http_get(address, "/").unwrap_or_else(|error| panic!("{address}: {error}"));
    reply.json()["slot"].as_str().unwrap().to_owned()
}
