//! Attaches the BPF program that chooses the listener of a new connection.
#![expect(unsafe_code, reason = "SO_ATTACH_REUSEPORT_CBPF has no safe wrapper")]

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use crate::model::Bpf;

/// Replaces the steering program of the SO_REUSEPORT group that `member` belongs to. The replacement is atomic and
/// needs no privilege (socket(7)). Fails with EPERM if a security profile forbids it, with ENOMEM if the program is
/// longer than optmem_max allows.
pub fn attach(member: impl AsFd, program: &[Bpf]) -> nix::Result<()> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|insn| libc::sock_filter {
            code: insn.code,
            jt: insn.jt,
            jf: insn.jf,
            k: insn.k,
        })
        .collect();
    let len = u16::try_from(filter.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog {
        len,
        filter: filter.as_mut_ptr(),
    };
    set(member, libc::SO_ATTACH_REUSEPORT_CBPF, &program)
}

/// Detaches the program. Afterwards the kernel chooses by its own hash over all members.
pub fn detach(member: impl AsFd) -> nix::Result<()> {
    /// linux/socket.h; not in the libc crate.
    const SO_DETACH_REUSEPORT_BPF: i32 = 68;
    set(member, SO_DETACH_REUSEPORT_BPF, &0_i32)
}

fn set<T>(socket: impl AsFd, option: i32, value: &T) -> nix::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| Errno::EINVAL)?;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the pointer and the length describe one live value. A pointer inside that value is live too.
    let result = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            option,
            std::ptr::from_ref(value).cast(),
            len,
        )
    };
    Errno::result(result).map(drop)
}
