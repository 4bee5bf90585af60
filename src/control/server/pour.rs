//! Sends the items of a stream.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use serde_json::value::{RawValue, to_raw_value};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::watch::Receiver;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::{Hall, write};
use crate::control::protocol::{Kind, Refusal};
use crate::control::stream::{Items, Next, Page};
use crate::sys::peer::hold_at_most;

/// Sends all items; then the answer is how many there were. A stream that follows ends with the runtime, or when the client says
/// anything more, which is put into `buffer`, or is gone. No time is too long for the client: it may be stopped, or show the
/// items page by page. It keeps nobody out, because it leaves for a new client.
pub(super) async fn pour(
    stream: &UnixStream,
    buffer: &mut Vec<u8>,
    mut items: Box<dyn Items>,
    hall: &Hall,
    over: &mut Receiver<bool>,
) -> io::Result<Result<Box<RawValue>, Refusal>> {
    // A larger buffer would only take more memory.
    let _ = hold_at_most(stream, hall.limits.held);
    let mut page = Page::new(hall.limits.page);
    // Only what is sent costs a turn. Whoever looks for a line in a large ring would wait for long otherwise.
    let mut pays = true;
    loop {
        if pays {
            unless(over, hall.page()).await;
        }
        // The loop has more to do, also when no turn is waited for.
        yield_now().await;
        if items.follows() {
            if !buffer.is_empty() || said(stream, buffer)? {
                break;
            }
        } else if stream.ready(Interest::WRITABLE).await?.is_write_closed() {
            // One that only sends nothing more still reads.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let ends = *over.borrow();
        let next = items.fill(&mut page);
        pays = !page.lines().is_empty();
        if pays {
            write(stream, page.lines()).await?;
            page.turn();
            hall.closing.went_on();
        }
        match next {
            Next::More => {}
            Next::End => break,
            Next::Wait if ends => break,
            Next::Wait => {
                let mut goes_on = Ok(true);
                unless(over, async {
                    goes_on = more(stream, buffer, items.as_mut()).await;
                })
                .await;
                if !goes_on? {
                    break;
                }
                unless(over, sleep(hall.limits.gather)).await;
            }
        }
    }
    let sent = to_raw_value(&page.sent());
    Ok(sent.map_err(|error| Refusal::new(Kind::Refused, error.to_string())))
}

/// Waits for `what`, or until the streams are to end.
async fn unless(over: &mut Receiver<bool>, what: impl Future<Output = ()>) {
    let (mut over, mut what) = (pin!(over.wait_for(|over| *over)), pin!(what));
    poll_fn(|context| match over.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => what.as_mut().poll(context),
    })
    .await;
}

/// Waits for more items; false: the client has said something, or has closed.
async fn more(
    stream: &UnixStream,
    buffer: &mut Vec<u8>,
    items: &mut dyn Items,
) -> io::Result<bool> {
    poll_fn(|context| {
        while let Poll::Ready(ready) = stream.poll_read_ready(context) {
            match ready.and_then(|()| said(stream, buffer)) {
                Ok(true) => return Poll::Ready(Ok(false)),
                // Now its readiness is known to be over.
                Ok(false) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        items.poll_more(context).map(|()| Ok(true))
    })
    .await
}

/// Whether the client has said something, or has closed.
fn said(stream: &UnixStream, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut bytes = [0; 256];
    match stream.try_read(&mut bytes) {
        Ok(count) => {
            buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}
