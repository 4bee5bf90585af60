//! Queries the kernel's TCP sockets over netlink (sock_diag(7)). Unlike /proc/net it filters in the kernel, and it
//! knows when data last went over a connection. No privilege is needed.

use std::io::IoSliceMut;
use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::retry;
use super::tcp::{Past, Query, Row, State, States, canonical};

mod bound;

pub use bound::Bound;

/// Longest wait for an answer, seconds. Linux writes the answer before `sendto` returns, so only an emulation of Linux
/// lets us wait.
const PATIENCE_SECONDS: i64 = 1;

/// The kernel fills at most 32 KiB at a time (netlink_recvmsg).
const BUFFER: usize = 64 * 1024;

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h.
const HEADER: usize = 16; // struct nlmsghdr
const REQUEST: usize = 56; // struct inet_diag_req_v2
const MESSAGE: usize = 72; // struct inet_diag_msg
const ATTRIBUTE: usize = 4; // struct nlattr
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_REQ_BYTECODE: u16 = 1;
const NLM_F_DUMP_INTR: u16 = 0x10;
/// The two highest bits of an attribute's type are flags.
const TYPE_MASK: u16 = 0x3fff;

/// How a dump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// All sockets were reported.
    Complete,
    /// The kernel's tables changed during the dump, so sockets may be missing or reported twice (NLM_F_DUMP_INTR). Ask
    /// again.
    Interrupted,
}

/// A netlink socket.
#[derive(Debug)]
pub struct SockDiag {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl SockDiag {
    /// Opens a socket and tries it. Fails with EPERM or EACCES if a security profile forbids it, with EPROTONOSUPPORT
    /// or ENOENT if the kernel lacks it, with ETIMEDOUT if nothing answers.
    pub fn open() -> nix::Result<Self> {
        let socket = socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        let patience = TimeVal::seconds(PATIENCE_SECONDS);
        socket::setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
        let mut this = Self {
            socket,
            sequence: 0,
            buffer: vec![0; BUFFER],
        };
        let nothing = Query {
            ipv6: false,
            ports: &[],
            states: States::of(&[]),
            past: false,
        };
        this.dump(nothing, &mut |_| {})?;
        Ok(this)
    }

    /// Calls `row` with every socket that matches `query`. The kernel walks its whole table, empty buckets included,
    /// which takes some milliseconds on a large machine. After an error, open a new one: the rest of the old answer
    /// would mix with the next.
    pub fn dump(&mut self, query: Query<'_>, row: &mut dyn FnMut(&Row)) -> nix::Result<Dump> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(query, self.sequence)?;
        self.ask(&request, &mut |payload| {
            if let Some(found) = parse(payload)? {
                row(&found);
            }
            Ok(())
        })
    }

    /// Sends a request and calls `each` with every socket of the answer.
    fn ask(&mut self, request: &[u8], each: &mut Each<'_>) -> nix::Result<Dump> {
        let (fd, kernel) = (self.socket.as_raw_fd(), NetlinkAddr::new(0, 0));
        retry(|| socket::sendto(fd, request, &kernel, MsgFlags::empty()))?;
        let mut end = Dump::Complete;
        loop {
            let (len, from_kernel) = retry(|| receive(fd, &mut self.buffer))?;
            if !from_kernel {
                continue;
            }
            let bytes = self.buffer.get(..len).unwrap_or_default();
            let batch = read(bytes, self.sequence, each)?;
            if batch.interrupted {
                end = Dump::Interrupted;
            }
            if batch.last {
                return Ok(end);
            }
        }
    }
}

/// What an error of netlink means (sock_diag(7)).
pub fn meaning(errno: Errno) -> &'static str {
    match errno {
        // A container cannot load modules.
        Errno::ENOENT | Errno::EPROTONOSUPPORT => {
            "the kernel lacks the modules inet_diag and tcp_diag: load them on the host (modprobe tcp_diag)"
        }
        Errno::EPERM | Errno::EACCES => "a security profile refuses netlink",
        Errno::ETIMEDOUT => "nothing answers over netlink: an emulation of Linux",
        other => other.desc(),
    }
}

