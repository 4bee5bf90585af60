//! Ports that no other test uses: below the range of outgoing connections, and locked while the test runs.

use std::fs::{self, File};
use std::net::{Ipv6Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Mutex;

const FIRST: u16 = 20_000;
const LAST: u16 = 31_000;

/// Locks of the ports that this process uses.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port on which no process listens, on any address.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// The first of `count` consecutive free ports.
pub fn free_ports(count: u16) -> u16 {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ports");
    fs::create_dir_all(&directory).unwrap();
    let span = LAST - FIRST - count;
    // Processes start their search at different ports.
    let start = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(span)).unwrap();
    for step in 0..span {
        let first = FIRST + (start + step) % span;
        let locks: Vec<File> = (first..first + count)
            .map_while(|port| take(&directory, port))
            .collect();
        if locks.len() == usize::from(count) {
            HELD.lock().unwrap().extend(locks);
            return first;
        }
    }
    panic!("no {count} free ports in a row from {FIRST} to {LAST}");
}

fn take(directory: &std::path::Path, port: u16) -> Option<File> {
    let lock = File::create(directory.join(port.to_string())).unwrap();
    lock.try_lock().ok()?;
    // A listener on the IPv6 wildcard conflicts with every other listener of the port, also IPv4.
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind(("0.0.0.0", port)))
        .ok()?;
    Some(lock)
}
