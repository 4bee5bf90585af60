//! Helpers for the tests of this layer and of those above it: processes under remote control, and threads with fewer
//! rights.
#![expect(
    unsafe_code,
    reason = "what tests do to a thread of their own: setresuid, seccomp, socket options"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test starts programs, and waits for what has no event"
)]

use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::model::{Pid, Sig};

use super::signals;

/// A program in a process group of its own that answers each line with a line. It is killed, with its group, on drop.
pub(crate) struct Puppet {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Puppet {
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Self {
            orders: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::new(self.child.id().cast_signed()).unwrap()
    }

    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "it has ended: {line:?}");
        line.trim_end().to_owned()
    }

    /// Sends `order` and returns when the program has carried it out.
    pub(crate) fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
        assert_eq!(self.answer(), "done", "{order}");
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        // The leader is not reaped, so the group number is still ours.
        let _ = signals::send_group(self.pid(), Sig::KILL);
        let _ = self.child.wait();
    }
}

/// Waits for a condition that sends no event. `what` names the condition in the panic message.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "never came true: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Runs `task` on a thread that belongs to another user and has no capability. The C library would change all threads,
/// so this calls the kernel directly. The process as a whole becomes non-dumpable.
pub(crate) fn as_nobody<T: Send>(task: impl FnOnce() -> T + Send) -> T {
    const NOBODY: u32 = 65534;
    on_a_thread(|| {
        // SAFETY: integers only.
        let done = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
        assert_eq!(done, 0, "this test runs as root");
        task()
    })
}

/// The errors with which a system may refuse netlink: a security profile, or no support in the kernel.
pub(crate) const REFUSALS: [i32; 2] = [libc::EPERM, libc::EPROTONOSUPPORT];

/// Runs `task` on a thread that cannot create sock_diag(7) sockets, because of a filter on this thread alone.
pub(crate) fn without_sock_diag<T: Send>(errno: i32, task: impl FnOnce() -> T + Send) -> T {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let step = |code, k, jf| libc::sock_filter { code, jt: 0, jf, k };
    let number = u32::try_from(libc::SYS_socket).unwrap();
    let domain = u32::try_from(libc::AF_NETLINK).unwrap();
    let protocol = u32::try_from(libc::NETLINK_SOCK_DIAG).unwrap();
    // struct seccomp_data: the call number is at 0, the arguments start at 16.
    let mut steps = [
        step(LOAD, 0, 0),
        step(JUMP_EQUAL, number, 5),
        step(LOAD, 16, 0),
        step(JUMP_EQUAL, domain, 3),
        step(LOAD, 32, 0),
        step(JUMP_EQUAL, protocol, 1),
        step(RETURN, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned(), 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0),
    ];
    on_a_thread(move || {
        // SAFETY: integers only.
        let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        assert_eq!(set, 0);
        let program = libc::sock_fprog {
            len: u16::try_from(steps.len()).unwrap(),
            filter: steps.as_mut_ptr(),
        };
        let mode = libc::SECCOMP_MODE_FILTER;
        // SAFETY: the program and its instructions are live; the kernel copies them.
        let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
        assert_eq!(set, 0);
        task()
    })
}

fn on_a_thread<T: Send>(task: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(task).join()).unwrap()
}

/// Sets TCP_DEFER_ACCEPT on a listener (tcp(7)): the kernel completes a handshake only when data arrives. The client
/// does not notice.
pub(crate) fn defer_accept(listener: impl AsFd) {
    let (fd, seconds) = (listener.as_fd().as_raw_fd(), 60_i32);
    let len = libc::socklen_t::try_from(size_of::<i32>()).unwrap();
    let value = (&raw const seconds).cast();
    // SAFETY: the value is live and the length is its own.
    let set =
        unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, value, len) };
    assert_eq!(set, 0);
}