/// Receives one datagram; the flag says whether the kernel sent it. Any root process may write to this socket.
fn receive(fd: i32, buffer: &mut [u8]) -> nix::Result<(usize, bool)> {
    let mut parts = [IoSliceMut::new(buffer)];
    match socket::recvmsg::<NetlinkAddr>(fd, &mut parts, None, MsgFlags::empty()) {
        Ok(got) if got.flags.contains(MsgFlags::MSG_TRUNC) => Err(Errno::EMSGSIZE),
        Ok(got) => Ok((got.bytes, got.address.is_some_and(|from| from.pid() == 0))),
        Err(Errno::EAGAIN) => Err(Errno::ETIMEDOUT),
        Err(errno) => Err(errno),
    }
}

/// Reads one `struct inet_diag_msg` and its attributes.
type Each<'a> = dyn FnMut(&[u8]) -> nix::Result<()> + 'a;

fn request(query: Query<'_>, sequence: u32) -> nix::Result<Vec<u8>> {
    request_over(libc::IPPROTO_TCP, query, sequence)
}

fn request_over(protocol: i32, query: Query<'_>, sequence: u32) -> nix::Result<Vec<u8>> {
    let family = if query.ipv6 {
        libc::AF_INET6
    } else {
        libc::AF_INET
    };
    let byte = |number: i32| u8::try_from(number).map_err(|_| Errno::EINVAL);
    let filter = filter(query.ports)?;
    let len = u32::try_from(HEADER + REQUEST + filter.len()).map_err(|_| Errno::EINVAL)?;
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_DUMP).map_err(|_| Errno::EINVAL)?;
    let extension = if query.past {
        1 << (INET_DIAG_INFO - 1)
    } else {
        0
    };
    let mut bytes = Vec::with_capacity(HEADER + REQUEST + filter.len());
    bytes.extend(len.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend([byte(family)?, byte(protocol)?, extension, 0]);
    bytes.extend(query.states.bits().to_ne_bytes());
    if let [port] = query.ports {
        bytes.extend(port.to_be_bytes());
    }
    bytes.resize(HEADER + REQUEST, 0);
    bytes.extend(filter);
    Ok(bytes)
}

/// Builds the filter program that matches several ports in one walk (`struct inet_diag_bc_op`). A jump to the end of
/// the program accepts a socket; a jump 4 bytes beyond the end rejects it. The "yes" offset of an operation must be its
/// own length. One port goes into the request itself, and no port matches all, so neither needs a program.
fn filter(ports: &[u16]) -> nix::Result<Vec<u8>> {
    const AT_LEAST: u8 = 2; // INET_DIAG_BC_S_GE
    const AT_MOST: u8 = 3; // INET_DIAG_BC_S_LE
    const JUMP: u8 = 1; // INET_DIAG_BC_JMP, always takes the "no" offset
    const BLOCK: usize = 20; // two comparisons with a port each, one jump
    if ports.len() < 2 {
        return Ok(Vec::new());
    }
    let number = |number: usize| u16::try_from(number).map_err(|_| Errno::E2BIG);
    let len = BLOCK * ports.len();
    let mut bytes = Vec::with_capacity(ATTRIBUTE + len);
    bytes.extend(number(ATTRIBUTE + len)?.to_ne_bytes());
    bytes.extend(INET_DIAG_REQ_BYTECODE.to_ne_bytes());
    let mut step = |code: u8, yes: u8, no: u16| {
        bytes.extend([code, yes]);
        bytes.extend(no.to_ne_bytes());
    };
    for (place, port) in ports.iter().enumerate() {
        let left = len - place * BLOCK;
        // The next block, or 4 bytes beyond the end.
        let next = if left == BLOCK { BLOCK + 4 } else { BLOCK };
        step(AT_LEAST, 8, number(next)?);
        step(0, 0, *port);
        step(AT_MOST, 8, number(next - 8)?);
        step(0, 0, *port);
        step(JUMP, 4, number(left - 16)?);
    }
    Ok(bytes)
}

/// What a datagram contained besides rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Batch {
    last: bool,
    interrupted: bool,
}

