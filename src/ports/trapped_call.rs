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
    let len = usize::try_from(len & u64::from(u32::MAX)).unwrap_or(0);
    let mut bytes = [0_u8; 28];
    let bytes = bytes.get_mut(..len.min(28)).unwrap_or_default();
    remote::read_memory(task, address, bytes)?;
    remote::parse_sockaddr(bytes).ok_or(Errno::EAFNOSUPPORT)
}

/// The bytes of a socket address of any family that two arguments (pointer and length) describe.
pub(super) fn read_any_address(task: i32, address: u64, len: u64) -> nix::Result<Vec<u8>> {
    /// Size of `struct sockaddr_un`; bind(2) refuses more.
    const MOST: usize = 110;
    let len = usize::try_from(len & u64::from(u32::MAX)).unwrap_or(0);
    let mut bytes = vec![0; len.min(MOST)];
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
