//! What can be learned, without privilege, about a descriptor and the memory of a process that waits in a trapped call.
//! On any error, the caller must let the call pass unchanged.
#![expect(unsafe_code, reason = "getxattr(2) has no safe wrapper")]

use std::ffi::CString;
use std::fs;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd;

use super::bounded;

/// A descriptor of another process. `task` is a thread id in our PID namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The thread id.
    pub task: i32,
    /// The descriptor number in that process.
    pub fd: i32,
}

/// Flags of a descriptor and of its open file description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// O_NONBLOCK, of the open file description.
    pub nonblocking: bool,
    /// O_CLOEXEC, of the descriptor.
    pub cloexec: bool,
}

impl Descriptor {
    /// The protocol's name (`TCP`, `TCPv6`, `UDP`, `UNIX-STREAM`, ...), from the extended attribute that every socket
    /// has (net/socket.c, sockfs_xattr_handlers). Fails if the descriptor is no socket.
    pub fn protocol(self) -> nix::Result<String> {
        let path = CString::new(format!("/proc/{}/fd/{}", self.task, self.fd))
            .map_err(|_| Errno::EINVAL)?;
        // If it is a file by now, its file system answers.
        let name = bounded::ask(move || {
            let mut name = vec![0_u8; 64];
            // SAFETY: both strings end in NUL; the length is that of the buffer.
            let len = Errno::result(unsafe {
                libc::getxattr(
                    path.as_ptr(),
                    c"system.sockprotoname".as_ptr(),
                    name.as_mut_ptr().cast(),
                    name.len(),
                )
            })?;
            name.truncate(usize::try_from(len).map_err(|_| Errno::ERANGE)?);
            Ok(name)
        })?;
        let name = name.as_slice();
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        String::from_utf8(name.to_vec()).map_err(|_| Errno::EILSEQ)
    }

    /// The inode number of the socket.
    pub fn inode(self) -> nix::Result<u64> {
        let link = fs::read_link(format!("/proc/{}/fd/{}", self.task, self.fd))
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
        let text = link
            .to_str()
            .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
        text.and_then(|number| number.parse().ok())
            .ok_or(Errno::ENOTSOCK)
    }

    /// Reads the flags.
    pub fn flags(self) -> nix::Result<Flags> {
        let text = fs::read_to_string(format!("/proc/{}/fdinfo/{}", self.task, self.fd))
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
        let octal = text
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .ok_or(Errno::EIO)?;
        let flags = i32::from_str_radix(octal.trim(), 8).map_err(|_| Errno::EIO)?;
        Ok(Flags {
            nonblocking: flags & libc::O_NONBLOCK != 0,
            cloexec: flags & libc::O_CLOEXEC != 0,
        })
    }
}

/// Copies `buffer.len()` bytes from `address` in the memory of `task`. Fails with EPERM if the process runs under
/// another uid or is not dumpable (process_vm_readv(2)); as [`bounded::limit`] says if the process fills that memory when it likes.
pub fn read_memory(task: i32, address: u64, buffer: &mut [u8]) -> nix::Result<()> {
    let base = usize::try_from(address).map_err(|_| Errno::EFAULT)?;
    let len = buffer.len();
    let bytes = bounded::ask(move || {
        let mut bytes = vec![0; len];
        let got = process_vm_readv(
            unistd::Pid::from_raw(task),
            &mut [IoSliceMut::new(&mut bytes)],
            &[RemoteIoVec { base, len }],
        )?;
        if got == len {
            Ok(bytes)
        } else {
            Err(Errno::EFAULT)
        }
    })?;
    buffer.copy_from_slice(&bytes);
    Ok(())
}

/// Reads a string that ends in NUL, as a path (PATH_MAX). Fails as [`read_memory`], and with ENAMETOOLONG.
pub fn read_string(task: i32, address: u64) -> nix::Result<Vec<u8>> {
    /// A read over the end of a mapping would fail, and mappings end at multiples of the page size, which is a multiple
    /// of this.
    const PIECE: u64 = 256;
    const MOST: usize = 4096;
    let mut text = Vec::new();
    let mut at = address;
    while text.len() < MOST {
        let len = PIECE - at % PIECE;
        let mut piece = vec![0; usize::try_from(len).unwrap_or(1)];
        read_memory(task, at, &mut piece)?;
        if let Some(end) = piece.iter().position(|byte| *byte == 0) {
            piece.truncate(end);
            text.extend(piece);
            return Ok(text);
        }
        text.extend(piece);
        at += len;
    }
    Err(Errno::ENAMETOOLONG)
}

