//! Decodes the arguments of a trapped call.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::sys::intercept::{Call, Notification};
use crate::sys::remote::{self, Descriptor};
use crate::sys::unix;

/// The descriptor in an argument. Arguments are 64-bit registers; an `int` is the lower half.
pub(super) fn descriptor(notification: &Notification, argument: u64) -> Option<Descriptor> {
    let fd = u32::try_from(argument & u64::from(u32::MAX))
        .ok()?
        .cast_signed();
    (notification.task > 0 && fd >= 0).then_some(Descriptor {
        task: notification.task,
        fd,
    })
}

/// The socket address that two arguments (pointer and length) describe.
pub(super) fn read_address(task: i32, address: u64, len: u64) -> nix::Result<SocketAddr> {
    let bytes = read_any_address(task, address, len)?;
    remote::parse_sockaddr(&bytes).ok_or(Errno::EAFNOSUPPORT)
}

/// The bytes of a socket address of any family that two arguments (pointer and length) describe. Fails with EINVAL for a
/// length that the kernel refuses.
pub(super) fn read_any_address(task: i32, address: u64, len: u64) -> nix::Result<Vec<u8>> {
    /// Size of `struct sockaddr_storage`. The length is an `int`, and a negative one is as wrong (move_addr_to_kernel).
    const MOST: u64 = 128;
    let len = Some(len & u64::from(u32::MAX)).filter(|len| *len <= MOST);
    let len = len.and_then(|len| usize::try_from(len).ok());
    let mut bytes = vec![0; len.ok_or(Errno::EINVAL)?];
    remote::read_memory(task, address, &mut bytes)?;
    Ok(bytes)
}

/// The path of a trapped removal: as the program wrote it, and as a path for us.
pub(super) fn removed_path(notification: &Notification) -> nix::Result<(PathBuf, PathBuf)> {
    let (directory, pointer) = match notification.call {
        Call::UnlinkAt => {
            let low = notification.args[0] & u64::from(u32::MAX);
            let directory = u32::try_from(low).unwrap_or(0).cast_signed();
            (Some(directory), notification.args[1])
        }
        _ => (None, notification.args[0]),
    };
    let path = remote::read_string(notification.task, pointer)?;
    let written = PathBuf::from(OsString::from_vec(path));
    let seen = unix::as_seen_by(notification.task, directory, &written);
    Ok((written, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], len: u64) -> nix::Result<Vec<u8>> {
        let own = i32::try_from(std::process::id()).unwrap();
        let address = u64::try_from(bytes.as_ptr().addr()).unwrap();
        read_any_address(own, address, len)
    }

    #[test]
    fn lengths_that_the_kernel_refuses_are_left_to_it() {
        let bytes = [7; 200];
        assert_eq!(read(&bytes, 128), Ok(vec![7; 128]));
        assert_eq!(read(&bytes, 2), Ok(vec![7; 2]));
        // Only the lower half of the register counts.
        assert_eq!(read(&bytes, (1 << 32) + 16), Ok(vec![7; 16]));
        for wrong in [129, 200, 1 << 31, u64::from(u32::MAX)] {
            assert_eq!(read(&bytes, wrong), Err(Errno::EINVAL), "{wrong}");
        }
    }
}
