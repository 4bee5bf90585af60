//! One request and its answer.

use std::fmt::Write;
use std::io;

use crate::checks::Failure;

use super::{Connection, StatusReader};

/// The User-Agent of the runtime's requests.
pub(crate) const USER_AGENT: &str = concat!("rpm-runtime/", env!("CARGO_PKG_VERSION"));

/// Builds a request for `path`; the server closes the connection after the answer.
pub(crate) fn get(path: &str, host: &str) -> String {
    let target = escaped(path);
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    )
}

/// Escapes a path for the request line (RFC 3986, 2.1): characters that would end the line or the path, and those that
/// a path must not contain.
pub(crate) fn escaped(path: &str) -> String {
    let mut target = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            target.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
    target
}

/// Sends the request and reads the status of the answer. Appends all read bytes to `received`: the status and perhaps
/// more. The outer error is an error of the connection.
pub(crate) async fn exchange(
    connection: &mut Connection,
    request: &[u8],
    received: &mut Vec<u8>,
) -> io::Result<Result<u16, Failure>> {
    // A send error is ignored: the server may have answered and closed before it read the whole request.
    let _ = connection.send(request).await;
    let mut reader = StatusReader::new();
    let mut piece = [0; 4096];
    loop {
        let count = connection.receive(&mut piece).await?;
        if count == 0 {
            return Ok(Err(Failure::Closed));
        }
        let bytes = piece.get(..count).unwrap_or_default();
        received.extend_from_slice(bytes);
        if let Some(outcome) = reader.feed(bytes) {
            return Ok(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_end_its_line() {
        let request = get("/a b\r\nX: é<\\>?q=1#%20", "localhost:80");
        let lines: Vec<&str> = request.split("\r\n").collect();
        assert_eq!(
            lines[0],
            "GET /a%20b%0D%0AX:%20%C3%A9%3C%5C%3E?q=1#%20 HTTP/1.1"
        );
        assert_eq!(lines[1], "Host: localhost:80");
        assert!(request.ends_with("\r\n\r\n"));
        assert_eq!(lines.len(), 7);
    }
}
