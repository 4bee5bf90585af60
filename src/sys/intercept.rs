//! Intercepts `bind`, `listen` and the question whether a socket listens, the creation of epoll sets, a few socket options and,
//! for unix paths, the removal of files and connections to paths by a seccomp user notification (seccomp_unotify(2)).
//!
//! The child installs the filter on itself; the filter stays on it and on all its descendants. Each trapped call waits
//! until the owner of the notifier answers, so the notifier must stay open and served while any of them lives.
#![expect(unsafe_code, reason = "seccomp(2) and its ioctls have no safe wrapper")]

use std::mem::{offset_of, size_of};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::architecture::{Architecture, NATIVE};
use super::sockopt::REPORTED;

/// The trapped system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// bind(2).
    Bind,
    /// listen(2).
    Listen,
    /// setsockopt(2) of one of [`REPORTED`]. Its value would be lost with the replaced descriptor.
    SetOption,
    /// getsockopt(2) of SO_ACCEPTCONN: whether the socket listens. The one that replaced it does.
    AskListening,
    /// epoll_create(2) or epoll_create1(2). Sets that hold a socket before its `bind` must be known at the `bind`.
    CreateEpoll,
    /// unlink(2).
    Unlink,
    /// unlinkat(2) without AT_REMOVEDIR.
    UnlinkAt,
    /// connect(2), unless the address is as long as one of IPv4 or of IPv6.
    Connect,
}

/// One trapped call that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    id: u64,
    /// The calling thread, in our PID namespace; 0 if it is not visible there.
    pub task: i32,
    /// The system call.
    pub call: Call,
    /// The arguments of the call.
    pub args: [u64; 6],
}

/// What some filters trap beside the calls that all of them trap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// unlink(2) and unlinkat(2), which unix socket paths need.
    pub removals: bool,
    /// connect(2) to unix sockets. The filter sees only the length of the address, so a path of 13, 14, 25 or 26 bytes
    /// passes if the program counts its length exactly: these are the lengths of an IPv4 and of an IPv6 address.
    pub connects: bool,
}

const LD_W_ABS: u16 = 0x20;
const JEQ_K: u16 = 0x15;
const RET_K: u16 = 0x06;

/// Jump targets in a filter that is being built; the offsets are known when it is complete.
const ALLOW: u8 = 254;
const NOTIFY: u8 = 255;

/// The filter program. It decides by the call number alone where it can, so that the kernel's cache of always-allowed
/// calls (since 5.11) covers all others. Calls of a foreign architecture (i386, x32) pass.
fn filter(of: Architecture, extra: Extra) -> Vec<libc::sock_filter> {
    let load = |k: usize| libc::sock_filter {
        code: LD_W_ABS,
        jt: 0,
        jf: 0,
        k: u32::try_from(k).unwrap_or(0),
    };
    let equal = |k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: JEQ_K,
        jt,
        jf,
        k,
    };
    let answer = |k: u32| libc::sock_filter {
        code: RET_K,
        jt: 0,
        jf: 0,
        k,
    };
    // The low word of an argument: both architectures are little-endian.
    let argument = |nr: usize| load(offset_of!(libc::seccomp_data, args) + nr * size_of::<u64>());
    let mut steps = vec![
        load(offset_of!(libc::seccomp_data, arch)),
        equal(of.audit, 0, ALLOW),
        load(offset_of!(libc::seccomp_data, nr)),
        equal(of.bind, NOTIFY, 0),
        equal(of.listen, NOTIFY, 0),
        equal(of.epoll_create1, NOTIFY, 0),
    ];
    steps.extend(of.epoll_create.map(|create| equal(create, NOTIFY, 0)));
    if extra.removals {
        steps.extend(of.unlink.map(|unlink| equal(unlink, NOTIFY, 0)));
        steps.extend([
            equal(of.unlinkat, 0, 2),
            argument(2), // flags
            equal(libc::AT_REMOVEDIR.cast_unsigned(), ALLOW, NOTIFY),
        ]);
    }
    if extra.connects {
        let [v4, v6] = [
            size_of::<libc::sockaddr_in>(),
            size_of::<libc::sockaddr_in6>(),
        ];
        let [v4, v6] = [v4, v6].map(|len| u32::try_from(len).unwrap_or(0));
        steps.extend([
            equal(of.connect, 0, 3),
            argument(2), // length of the address
            equal(v4, ALLOW, 0),
            equal(v6, ALLOW, NOTIFY),
        ]);
    }
    steps.extend([
        equal(of.getsockopt, 0, 4),
        argument(1), // level
        equal(libc::SOL_SOCKET.cast_unsigned(), 0, ALLOW),
        argument(2), // option
        equal(libc::SO_ACCEPTCONN.cast_unsigned(), NOTIFY, ALLOW),
    ]);
    steps.extend([equal(of.setsockopt, 0, ALLOW), argument(1)]);
    for (level, names) in REPORTED {
        // To the next level: over the load of the option, its names and the answer.
        let next = u8::try_from(names.len() + 2).unwrap_or(0);
        steps.extend([equal(level.cast_unsigned(), 0, next), argument(2)]);
        let names = names.iter();
        steps.extend(names.map(|name| equal(name.cast_unsigned(), NOTIFY, 0)));
        steps.push(answer(libc::SECCOMP_RET_ALLOW));
    }
    steps.extend([
        answer(libc::SECCOMP_RET_ALLOW),
        answer(libc::SECCOMP_RET_USER_NOTIF),
    ]);
    let len = steps.len();
    for (at, step) in steps.iter_mut().enumerate() {
        for jump in [&mut step.jt, &mut step.jf] {
            // An offset counts from the next instruction. The two answers are the last ones.
            let target = match *jump {
                ALLOW => len - 2,
                NOTIFY => len - 1,
                _ => continue,
            };
            // The program is far shorter than the longest jump; a test runs it.
            *jump = u8::try_from(target - at - 1).unwrap_or(0);
        }
    }
    steps
}

