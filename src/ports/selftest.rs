//! Self-tests at the start: what the kernel really allows here. Versions and error codes do not tell: gVisor accepts
//! the steering program and ignores it.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;

use crate::model::{Bpf, Exit, Sig};
use crate::policy::handover::SocketKind;
use crate::sys::intercept::{Call, Filter, Notifier};
use crate::sys::remote::{self, Descriptor};
use crate::sys::status::{self, Status};
use crate::sys::{intercept_probe, io, listener, reaper, signals, steering as sys_steering};

/// Limit of each wait in the self-tests.
const PATIENCE: Duration = Duration::from_secs(2);

/// Number of looks at the test queues within that time.
const LOOKS: u32 = 400;

/// Connections in the test of steering. The chance that the kernel's own hash sends all of them to the second listener
/// is below one in ten million.
const CLIENTS: u32 = 24;

/// Tests whether a program on a SO_REUSEPORT group chooses the listener: a group of two gets a program that always
/// selects the second, and all connections must arrive there. Before, it gets `longest`, the longest program that the
/// service will need.
pub fn steering(longest: &[Bpf]) -> Result<(), String> {
    /// `ret 1`.
    const SECOND: Bpf = Bpf {
        code: 0x06,
        jt: 0,
        jf: 0,
        k: 1,
    };
    let (first, addr) = loopback_listener()?;
    let second =
        listener::open(addr, true, CLIENTS, true).map_err(named("a second test listener"))?;
    sys_steering::attach(&first, longest).map_err(|errno| {
        if errno == Errno::ENOMEM {
            let instructions = longest.len();
            format!(
                "net.core.optmem_max is too small for the steering program of so many workers ({instructions} instructions \
                 of 8 bytes, and some more)"
            )
        } else {
            named("SO_ATTACH_REUSEPORT_CBPF")(errno)
        }
    })?;
    sys_steering::attach(&first, &[SECOND]).map_err(named("SO_ATTACH_REUSEPORT_CBPF"))?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(
            listener::connect_nonblocking(addr).map_err(named("connecting to a test listener"))?,
        );
    }
    let at = |fd| {
        listener::queue(fd)
            .map(|queue| queue.length)
            .map_err(named("TCP_INFO"))
    };
    let mut queues = (at(&first)?, at(&second)?);
    // The handshakes are complete when connect returns, unless the kernel deferred them to its own thread.
    for _ in 0..LOOKS {
        if queues.0 + queues.1 == CLIENTS {
            break;
        }
        io::wait_readable(&first, PATIENCE / LOOKS).map_err(named("poll"))?;
        queues = (at(&first)?, at(&second)?);
    }
    match queues {
        (0, CLIENTS) => Ok(()),
        (_, here) => Err(format!(
            "the steering program has no effect ({here} of {CLIENTS} connections went where it said)"
        )),
    }
}

/// A listener on the loopback address, IPv4 or IPv6, whichever exists.
fn loopback_listener() -> Result<(OwnedFd, SocketAddr), String> {
    let addrs = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let mut refused = String::new();
    for ip in addrs {
        // Without a program first, so that the reason names what is refused.
        match listener::open(SocketAddr::new(ip, 0), true, CLIENTS, true) {
            Ok(fd) => {
                let addr = listener::local_addr(&fd).map_err(named("getsockname"))?;
                drop(fd);
                let fd = first_listener(addr).map_err(named("SO_ATTACH_REUSEPORT_CBPF"))?;
                return Ok((fd, addr));
            }
            Err(errno) => refused = named("a test listener on the loopback address")(errno),
        }
    }
    Err(refused)
}

/// Opens it as the first one of a shared port is opened.
fn first_listener(addr: SocketAddr) -> nix::Result<OwnedFd> {
    let fd = listener::first(addr, true)?;
    listener::listen(&fd, CLIENTS)?;
    listener::share(&fd)?;
    Ok(fd)
}

