//! A connection to exactly one worker.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout, timeout_at};

use crate::sys::client;

use super::check::{Failure, Fault, Step};
use super::deadline::Deadline;
use super::target::Target;

/// Source addresses that are tried: each may still be used by, or rest from, another connection.
const TRIES: u32 = 16;

/// Pause between two tries where there is one source address only.
const PAUSE: Duration = Duration::from_millis(20);

/// How long, and how much of it, the rest of an answer is waited for.
const REST: (Duration, usize) = (Duration::from_millis(200), 64 * 1024);

/// Counts connections, of all workers: each gets the next source address.
static MADE: AtomicU32 = AtomicU32::new(0);

/// Closed when it is dropped; it does not rest in TIME_WAIT then, see [`client::forget_when_closed`].
#[derive(Debug)]
pub(super) struct Connection(TcpStream);

impl Connection {
    /// Connects to the target's listener. The kernel accepts for the worker, so this says only that the listener is
    /// there and its queue is not full.
    pub async fn open(target: Target, deadline: &Deadline) -> Result<Self, Fault> {
        let mut refused = Errno::EADDRNOTAVAIL;
        for _ in 0..TRIES {
            let connecting = async { Ok(open_from(target, source(target)).await) };
            let error = match deadline.step(Step::Connect, connecting).await? {
                Ok(stream) => {
                    // Without it there is a rest in TIME_WAIT, and the next source address to ask from.
                    let _ = client::forget_when_closed(&stream);
                    return Ok(Self(stream));
                }
                Err(error) => error,
            };
            match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                taken @ (Errno::EADDRINUSE | Errno::EADDRNOTAVAIL) => refused = taken,
                Errno::ECONNREFUSED => return Err(Failure::Refused.into()),
                Errno::ECONNRESET => return Err(Failure::Reset.into()),
                _ => return Err(Fault::Ours(format!("cannot connect to it: {error}"))),
            }
            let end = deadline.at(deadline.limit);
            if target.addr.is_ipv6() && timeout_at(end, sleep(PAUSE)).await.is_err() {
                break;
            }
        }
        let port = target.source_port;
        Err(Fault::Ours(format!(
            "cannot use source port {port}: {}",
            refused.desc()
        )))
    }

    /// Sends all of `bytes`.
    pub async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.0.writable().await?;
            match self.0.try_write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for the next bytes; 0 is the end.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.0.readable().await?;
            match self.0.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    /// Waits for the worker's end, a moment and no longer than `limit`: a program that is cut off while it still sends would
    /// complain, and if both sides end at once, both may rest in TIME_WAIT.
    pub async fn see_off(&self, limit: Duration) {
        let rest = async {
            let mut piece = [0; 4096];
            let mut total = 0;
            while total < REST.1 {
                match self.receive(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => total += count,
                }
            }
        };
        // However it ends, the answer stands.
        let _ = timeout(REST.0.min(limit), rest).await;
    }

    /// For the HTTP library.
    pub fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.0)
    }

    /// Returns when the worker did something with the connection, which it cannot without having accepted it: it sent
    /// something, or closed. After `open` it reads the end of the stream, upon which most programs close.
    pub async fn used(&self, open: Duration) -> Result<(), Fault> {
        let mut byte = [0];
        let mut used = timeout(open, self.receive(&mut byte)).await;
        if used.is_err() {
            // It fails if the connection is over, and then there is something to receive.
            let _ = client::half_close(&self.0);
            used = Ok(self.receive(&mut byte).await);
        }
        match used {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Failure::Reset.into()),
        }
    }
}

async fn open_from(target: Target, source: IpAddr) -> io::Result<TcpStream> {
    let socket = if target.addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(source, target.source_port))?;
    socket.connect(target.addr).await
}

/// The next address to ask from.
fn source(target: Target) -> IpAddr {
    if target.addr.is_ipv6() {
        return Ipv6Addr::LOCALHOST.into();
    }
    rotated(MADE.fetch_add(1, Ordering::Relaxed)).into()
}

/// 127.0.1.1 to 127.0.254.254, one after the other.
fn rotated(number: u32) -> Ipv4Addr {
    let octet = |number: u32| u8::try_from(1 + number % 254).unwrap_or(1);
    Ipv4Addr::new(127, 0, octet(number / 254), octet(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::TcpListener;

    #[test]
    fn sources_rotate_through_all_of_their_range() {
        let some = 254 * 254;
        let all: HashSet<Ipv4Addr> = (0..some).map(rotated).collect();
        assert_eq!(all.len(), usize::try_from(some).unwrap());
        assert_eq!(rotated(0), Ipv4Addr::new(127, 0, 1, 1));
        assert_eq!(rotated(some - 1), Ipv4Addr::new(127, 0, 254, 254));
        assert_eq!(rotated(some), rotated(0));
        assert!(rotated(u32::MAX).is_loopback());
    }

    #[test]
    fn a_source_that_is_taken_is_passed_over() {
        let worker = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target {
            addr: worker.local_addr().unwrap(),
            source_port: 64_800,
        };
        let next = MADE.load(Ordering::Relaxed);
        let _taken: Vec<TcpListener> = (next..next + TRIES - 1)
            .map(|number| TcpListener::bind((rotated(number), 64_800)).unwrap())
            .collect();
        let connection = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(Connection::open(
                target,
                &Deadline::new(Duration::from_secs(20)),
            ));
        assert!(connection.is_ok(), "{connection:?}");
        let (_, from) = worker.accept().unwrap();
        assert!(!(next..next + TRIES - 1).any(|number| from.ip() == rotated(number)));
    }
}
