//! Asking one worker of an unmodified program through the shared port: a source port that the steering program sends
//! to its listener and nobody else's.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use crate::model::SlotId;
use crate::policy::handover::PortKey;

use super::registry::SharedPorts;

/// First and longest pause between two looks at the queue.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(200));

/// Looks at the queue during one connection.
const LOOKS: u32 = 10;

/// Returns when the slot's worker has accepted a connection. One is made to its listener alone, so that there is one;
/// since a queue is first in, first out, any look that finds it shorter than the look before shows that the worker
/// accepts, however many others wait there. Never gives up: the caller drops it when the worker is gone.
pub async fn accepts(ports: SharedPorts, slot: SlotId) {
    let mut pause = PAUSE.0;
    let mut attempt = 0_u8;
    let mut before = 0;
    loop {
        if let Some((key, port)) = ports.probe_target(slot)
            && let Ok(_connection) = connect(key, port, attempt).await
        {
            // The pause comes first: the kernel may put the last step of the handshake off for a moment, and a
            // connection that is not in the queue yet looks like one that has left it. After some looks the connection
            // is closed: a worker that serves one client at a time may be waiting for us to speak.
            for _ in 0..LOOKS {
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
                match ports.queue_length(key, slot) {
                    Some(length) if length > 0 && length >= before => before = length,
                    _ => return,
                }
            }
        }
        attempt = attempt.wrapping_add(1);
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Connects from the slot's source port. The source address changes with each attempt, as far as there is a choice:
/// an earlier connection may rest in TIME_WAIT.
async fn connect(key: PortKey, source_port: u16, attempt: u8) -> io::Result<TcpStream> {
    let target = target(key.addr);
    let (socket, source): (TcpSocket, IpAddr) = match target {
        SocketAddr::V4(_) => (
            TcpSocket::new_v4()?,
            Ipv4Addr::new(127, 0, 1, attempt).into(),
        ),
        SocketAddr::V6(_) => (TcpSocket::new_v6()?, Ipv6Addr::LOCALHOST.into()),
    };
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(source, source_port))?;
    socket.connect(target).await
}

/// Where a port that listens on `addr` is reached from here.
fn target(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => {
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), addr.port())
        }
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::new(Ipv6Addr::LOCALHOST.into(), addr.port())
        }
        _ => addr,
    }
}
