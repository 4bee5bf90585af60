//! A connection to one particular worker.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout, timeout_at};

use crate::checks::{Failure, NotPassed, Step, Target};
use crate::sys::{client, random};

use super::deadline::Deadline;
use super::tls::{Tls, TlsFault};

/// Number of source addresses to try: another connection may use an address or leave it in TIME_WAIT.
const TRIES: u32 = 16;

/// Pause between two attempts if there is only one source address.
const PAUSE: Duration = Duration::from_millis(20);

/// Limits of waiting for the rest of an answer: time and bytes.
const REST: (Duration, usize) = (Duration::from_millis(200), 64 * 1024);

/// Number of connections to all workers; selects the next source address.
static MADE: AtomicU32 = AtomicU32::new(0);

/// Closes the connection on drop. The connection does not enter TIME_WAIT, see [`client::forget_when_closed`].
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    tls: Option<Box<Tls>>,
}

impl Connection {
    /// Connects to the target's listener. The kernel completes the handshake before the worker accepts, so success only
    /// means that the listener exists and its queue is not full.
    pub async fn open(target: Target, deadline: &Deadline) -> Result<Self, NotPassed> {
        let mut refused = Errno::EADDRNOTAVAIL;
        for _ in 0..TRIES {
            let connecting = async { Ok(open_from(target, source(target)).await) };
            let error = match deadline.step(Step::Connect, connecting).await? {
                Ok(stream) => {
                    // If this fails, the connection enters TIME_WAIT, and the next check uses another source address.
                    let _ = client::forget_when_closed(&stream);
                    return Ok(Self::over(stream));
                }
                Err(error) => error,
            };
            match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                taken @ (Errno::EADDRINUSE | Errno::EADDRNOTAVAIL) => refused = taken,
                Errno::ECONNREFUSED => return Err(Failure::Refused.into()),
                Errno::ECONNRESET => return Err(Failure::Reset.into()),
                _ => return Err(NotPassed::Ours(format!("cannot connect to it: {error}"))),
            }
            let end = deadline.at(deadline.limit);
            if target.addr.is_ipv6() && timeout_at(end, sleep(PAUSE)).await.is_err() {
                break;
            }
        }
        let port = target.source_port;
        Err(NotPassed::Ours(format!(
            "cannot use source port {port}: {}",
            refused.desc()
        )))
    }

    /// Wraps a connected stream.
    pub fn over(stream: TcpStream) -> Self {
        Self { stream, tls: None }
    }

    /// Makes the TLS handshake. From then on, [`Self::send`] and [`Self::receive`] take and give plain text.
    pub async fn secure(&mut self) -> Result<(), NotPassed> {
        let mut tls = loop {
            let random = random::bytes().and_then(|hello| Ok((hello, random::bytes()?)));
            let (hello, secret) =
                random.map_err(|errno| NotPassed::Ours(format!("no random numbers: {errno}")))?;
            if let Some(tls) = Tls::start(&hello, &secret) {
                break Box::new(tls);
            }
        };
        // Not a part of the future: every check would have it, also those without TLS.
        let mut piece = vec![0; 4096];
        loop {
            // An error is ignored: the server may have said why it closes, which is read next.
            let _ = send(&self.stream, &tls.outgoing()).await;
            if tls.is_open() {
                self.tls = Some(tls);
                return Ok(());
            }
            let count = match receive(&self.stream, &mut piece).await {
                Ok(0) => return Err(Failure::Tls(TlsFault::Closed).into()),
                Ok(count) => count,
                Err(_) => return Err(Failure::Reset.into()),
            };
            tls.feed(piece.get(..count).unwrap_or_default())
                .map_err(Failure::Tls)?;
        }
    }

    /// Sends all bytes. With TLS, at most 16 KiB.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => send(&self.stream, bytes).await,
            Some(tls) => send(&self.stream, &tls.seal(bytes)).await,
        }
    }

    /// Waits for the next bytes; 0 means the end of the stream. A fault of TLS is a [`Failure`] inside an [`io::Error`].
    pub async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return receive(&self.stream, buffer).await;
        };
        // Not a part of the future: every check would have it, also those without TLS.
        let mut piece = vec![0; 4096];
        loop {
            let count = tls.take(buffer);
            if count > 0 || tls.is_closed() {
                return Ok(count);
            }
            let count = receive(&self.stream, &mut piece).await?;
            if count == 0 {
                return Ok(0);
            }
            tls.feed(piece.get(..count).unwrap_or_default())
                .map_err(|fault| io::Error::other(Failure::Tls(fault)))?;
        }
    }

    /// Waits briefly, at most `limit`, for the worker to close. A program that is cut off while it sends would log an
    /// error, and if both sides close at the same time, both may enter TIME_WAIT.
    pub async fn see_off(&mut self, limit: Duration) {
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
        // The result of the check does not depend on how this ends.
        let _ = timeout(REST.0.min(limit), rest).await;
    }

    /// The stream, for the HTTP library.
    pub fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.stream)
    }

    /// Returns when the worker has used the connection, which shows that it accepted it: it sent something or closed.
    /// After `open` this closes our sending side, upon which most programs close.
    pub async fn used(&mut self, open: Duration) -> Result<(), NotPassed> {
        let mut byte = [0];
        let mut used = timeout(open, self.receive(&mut byte)).await;
        if used.is_err() {
            // This fails if the connection has ended; then the next receive returns.
            let _ = client::half_close(&self.stream);
            used = Ok(self.receive(&mut byte).await);
        }
        match used {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Failure::Reset.into()),
        }
    }
}

async fn send(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
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

/// The next source address.
fn source(target: Target) -> IpAddr {
    if target.addr.is_ipv6() {
        return Ipv6Addr::LOCALHOST.into();
    }
    rotated(MADE.fetch_add(1, Ordering::Relaxed)).into()
}

/// The addresses 127.0.1.1 to 127.0.254.254, in turn.
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
