//! Threads under engines that do not know clone3(2).
//!
//! The C library starts threads by clone3 and takes clone instead where the kernel answers ENOSYS. The seccomp profiles
//! of older engines (Docker before 20.10.10, and others with an old libseccomp) answer EPERM, and then no thread starts.
//! A filter of our own that answers ENOSYS mends that: of two filters that refuse a call, the kernel takes the errno of
//! the one that was installed last.
#![expect(
    unsafe_code,
    reason = "clone3(2), prctl(2) and seccomp(2) have no safe wrapper"
)]

use std::mem::offset_of;

use nix::errno::Errno;

use super::architecture::{Architecture, NATIVE};

/// What clone3 is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clone3 {
    /// Threads start, by clone3 or by clone.
    Usable,
    /// EPERM, which is ENOSYS now, for this process and all that it starts.
    Mended,
    /// EPERM, and the filter could not be installed.
    Forbidden(Errno),
}

/// Finds out what clone3 is answered with, and mends it. To be called before the first thread starts: a filter is
/// installed on the calling thread and on what it starts later.
pub fn mend() -> Clone3 {
    if probe() != Errno::EPERM {
        return Clone3::Usable;
    }
    match install(&filter(NATIVE)) {
        Err(errno) => Clone3::Forbidden(errno),
        Ok(()) if probe() == Errno::EPERM => Clone3::Forbidden(Errno::EPERM),
        Ok(()) => Clone3::Mended,
    }
}

/// A call that starts nothing: the kernel answers EINVAL to a structure of no size.
fn probe() -> Errno {
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: the kernel refuses the size before it reads the pointer.
    let result = unsafe { libc::syscall(libc::SYS_clone3, nothing, 0_usize) };
    Errno::result(result).err().unwrap_or(Errno::EINVAL)
}

/// Answers ENOSYS to clone3 and lets everything else pass.
fn filter(of: Architecture) -> [libc::sock_filter; 6] {
    const LD_W_ABS: u16 = 0x20;
    const JEQ_K: u16 = 0x15;
    const RET_K: u16 = 0x06;
    let step = |code: u16, k: u32, jt: u8, jf: u8| libc::sock_filter { code, jt, jf, k };
    let field = |offset: usize| u32::try_from(offset).unwrap_or(0);
    let absent = u32::try_from(libc::ENOSYS).unwrap_or(0);
    [
        step(LD_W_ABS, field(offset_of!(libc::seccomp_data, arch)), 0, 0),
        step(JEQ_K, of.audit, 0, 3),
        step(LD_W_ABS, field(offset_of!(libc::seccomp_data, nr)), 0, 0),
        step(
            JEQ_K,
            u32::try_from(libc::SYS_clone3).unwrap_or(u32::MAX),
            0,
            1,
        ),
        step(RET_K, libc::SECCOMP_RET_ERRNO | absent, 0, 0),
        step(RET_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ]
}

fn install(filter: &[libc::sock_filter]) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::EINVAL)?,
        filter: filter.as_ptr().cast_mut(),
    };
    match set_filter(&program) {
        // Without CAP_SYS_ADMIN the kernel wants no_new_privs.
        Err(Errno::EACCES) => {
            // SAFETY: integers only.
            unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
            set_filter(&program)
        }
        other => other,
    }
}

fn set_filter(program: &libc::sock_fprog) -> nix::Result<()> {
    // SAFETY: the program and its instructions are live during the call; the kernel copies them (seccomp(2)).
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            std::ptr::from_ref(program),
        )
    };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_clone3_works_nothing_is_installed() {
        assert_eq!(mend(), Clone3::Usable);
    }
}