/// Tests whether a child's `bind` can be intercepted and its descriptor replaced, by really doing it once.
pub fn interception(filter: &Filter) -> Result<(), String> {
    let (child, socket) = intercept_probe::start(filter).map_err(named("fork"))?;
    let outcome = intercept_once(&socket);
    if outcome.is_err() {
        // The child may wait in the trapped call. It is ours and not reaped.
        let _ = signals::send(child, Sig::KILL);
    }
    let exit = reaper::wait_for(child).map_err(named("waitpid"))?;
    outcome?;
    if exit == Exit::Code(0) {
        Ok(())
    } else {
        Err("the replaced descriptor did not arrive".to_owned())
    }
}

fn intercept_once(socket: &OwnedFd) -> Result<(), String> {
    let answered = io::wait_readable(socket, PATIENCE).map_err(named("poll"))?;
    if !answered {
        return Err("the test process does not answer".to_owned());
    }
    let notifier = match status::receive(socket).map_err(named("recvmsg"))? {
        Status::Notifier(notifier) => notifier,
        Status::NotIntercepted(errno) | Status::ExecFailed(errno) => {
            return Err(format!("seccomp user notification: {}", errno.desc()));
        }
        Status::Closed => return Err("the test process died".to_owned()),
    };
    answer_trial(&notifier)
}

fn answer_trial(notifier: &Notifier) -> Result<(), String> {
    if !io::wait_readable(notifier, PATIENCE).map_err(named("poll"))? {
        return Err("the trapped call is not reported".to_owned());
    }
    let notification = notifier
        .receive()
        .map_err(named("SECCOMP_IOCTL_NOTIF_RECV"))?
        .filter(|notification| notification.call == Call::Bind && notification.task > 0)
        .ok_or("the trapped call is reported without its process")?;
    let fd = Descriptor {
        task: notification.task,
        fd: i32::try_from(notification.args[0]).unwrap_or(-1),
    };
    let protocol = fd
        .protocol()
        .map_err(named("the socket's protocol in /proc/PID/fd"))?;
    if SocketKind::from_protocol(&protocol) != SocketKind::Tcp4 {
        return Err(format!("a TCP socket is reported as {protocol}"));
    }
    fd.inode().map_err(named("/proc/PID/fd"))?;
    let flags = fd.flags().map_err(named("/proc/PID/fdinfo"))?;
    let mut address = [0_u8; 16];
    remote::read_memory(notification.task, notification.args[1], &mut address)
        .map_err(named("process_vm_readv"))?;
    let addr =
        remote::parse_sockaddr(&address).ok_or("the address of the trapped call is unreadable")?;
    let ours = listener::open(addr, true, 8, false).map_err(named("a test listener"))?;
    if !notifier.is_valid(&notification) {
        return Err("SECCOMP_IOCTL_NOTIF_ID_VALID fails".to_owned());
    }
    notifier
        .replace(&notification, &ours, fd.fd, flags.cloexec)
        .map_err(named("SECCOMP_IOCTL_NOTIF_ADDFD"))?;
    notifier
        .succeed(&notification)
        .map_err(named("SECCOMP_IOCTL_NOTIF_SEND"))
}

/// What keeps the self-tests from working though the mechanism may be there, and what helps; `None` if nothing is seen.
pub fn obstacle() -> Option<(&'static str, &'static str)> {
    if !std::path::Path::new("/proc/self/fd").exists() {
        return Some((
            "/proc is not mounted",
            "Mount a proc filesystem at /proc in the container",
        ));
    }
    // Port 1, where nobody listens.
    let tried = listener::connect_nonblocking(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    let unreachable = [
        Errno::ENETUNREACH,
        Errno::EHOSTUNREACH,
        Errno::EADDRNOTAVAIL,
    ];
    if tried.is_err_and(|errno| unreachable.contains(&errno)) {
        return Some((
            "the loopback interface is down or does not have the address 127.0.0.1",
            "Bring it up (ip link set lo up; ip addr add 127.0.0.1/8 dev lo)",
        ));
    }
    None
}

fn named<E: Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::steering::{Balance, longest};
    use crate::sys::intercept::Extra;

    #[test]
    fn this_kernel_steers_and_intercepts() {
        let longest = longest(512, Balance::Source, None).unwrap();
        assert_eq!(steering(&longest), Ok(()));
        assert_eq!(interception(&Filter::new(Extra::default())), Ok(()));
    }
}