/// Parses one datagram, which is a sequence of messages. Messages with another sequence number are late answers to an
/// abandoned query and are skipped. Fails with EBADMSG for an impossible length.
fn read(mut bytes: &[u8], sequence: u32, each: &mut Each<'_>) -> nix::Result<Batch> {
    let mut batch = Batch::default();
    while !bytes.is_empty() {
        let len = usize::try_from(u32_at(bytes, 0)?).map_err(|_| Errno::EBADMSG)?;
        let payload = bytes.get(HEADER..len).ok_or(Errno::EBADMSG)?;
        let (kind, flags) = (i32::from(u16_at(bytes, 4)?), u16_at(bytes, 6)?);
        if u32_at(bytes, 8)? == sequence {
            batch.interrupted |= flags & NLM_F_DUMP_INTR != 0;
            match kind {
                // Both carry 0 or a negative errno; NLMSG_DONE may carry nothing.
                libc::NLMSG_DONE | libc::NLMSG_ERROR => {
                    let code = u32_at(payload, 0).unwrap_or(0).cast_signed();
                    if code != 0 {
                        return Err(Errno::from_raw(code.saturating_neg()));
                    }
                    batch.last = true;
                }
                libc::NLMSG_OVERRUN => return Err(Errno::EOVERFLOW),
                _ if kind == i32::from(SOCK_DIAG_BY_FAMILY) => {
                    each(payload)?;
                }
                _ => {}
            }
        }
        // The last message of a datagram may lack its padding.
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(batch)
}

/// Parses one `struct inet_diag_msg` and its attributes; `None` for an unknown address family or TCP state.
fn parse(bytes: &[u8]) -> nix::Result<Option<Row>> {
    if bytes.len() < MESSAGE {
        return Err(Errno::EBADMSG);
    }
    let number = |at: usize| bytes.get(at).copied().ok_or(Errno::EBADMSG);
    let addresses = (address(bytes, 4, 8)?, address(bytes, 6, 24)?);
    let (Some(local), Some(remote)) = addresses else {
        return Ok(None);
    };
    let Some(state) = State::new(number(1)?) else {
        return Ok(None);
    };
    let mut past = None;
    let mut rest = bytes.get(MESSAGE..).unwrap_or_default();
    // A rest shorter than an attribute's head is padding.
    while rest.len() >= ATTRIBUTE {
        let len = usize::from(u16_at(rest, 0)?);
        let value = rest.get(ATTRIBUTE..len).ok_or(Errno::EBADMSG)?;
        if u16_at(rest, 2)? & TYPE_MASK == INET_DIAG_INFO {
            past = parse_info(value);
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Some(Row {
        state,
        local,
        remote,
        inode: u32_at(bytes, 68)?.into(),
        unread: u32_at(bytes, 56)?,
        unsent: u32_at(bytes, 60)?,
        again: number(3)?,
        past,
    }))
}

/// Parses the address with its port and first byte at these offsets; `None` for another family.
fn address(bytes: &[u8], port: usize, ip: usize) -> nix::Result<Option<SocketAddr>> {
    let port = u16::from_be(u16_at(bytes, port)?);
    let family = bytes.first().copied().map(i32::from);
    Ok(match family {
        Some(libc::AF_INET) => Some(canonical(Ipv4Addr::from(array::<4>(bytes, ip)?), port)),
        Some(libc::AF_INET6) => Some(canonical(Ipv6Addr::from(array::<16>(bytes, ip)?), port)),
        _ => None,
    })
}

/// Parses `struct tcp_info`, which grows with the kernel. Fields beyond the end of an older structure are unknown.
fn parse_info(info: &[u8]) -> Option<Past> {
    /// These offsets are behind the part of the structure that the libc crate knows.
    const BYTES_ACKED: usize = 120;
    const BYTES_RECEIVED: usize = 128;
    const NOT_SENT: usize = 144;
    let age = |at: usize| {
        u32_at(info, at)
            .ok()
            .map(u64::from)
            .map(Duration::from_millis)
    };
    let count = |at: usize| array::<8>(info, at).ok().map(u64::from_ne_bytes);
    Some(Past {
        last_sent: age(offset_of!(libc::tcp_info, tcpi_last_data_sent))?,
        last_received: age(offset_of!(libc::tcp_info, tcpi_last_data_recv))?,
        last_acknowledged: age(offset_of!(libc::tcp_info, tcpi_last_ack_recv))?,
        bytes: count(BYTES_RECEIVED).zip(count(BYTES_ACKED)),
        waiting: u32_at(info, NOT_SENT).ok(),
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> nix::Result<[u8; N]> {
    let part = bytes.get(at..at + N).ok_or(Errno::EBADMSG)?;
    part.try_into().map_err(|_| Errno::EBADMSG)
}

fn u16_at(bytes: &[u8], at: usize) -> nix::Result<u16> {
    array(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> nix::Result<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests;
