//! The kernel's TCP sockets from /proc/net/tcp and /proc/net/tcp6 (proc(5)), for systems that refuse netlink. These
//! files list every socket of the network namespace as text, without the time of the last data.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::proc::Proc;
use super::tcp::{Query, Row, State, canonical};

/// Limit of a line, bytes. A line has 150 bytes, in tcp6 up to 60 more.
const LONGEST_LINE: u64 = 512;

/// Calls `row` with every socket that matches `query`.
pub fn dump(proc: &Proc, query: Query<'_>, row: &mut dyn FnMut(&Row)) -> io::Result<()> {
    let table = if query.ipv6 { "tcp6" } else { "tcp" };
    read(BufReader::new(proc.net(table)?), query, row)
}

/// Reads one table. The first line is the heading.
fn read(mut table: impl BufRead, query: Query<'_>, row: &mut dyn FnMut(&Row)) -> io::Result<()> {
    let mut line = Vec::new();
    for number in 0_u64.. {
        line.clear();
        if table
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)?
            == 0
        {
            break;
        }
        if number == 0 {
            continue;
        }
        let found = std::str::from_utf8(&line)
            .ok()
            .and_then(parse)
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a line of /proc/net/tcp has an unknown form",
                )
            })?;
        if query.ports.contains(&found.local.port()) && query.states.has(found.state) {
            row(&found);
        }
    }
    Ok(())
}

/// Parses one line. An unknown TCP state becomes `Close`, which no query asks for.
fn parse(line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace();
    let mut next = || fields.next();
    let (_number, local, remote) = (next()?, address(next()?)?, address(next()?)?);
    let state = State::new(u8::from_str_radix(next()?, 16).ok()?);
    let (unsent, unread) = next()?.split_once(':')?;
    let (_timer, again, _uid, _probes) = (next()?, next()?, next()?, next()?);
    let hex = |text| u32::from_str_radix(text, 16).ok();
    let (unsent, unread, again) = (hex(unsent)?, hex(unread)?, hex(again)?);
    let inode = next()?.parse().ok()?;
    Some(Row {
        state: state.unwrap_or(State::Close),
        local,
        remote,
        inode,
        unread,
        unsent,
        again: u8::try_from(again).unwrap_or(u8::MAX),
        past: None,
    })
}

/// Parses `0100007F:1F90`: the address as hexadecimal words. Each word is in this machine's byte order, while its bytes
/// in memory are in network order. The port is a plain number.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = words.get(8 * at..8 * at + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match words.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(canonical(ip, port))
}

#[cfg(test)]
mod tests;
