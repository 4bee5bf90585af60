//! Binds many addresses at once and prints the results: `dual_bind PORT [SOCKET_PATH]`.
//!
//! Prints one line `bound NAME ADDRESS` for each, with the address from getsockname(2), then `ready`:
//!
//! | name | address |
//! |---|---|
//! | v4 | 0.0.0.0:PORT |
//! | v6only | [::]:PORT, with IPV6_V6ONLY |
//! | dual | [::]:PORT+1, without |
//! | extra | 127.0.0.1:PORT+2 |
//! | any | 127.0.0.1:0 |
//! | udp | 127.0.0.1:PORT+3 |
//! | unix | SOCKET_PATH, if given |
//!
//! Each stream listener answers a connection with `NAME PID` and closes it; the UDP socket answers a datagram in the
//! same way.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]
#![allow(unsafe_code, reason = "a listener for IPv6 alone")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes and families of the kernel"
)]

use std::io::{self, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::{env, process, thread};

/// A listener on `[::]:port` for IPv6 only. The standard library leaves IPV6_V6ONLY at the system's default.
fn v6only(port: u16) -> io::Result<TcpListener> {
    let check = |result: libc::c_int| {
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(result)
        }
    };
    // SAFETY: takes numbers only.
    let raw =
        check(unsafe { libc::socket(libc::AF_INET6, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: just opened, and owned by nothing else.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    let (one, length): (libc::c_int, _) = (1, size_of::<libc::c_int>() as libc::socklen_t);
    for (level, option) in [
        (libc::SOL_SOCKET, libc::SO_REUSEADDR),
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
    ] {
        // SAFETY: `one` is `length` bytes long and outlives the call.
        check(unsafe { libc::setsockopt(raw, level, option, (&raw const one).cast(), length) })?;
    }
    // SAFETY: all zeroes is a sockaddr_in6: the wildcard.
    let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    address.sin6_family = libc::AF_INET6 as libc::sa_family_t;
    address.sin6_port = port.to_be();
    let length = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    // SAFETY: `address` is `length` bytes long and outlives the call.
    check(unsafe { libc::bind(raw, (&raw const address).cast(), length) })?;
    // SAFETY: takes numbers only.
    check(unsafe { libc::listen(raw, 128) })?;
    Ok(fd.into())
}

fn answer(name: &'static str, listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            // The client may have left; that is no error of the server.
            let _ = stream.and_then(|mut stream| writeln!(stream, "{name} {}", process::id()));
        }
    });
}

fn run() -> io::Result<()> {
    let port: u16 = env::args()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(3000);
    let listeners = [
        ("v4", TcpListener::bind(("0.0.0.0", port))?),
        ("v6only", v6only(port)?),
        ("dual", TcpListener::bind(("::", port + 1))?),
        ("extra", TcpListener::bind(("127.0.0.1", port + 2))?),
        ("any", TcpListener::bind(("127.0.0.1", 0))?),
    ];
    for (name, listener) in listeners {
        println!("bound {name} {}", listener.local_addr()?);
        answer(name, listener);
    }
    let udp = UdpSocket::bind(("127.0.0.1", port + 3))?;
    println!("bound udp {}", udp.local_addr()?);
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = udp.recv_from(&mut buffer) {
            // The client may have left; that is no error of the server.
            let _ = udp.send_to(format!("udp {}\n", process::id()).as_bytes(), from);
        }
    });
    if let Some(path) = env::args_os().nth(2) {
        // Several workers get the same path, but each needs a file of its own.
        let path = format!("{}.{}", path.display(), process::id());
        let unix = UnixListener::bind(&path)?;
        println!("bound unix {path}");
        thread::spawn(move || {
            for stream in unix.incoming() {
                // The client may have left; that is no error of the server.
                let _ = stream.and_then(|mut stream| writeln!(stream, "unix {}", process::id()));
            }
        });
    }
    println!("ready pid {}", process::id());
    loop {
        thread::park();
    }
}

fn main() {
    if let Err(error) = run() {
        println!("dual_bind: {error}");
        process::exit(1);
    }
}