/// Parses an address that a program passes to `bind`: `struct sockaddr_in` or `sockaddr_in6`. `None` for other families
/// and for a structure that is too short.
pub fn parse_sockaddr(bytes: &[u8]) -> Option<SocketAddr> {
    let at = |from: usize, len: usize| bytes.get(from..from + len);
    let family = u16::from_ne_bytes(at(0, 2)?.try_into().ok()?);
    let port = u16::from_be_bytes(at(2, 2)?.try_into().ok()?);
    match i32::from(family) {
        libc::AF_INET if bytes.len() >= 16 => {
            let ip: [u8; 4] = at(4, 4)?.try_into().ok()?;
            Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(ip), port)))
        }
        // The kernel accepts 24 bytes (SIN6_LEN_RFC2133); the scope is then 0.
        libc::AF_INET6 if bytes.len() >= 24 => {
            let flow = u32::from_be_bytes(at(4, 4)?.try_into().ok()?);
            let ip: [u8; 16] = at(8, 16)?.try_into().ok()?;
            let scope = at(24, 4)
                .and_then(|raw| raw.try_into().ok())
                .map_or(0, u32::from_ne_bytes);
            Some(SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(ip),
                port,
                flow,
                scope,
            )))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_socket_tells_what_it_is() {
        let own = i32::try_from(std::process::id()).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let fd = Descriptor {
            task: own,
            fd: tcp.as_raw_fd(),
        };
        assert_eq!(fd.protocol().as_deref(), Ok("TCP"));
        assert_eq!(fd.inode(), crate::sys::listener::inode(&tcp));
        assert_eq!(
            fd.flags(),
            Ok(Flags {
                nonblocking: true,
                cloexec: true
            })
        );
        let file = fs::File::open("/proc/self/status").unwrap();
        assert!(
            Descriptor {
                task: own,
                fd: file.as_raw_fd()
            }
            .protocol()
            .is_err()
        );
        assert!(
            Descriptor {
                task: own,
                fd: 9999
            }
            .inode()
            .is_err()
        );
    }

    #[test]
    fn memory_is_read_and_bad_addresses_are_errors() {
        let own = i32::try_from(std::process::id()).unwrap();
        let value = 0x0102_0304_u32;
        let mut copy = [0_u8; 4];
        let address = u64::try_from(std::ptr::from_ref(&value).addr()).unwrap();
        assert_eq!(read_memory(own, address, &mut copy), Ok(()));
        assert_eq!(u32::from_ne_bytes(copy), value);
        assert!(read_memory(own, 8, &mut copy).is_err());
        let text = [b"x".repeat(600), vec![0, 1]].concat();
        let address = u64::try_from(text.as_ptr().addr()).unwrap();
        assert_eq!(read_string(own, address), Ok(b"x".repeat(600)));
        assert!(read_string(own, 8).is_err());
    }

    #[test]
    fn addresses_are_read_as_the_kernel_reads_them() {
        let mut v4 = vec![0_u8; 16];
        v4[..2].copy_from_slice(&2_u16.to_ne_bytes());
        v4[2..8].copy_from_slice(&[0x1f, 0x90, 127, 0, 0, 1]);
        assert_eq!(parse_sockaddr(&v4), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(parse_sockaddr(&v4[..15]), None);
        let mut v6 = vec![0_u8; 28];
        v6[..2].copy_from_slice(&10_u16.to_ne_bytes());
        v6[2..4].copy_from_slice(&[0, 80]);
        v6[23] = 1;
        assert_eq!(parse_sockaddr(&v6), Some("[::1]:80".parse().unwrap()));
        assert_eq!(parse_sockaddr(&v6[..24]), Some("[::1]:80".parse().unwrap()));
        assert_eq!(parse_sockaddr(&v6[..23]), None);
        assert_eq!(parse_sockaddr(&[1, 0, 47, 0]), None);
    }
}
