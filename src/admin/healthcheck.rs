//! `rpm-runtime --healthcheck`: asks a running runtime whether it is ready.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;

/// More than any answer of /readyz.
const MOST_BYTES: usize = 64 * 1024;

/// Asks `/readyz` on the admin address and waits at most `timeout` for everything. An address that means "all" is asked
/// on loopback. Not to be called inside a tokio runtime: it blocks in one of its own, which is where its clock is.
pub fn healthcheck(addr: SocketAddr, timeout: Duration) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot wait for an answer: {error}"))?;
    let answer = runtime.block_on(async {
        tokio::time::timeout(timeout, ask(&targets(addr)))
            .await
            .unwrap_or_else(|_| Err(format!("{addr} did not answer within {timeout:?}")))
    })?;
    judge(addr, &answer)
}

/// Where to ask, first choice first.
fn targets(addr: SocketAddr) -> Vec<SocketAddr> {
    let v4 = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), addr.port());
    let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), addr.port());
    match addr.ip() {
        ip if !ip.is_unspecified() => vec![addr],
        IpAddr::V4(_) => vec![v4],
        // [::] is dual-stack, and a container may have no IPv6 loopback.
        IpAddr::V6(_) => vec![v6, v4],
    }
}

async fn ask(targets: &[SocketAddr]) -> Result<Vec<u8>, String> {
    let mut failures = Vec::new();
    for target in targets {
        match TcpStream::connect(target).await {
            Ok(stream) => {
                return exchange(&stream, *target)
                    .await
                    .map_err(|error| format!("{target} broke off: {error}"));
            }
            Err(error) => failures.push(format!("cannot connect to {target}: {error}")),
        }
    }
    Err(failures.join("; "))
}

async fn exchange(stream: &TcpStream, target: SocketAddr) -> io::Result<Vec<u8>> {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while answer.len() < MOST_BYTES {
        stream.readable().await?;
        match stream.try_read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

fn judge(addr: SocketAddr, answer: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut words = head.split_ascii_whitespace();
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|word| word.parse::<u16>().ok());
    match status.filter(|_| version.starts_with("HTTP/1.")) {
        Some(200) => Ok(()),
        Some(status) => Err(format!("{addr} answered {status}: {}", body.trim())),
        None => Err(format!("{addr} does not speak HTTP")),
    }
}
