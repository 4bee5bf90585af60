//! Asking one worker by HTTP.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::answer::{MOST_BYTES, StatusReader};
use super::check::{Check, Failure, Fault, Step};
use super::connection::Connection;
use super::deadline::Deadline;
use super::target::Target;

/// How long the rest of an answer is waited for once its status is known: a program that is cut off while it still
/// sends would complain.
const REST: Duration = Duration::from_millis(200);

/// Sends `GET path` to one worker; a status of 2xx or 3xx passes, as with the kubelet. All of it takes no longer than
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
    // However it ends, the status stands.
    let _ = timeout(REST.min(limit), discard(&connection)).await;
    if (200..400).contains(&status) {
        Ok(())
    } else {
        Err(Failure::Status(status).into())
    }
}

fn request(path: &str, port: u16) -> String {
    let mut target = String::with_capacity(path.len());
    for byte in path.bytes() {
        // What would end the line, or the path, goes escaped (RFC 3986, 2.1).
        if byte.is_ascii_graphic() {
            target.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: rpm-runtime/{}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Sends the request and reads the status.
async fn exchange(connection: &Connection, request: &[u8]) -> Result<u16, Failure> {
    // A worker that answers and closes before it has read all is still heard.
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

async fn discard(connection: &Connection) -> io::Result<()> {
    let mut piece = [0; 4096];
    let mut total = 0;
    while total < MOST_BYTES {
        match connection.receive(&mut piece).await? {
            0 => break,
            count => total += count,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_end_its_line() {
        let request = request("/a b\r\nX: é?q=1#%20", 80);
        let lines: Vec<&str> = request.split("\r\n").collect();
        assert_eq!(lines[0], "GET /a%20b%0D%0AX:%20%C3%A9?q=1#%20 HTTP/1.1");
        assert_eq!(lines[1], "Host: localhost:80");
        assert!(request.ends_with("\r\n\r\n"));
        assert_eq!(lines.len(), 7);
    }
}
