//! Forwards data between two connections, in both directions, until both sides have closed.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Most bytes in one read.
const CHUNK: usize = 16 * 1024;

/// Most chunks in a row before other tasks get their turn.
const ROUNDS: usize = 16;

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    /// Bytes that were read and not written yet.
    left: Vec<u8>,
    /// The end of the stream was read.
    ended: bool,
    /// This direction is finished.
    over: bool,
}

/// Forwards data and the end of each stream, until both sides have ended. Also ends if there is no traffic for `idle`
/// (up to twice as long), or if one connection breaks: then the other is reset.
pub(super) async fn relay(mut client: TcpStream, mut server: TcpStream, idle: Duration) {
    // If this fails, only the delay of small packets differs.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (mut to_server, mut to_client) = (Direction::default(), Direction::default());
    loop {
        let mut moved = false;
        let both = poll_fn(|cx| {
            let to_server = to_server.poll(&mut client, &mut server, &mut moved, cx);
            let to_client = to_client.poll(&mut server, &mut client, &mut moved, cx);
            match (to_server, to_client) {
                (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => {
                    Poll::Ready(Err(error))
                }
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
                _ => Poll::Pending,
            }
        });
        match timeout(idle, both).await {
            Ok(Ok(())) => return,
            Ok(Err(_)) => {
                // One side aborted the connection. An orderly close would look to the other side like a complete message.
                let _ = client.set_zero_linger();
                let _ = server.set_zero_linger();
                return;
            }
            Err(_) if !moved => return,
            Err(_) => {}
        }
    }
}

impl Direction {
    /// Ready when this direction is finished; fails if `from` broke.
    fn poll(
        &mut self,
        from: &mut TcpStream,
        to: &mut TcpStream,
        moved: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..ROUNDS {
            if self.over {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_write(to, moved, cx)).is_err() {
                // The receiver reads no more. It may still send something, such as the reason.
                self.over = true;
            } else if self.ended {
                // The error is ignored: a broken connection cannot be closed in order.
                let _ = ready!(Pin::new(&mut *to).poll_shutdown(cx));
                self.over = true;
            } else {
                ready!(self.poll_read(from, to, moved, cx))?;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes the bytes in `left`.
    fn poll_write(
        &mut self,
        to: &TcpStream,
        moved: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.left.is_empty() {
            match to.try_write(&self.left) {
                Ok(count) => {
                    *moved = true;
                    self.left.drain(..count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(to.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once and writes as much as possible at once. Only the rest is kept, so an idle connection needs no buffer.
    fn poll_read(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        moved: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; CHUNK];
        loop {
            match from.try_read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    *moved = true;
                    let read = chunk.get(..count).unwrap_or_default();
                    // An error here comes again when the rest is written.
                    let written = to.try_write(read).unwrap_or(0);
                    self.left = read.get(written..).unwrap_or_default().to_vec();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(from.poll_read_ready(cx))?;
                    continue;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            return Poll::Ready(Ok(()));
        }
    }
}

#[cfg(test)]
mod tests;
