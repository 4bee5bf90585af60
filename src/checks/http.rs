//! HTTP checks of one worker.

use std::fmt::Write;
use std::time::Duration;

use super::check::{Check, Failure, Fault, Step};
use super::client::{Connection, Deadline, StatusReader};
use super::target::Target;

/// Our User-Agent.
pub(crate) const USER_AGENT: &str = concat!("rpm-runtime/", env!("CARGO_PKG_VERSION"));

/// Sends `GET path` to one worker. A status of 2xx or 3xx passes, as for the kubelet. The whole check takes at most
/// `limit`.
pub async fn http(target: Target, path: &str, limit: Duration) -> Check {
    ask(target, path, limit).await.into()
}

async fn ask(target: Target, path: &str, limit: Duration) -> Result<(), Fault> {
    let deadline = Deadline::new(limit);
    let connection = Connection::open(target, &deadline).await?;
    let request = request(path, target.addr.port());
    let answer = async { Ok(exchange(&connection, request.as_bytes()).await?) };
    let status = deadline.step(Step::Answer, answer).await?;
    connection.see_off(limit).await;
    if (200..400).contains(&status) {
        Ok(())
    } else {
        Err(Failure::Status(status).into())
    }
}

fn request(path: &str, port: u16) -> String {
    let target = escaped(path);
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    )
}

/// Escapes a path for the request line (RFC 3986, 2.1): bytes that would end the line or the path, and bytes that are
/// not allowed in a path.
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

/// Sends the request and reads the status.
async fn exchange(connection: &Connection, request: &[u8]) -> Result<u16, Failure> {
    // The error is ignored: a worker may answer and close before it has read the whole request.
    let _ = connection.send(request).await;
    let mut reader = StatusReader::new();
    let mut piece = [0; 4096];
    loop {
        match connection.receive(&mut piece).await {
            Ok(0) => return Err(Failure::Closed),
            Ok(count) => {
                if let Some(outcome) = reader.feed(piece.get(..count).unwrap_or_default()) {
                    return outcome;
                }
            }
            Err(_) => return Err(Failure::Reset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_end_its_line() {
        let request = request("/a b\r\nX: é<\\>?q=1#%20", 80);
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
