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

/// From now on, the kernel drops the first segment of each new connection to this listener (SO_ATTACH_FILTER, socket(7)):
/// the client sends it again after a second. Connections and handshakes that exist go on. Needs no privilege.
pub fn drop_new(listener: impl AsFd) -> nix::Result<()> {
    /// Offset of the flags in the TCP header (RFC 9293). A socket filter of TCP sees the segment from there.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_AND_ACK: u32 = 0x12;
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    };
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS),
        step(
            libc::BPF_ALU | libc::BPF_AND | libc::BPF_K,
            0,
            0,
            SYN_AND_ACK,
        ),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::E2BIG)?,
        filter: filter.as_mut_ptr(),
    };
    set(listener, libc::SO_ATTACH_FILTER, &program)
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