/// The filter, built before a fork so that the child need not allocate.
#[derive(Debug)]
pub struct Filter(Vec<libc::sock_filter>);

impl Filter {
    /// Builds the filter.
    pub fn new(extra: Extra) -> Self {
        Self(filter(NATIVE, extra))
    }

    /// Installs the filter on the calling thread and returns the notifier, close-on-exec. Async-signal-safe: for the
    /// child between fork and exec. Sets no_new_privs only if the kernel requires it (not needed with CAP_SYS_ADMIN).
    ///
    /// Fails with EBUSY if a filter with a notifier exists already (a nested runtime, some sandboxes), with EPERM or
    /// ENOSYS if a profile forbids it, with EINVAL on a kernel older than 5.5 or an emulation.
    pub fn install(&self) -> Result<OwnedFd, Errno> {
        let program = libc::sock_fprog {
            len: u16::try_from(self.0.len()).unwrap_or(0),
            filter: self.0.as_ptr().cast_mut(),
        };
        // Before 5.16 a filter without SPEC_ALLOW slowed the program down. WAIT_KILLABLE_RECV (since 5.19) keeps a
        // signal from restarting a call that is being answered.
        let plain = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        let mut flags = plain | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        let mut result = set_filter(flags, &program);
        if matches!(result, Err(Errno::EACCES)) {
            // SAFETY: integers only.
            unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
            result = set_filter(flags, &program);
        }
        if matches!(result, Err(Errno::EINVAL)) {
            flags = plain;
            result = set_filter(flags, &program);
        }
        if matches!(result, Err(Errno::EACCES)) {
            // SAFETY: integers only.
            unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
            result = set_filter(flags, &program);
        }
        result
    }
}

fn set_filter(flags: libc::c_ulong, program: &libc::sock_fprog) -> Result<OwnedFd, Errno> {
    let pointer = std::ptr::from_ref(program);
    // SAFETY: the program and its instructions are live during the call; the kernel copies them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            pointer,
        )
    };
    let fd = Errno::result(result)?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The owner's end, which receives and answers trapped calls.
#[derive(Debug)]
pub struct Notifier(OwnedFd);

