//! Decodes the arguments of a trapped call.

use std::net::SocketAddr;

use nix::errno::Errno;

use crate::sys::intercept::Notification;
use crate::sys::remote::{self, Descriptor};

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
