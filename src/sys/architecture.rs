//! What differs between the machine architectures: as tables, so that all of them are compiled and tested on each.

/// What the seccomp filter must know of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// AUDIT_ARCH_*: how the kernel tells a filter of which architecture a call is.
    pub audit: u32,
    /// The number of bind(2).
    pub bind: u32,
    /// The number of listen(2).
    pub listen: u32,
    /// The number of connect(2).
    pub connect: u32,
    /// The number of setsockopt(2).
    pub setsockopt: u32,
    /// The number of getsockopt(2).
    pub getsockopt: u32,
    /// The number of epoll_create1(2).
    pub epoll_create1: u32,
    /// The number of epoll_create(2). Newer architectures do not have that call.
    pub epoll_create: Option<u32>,
    /// The number of unlink(2), where it exists.
    pub unlink: Option<u32>,
    /// The number of unlinkat(2).
    pub unlinkat: u32,
}

/// x86-64, from arch/x86/entry/syscalls/syscall_64.tbl.
pub const X86_64: Architecture = Architecture {
    audit: 0xc000_003e,
    bind: 49,
    listen: 50,
    connect: 42,
    setsockopt: 54,
    getsockopt: 55,
    epoll_create1: 291,
    epoll_create: Some(213),
    unlink: Some(87),
    unlinkat: 263,
};

/// AArch64, from include/uapi/asm-generic/unistd.h.
pub const AARCH64: Architecture = Architecture {
    audit: 0xc000_00b7,
    bind: 200,
    listen: 201,
    connect: 203,
    setsockopt: 208,
    getsockopt: 209,
    epoll_create1: 20,
    epoll_create: None,
    unlink: None,
    unlinkat: 35,
};

/// The one that this program is compiled for.
pub const NATIVE: Architecture = if cfg!(target_arch = "aarch64") {
    AARCH64
} else {
    X86_64
};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("sys::architecture has no table for this architecture");

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn our_own_numbers_are_those_of_libc() {
        let own = [
            NATIVE.bind,
            NATIVE.listen,
            NATIVE.connect,
            NATIVE.setsockopt,
            NATIVE.getsockopt,
            NATIVE.epoll_create1,
            NATIVE.unlinkat,
        ];
        assert_eq!(
            own.map(libc::c_long::from),
            [
                libc::SYS_bind,
                libc::SYS_listen,
                libc::SYS_connect,
                libc::SYS_setsockopt,
                libc::SYS_getsockopt,
                libc::SYS_epoll_create1,
                libc::SYS_unlinkat
            ]
        );
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            [NATIVE.epoll_create, NATIVE.unlink].map(|number| number.map(libc::c_long::from)),
            [Some(libc::SYS_epoll_create), Some(libc::SYS_unlink)]
        );
    }

    /// linux/audit.h makes them of the number in the ELF header and two flags.
    #[test]
    fn audit_numbers_are_made_of_the_machine_and_of_64_bits_little_endian() {
        const BITS_64: u32 = 0x8000_0000;
        const LITTLE_ENDIAN: u32 = 0x4000_0000;
        for (architecture, machine) in [(X86_64, libc::EM_X86_64), (AARCH64, libc::EM_AARCH64)] {
            assert_eq!(
                architecture.audit,
                u32::from(machine) | BITS_64 | LITTLE_ENDIAN
            );
        }
    }

    /// linux/seccomp.h has no type whose size differs between the two.
    #[test]
    fn what_the_kernel_hands_over_has_the_published_layout() {
        assert_eq!(
            [
                offset_of!(libc::seccomp_data, nr),
                offset_of!(libc::seccomp_data, arch),
                offset_of!(libc::seccomp_data, instruction_pointer),
                offset_of!(libc::seccomp_data, args),
            ],
            [0, 4, 8, 16]
        );
        assert_eq!(
            [
                size_of::<libc::seccomp_data>(),
                size_of::<libc::seccomp_notif>(),
                size_of::<libc::seccomp_notif_resp>(),
                size_of::<libc::seccomp_notif_addfd>(),
                size_of::<libc::sock_filter>(),
            ],
            [64, 80, 24, 24, 8]
        );
    }
}