impl AsFd for Notifier {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Notifier {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

/// Arguments are 64-bit registers; an `int` is the lower half.
fn low_word(register: u64) -> i32 {
    u32::try_from(register & u64::from(u32::MAX)).map_or(0, u32::cast_signed)
}

impl Notification {
    /// For [`Call::CreateEpoll`]: whether the descriptor shall be close-on-exec. `None` if the kernel refuses the
    /// arguments.
    pub fn epoll_cloexec(&self) -> Option<bool> {
        match low_word(*self.args.first()?) {
            0 => Some(false),
            libc::EPOLL_CLOEXEC => Some(true),
            _ => None,
        }
    }
}

impl Notifier {
    /// Receives the next waiting call. `None` if its thread died meanwhile (ENOENT) or a signal interrupted us.
    pub fn receive(&self) -> nix::Result<Option<Notification>> {
        // SAFETY: integers only, for which zero is valid; the kernel requires zeroed memory (seccomp_unotify(2)).
        let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        match self.ioctl(libc::SECCOMP_IOCTL_NOTIF_RECV, &mut raw) {
            Ok(()) => {}
            Err(Errno::ENOENT | Errno::EINTR | Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(errno),
        }
        let number = u32::try_from(raw.data.nr).unwrap_or(0);
        let call = if number == NATIVE.bind {
            Call::Bind
        } else if number == NATIVE.listen {
            Call::Listen
        } else if number == NATIVE.setsockopt {
            Call::SetOption
        } else if number == NATIVE.getsockopt {
            Call::AskListening
        } else if number == NATIVE.unlinkat {
            Call::UnlinkAt
        } else if Some(number) == NATIVE.unlink {
            Call::Unlink
        } else if number == NATIVE.connect {
            Call::Connect
        } else {
            // The filter traps no other call.
            Call::CreateEpoll
        };
        let mut args = raw.data.args;
        if NATIVE.epoll_create == Some(number) {
            // Its argument is a size, which only has to be above 0. As the flags of epoll_create1, 0 is the same call
            // and any other value is as wrong as the size.
            let positive = args.first().is_some_and(|size| low_word(*size) > 0);
            args = [if positive { 0 } else { u64::MAX }; 6];
        }
        let task = i32::try_from(raw.pid).unwrap_or(0);
        Ok(Some(Notification {
            id: raw.id,
            task,
            call,
            args,
        }))
    }

    /// Whether the call still waits. If so, everything read about its thread before this check really belongs to that
    /// thread, and not to a later process with the same number.
    pub fn is_valid(&self, notification: &Notification) -> bool {
        let mut id = notification.id;
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &mut id)
            .is_ok()
    }

    /// Replaces the caller's descriptor `target` by a copy of `source`. The kernel closes the old one.
    pub fn replace(
        &self,
        notification: &Notification,
        source: impl AsFd,
        target: i32,
        cloexec: bool,
    ) -> nix::Result<()> {
        let target = u32::try_from(target).map_err(|_| Errno::EBADF)?;
        let flags = libc::SECCOMP_ADDFD_FLAG_SETFD;
        self.add_fd(notification, source, (flags, target), cloexec)
    }

    /// Answers the call with a new descriptor, which is a copy of `source`. Fails with EINVAL on kernels older than
    /// 5.14; with EMFILE if the caller can have no more descriptors; the call then still waits for its answer.
    pub fn succeed_with(
        &self,
        notification: &Notification,
        source: impl AsFd,
        cloexec: bool,
    ) -> nix::Result<()> {
        let flags = libc::SECCOMP_ADDFD_FLAG_SEND;
        self.add_fd(notification, source, (flags, 0), cloexec)
    }

    fn add_fd(
        &self,
        notification: &Notification,
        source: impl AsFd,
        (flags, newfd): (libc::c_ulong, u32),
        cloexec: bool,
    ) -> nix::Result<()> {
        let mut raw = libc::seccomp_notif_addfd {
            id: notification.id,
            flags: u32::try_from(flags).map_err(|_| Errno::EINVAL)?,
            srcfd: u32::try_from(source.as_fd().as_raw_fd()).map_err(|_| Errno::EBADF)?,
            newfd,
            newfd_flags: if cloexec {
                u32::try_from(libc::O_CLOEXEC).unwrap_or(0)
            } else {
                0
            },
        };
        let request = libc::SECCOMP_IOCTL_NOTIF_ADDFD;
        let fd = self.0.as_raw_fd();
        // SAFETY: the pointer is to a live value of the type that the request names.
        Errno::result(unsafe { libc::ioctl(fd, request, &raw mut raw) }).map(drop)
    }

    /// Lets the kernel execute the call. It is no error if the caller died meanwhile.
    pub fn proceed(&self, notification: &Notification) -> nix::Result<()> {
        let flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(1);
        self.answer(notification, 0, flags)
    }

    /// Tells the caller that the call succeeded, without executing it.
    pub fn succeed(&self, notification: &Notification) -> nix::Result<()> {
        self.answer(notification, 0, 0)
    }

    /// Tells the caller that the call failed, without executing it.
    pub fn fail(&self, notification: &Notification, errno: Errno) -> nix::Result<()> {
        self.answer(notification, -(errno as i32), 0)
    }

    fn answer(&self, notification: &Notification, error: i32, flags: u32) -> nix::Result<()> {
        let mut raw = libc::seccomp_notif_resp {
            id: notification.id,
            val: 0,
            error,
            flags,
        };
        match self.ioctl(libc::SECCOMP_IOCTL_NOTIF_SEND, &mut raw) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn ioctl<T>(&self, request: libc::Ioctl, value: &mut T) -> nix::Result<()> {
        let fd = self.0.as_raw_fd();
        // SAFETY: the pointer is to a live value of the type that the request names.
        Errno::result(unsafe { libc::ioctl(fd, request, std::ptr::from_mut(value)) }).map(drop)
    }
}

#[cfg(test)]
mod tests;
