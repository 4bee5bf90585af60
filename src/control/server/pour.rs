//! Sends the items of a stream.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use serde_json::value::{RawValue, to_raw_value};
use tokio::net::UnixStream;
use tokio::time::sleep;

use super::{Hall, write};
use crate::control::protocol::{Kind, Refusal};
use crate::control::stream::{Items, Next, Page};

/// Sends all items; then the answer is how many there were. A stream that follows ends when the client says anything more, which
/// is put into `buffer`, or is gone. No time is too long for the client: it may be stopped, or show the items page by page. It
/// keeps nobody out, because it leaves for a new client.
pub(super) async fn pour(
    stream: &UnixStream,
    buffer: &mut Vec<u8>,
    mut items: Box<dyn Items>,
    hall: &Hall,
) -> io::Result<Result<Box<RawValue>, Refusal>> {
    let mut page = Page::new(hall.limits.page);
    loop {
        hall.page().await;
        if items.follows() && said(stream, buffer)? {
            break;
        }
        let next = items.fill(&mut page);
        if !page.lines().is_empty() {
            write(stream, page.lines()).await?;
            page.turn();
        }
        match next {
            Next::More => {}
            Next::Wait if more(stream, buffer, items.as_mut()).await? => {
                sleep(hall.limits.gather).await;
            }
            Next::Wait | Next::End => break,
        }
    }
    let sent = to_raw_value(&page.sent());
    Ok(sent.map_err(|error| Refusal::new(Kind::Refused, error.to_string())))
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
