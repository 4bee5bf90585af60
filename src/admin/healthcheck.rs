//! `rpm-runtime --healthcheck`: asks a running runtime whether it is ready.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::checks::client::{Connection, MOST_BYTES, exchange, get};

/// Requests `/readyz` from the admin address and waits at most `timeout` in all. A wildcard address is asked on
/// loopback. Do not call it inside a tokio runtime: it blocks in a runtime of its own.
pub fn healthcheck(addr: SocketAddr, timeout: Duration) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot wait for an answer: {error}"))?;
    runtime.block_on(async {
        tokio::time::timeout(timeout, ask(addr))
            .await
            .unwrap_or_else(|_| Err(format!("{addr} did not answer within {timeout:?}")))
    })
}

/// Addresses to try, in order.
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

async fn ask(addr: SocketAddr) -> Result<(), String> {
    let mut failures = Vec::new();
    for target in targets(addr) {
        match TcpStream::connect(target).await {
            Ok(stream) => return judge(addr, stream, target).await,
            Err(error) => failures.push(format!("cannot connect to {target}: {error}")),
        }
    }
    Err(failures.join("; "))
}

/// Asks over this connection, which was made to `target`.
async fn judge(addr: SocketAddr, stream: TcpStream, target: SocketAddr) -> Result<(), String> {
    let mut connection = Connection::over(stream);
    let request = get("/readyz", &target.to_string());
    let mut received = Vec::new();
    let answer = async {
        let status = exchange(&mut connection, request.as_bytes(), &mut received).await?;
        if status.is_ok() {
            read_rest(&mut connection, &mut received).await?;
        }
        io::Result::Ok(status)
    };
    let status = answer
        .await
        .map_err(|error| format!("the connection to {target} failed: {error}"))?;
    match status {
        Ok(200) => Ok(()),
        Ok(status) => {
            let text = String::from_utf8_lossy(&received);
            let (_, body) = text.split_once("\r\n\r\n").unwrap_or_default();
            Err(format!("{addr} answered {status}: {}", body.trim()))
        }
        Err(_) => Err(format!("{addr} does not speak HTTP")),
    }
}

async fn read_rest(connection: &mut Connection, received: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    while received.len() < MOST_BYTES {
        match connection.receive(&mut piece).await? {
            0 => break,
            count => received.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
    Ok(())
}
