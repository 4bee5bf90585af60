//! The log lines of the shared ports.

use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use tracing::{debug, error, info, warn};

use crate::model::{ListenerId, Pid, SlotId};
use crate::policy::epoll_sets::Unregistered;
use crate::policy::handover::{PortKey, Transport};
use crate::policy::steering::ProbePorts;
use crate::policy::unix::{Endpoint, UnixKey};
use crate::ports::{Excluded, Holder, PortEvent};
use crate::sys::unseen::Unseen;

use super::drains::UNSEEN_HINT;

/// Logs an event of the shared ports. `admin`: RPM_ADMIN_ADDR.
pub(super) fn log_event(event: &PortEvent, admin: Option<SocketAddr>) {
    match event {
        PortEvent::Opened { key, listeners } => info!(port = %key, listeners, "sharing a port"),
        PortEvent::NotOpened {
            key,
            reason,
            holder,
        } => not_opened(key, reason, holder.as_ref(), admin),
        PortEvent::Unlisted { worker, slot, key } => {
            info!(slot = slot.0, pid = worker.get(), port = %key, "a worker binds a port that RPM_PORTS does not list; it is not shared, so only one process can have it");
        }
        PortEvent::FoundInUse { .. } | PortEvent::StillHeld { .. } => found(event),
        PortEvent::FindsNobody { worker, slot, key } => finds_nobody((*worker, *slot), key),
        PortEvent::NotYet { key, reason } => {
            info!(port = %key, reason, "cannot open this path of RPM_PORTS before the first worker; clients are refused until a worker has bound it, and then it is shared");
        }
        PortEvent::Superseded {
            opened,
            bound,
            waiting,
        } => {
            let hint = "name the address in RPM_PORTS as the program binds it";
            warn!(%opened, %bound, reset_clients = waiting, hint, "the program binds another address, closing the port");
        }
        PortEvent::Taken { worker, slot, key } => {
            debug!(slot = slot.0, pid = worker.get(), port = %key, "worker took its listener");
        }
        PortEvent::Listening { worker, slot, key } => {
            debug!(slot = slot.0, pid = worker.get(), port = %key, "worker listens");
        }
        PortEvent::NotShared {
            worker,
            slot,
            addr,
            why,
        } => not_shared((*worker, *slot), addr, *why),
        PortEvent::ListensAlone { worker, slot } => listens_alone(*worker, *slot),
        PortEvent::Stalls { worker, slot } => stalls(*worker, *slot),
        PortEvent::ServerEnded => server_ended(),
        PortEvent::Stranger {
            key,
            addr,
            holder,
            joined,
            within,
        } => stranger((key, addr), holder, *joined, *within),
        PortEvent::Everybody { worker, slot, key } => everybody((*worker, *slot), key),
        PortEvent::KernelChooses { key } => {
            info!(port = %key, "the program connects each UDP socket of this port to one client; from now on the kernel chooses among the workers, and what waits at a worker that ends is lost");
        }
        PortEvent::Excludes { worker, key, why } => excludes(*worker, key, *why),
        PortEvent::Unseen { worker, slot } => unseen(*worker, *slot),
        PortEvent::Unregistered {
            worker,
            slot,
            key,
            reason,
            answer,
        } => {
            unregistered((*worker, *slot), key, reason, *answer);
        }
        PortEvent::Closed {
            worker,
            slot,
            key,
            waiting,
            ended,
        } => closed((*worker, *slot), key, *waiting, *ended),
        PortEvent::Left {
            worker,
            slot,
            key,
            last,
        } => left(*worker, *slot, key, *last),
        PortEvent::Barred {
            key,
            listener,
            worker,
        } => barred(key, *listener, *worker),
        PortEvent::Repaired {
            key,
            listeners,
            rebuilt,
        } => repaired(key, listeners, *rebuilt),
        PortEvent::Guarded { .. } | PortEvent::Spoilt { .. } => changed(event),
        PortEvent::Stranded {
            key,
            listener,
            count,
            waited,
        } => stranded(key, *listener, *count, *waited),
        PortEvent::SourcePortTaken { port, moved } => source_port_taken(*port, *moved),
        PortEvent::SteeringFailed { key, reason } => {
            error!(port = %key, error = reason, "cannot update the steering of new connections; the previous steering stays");
        }
    }
}

/// What a look found, for those who search for a cause.
fn found(event: &PortEvent) {
    match event {
        PortEvent::FoundInUse { worker } => {
            debug!(
                pid = worker.get(),
                "worker found a path of its service in use"
            );
        }
        PortEvent::StillHeld {
            worker,
            key,
            process,
        } => {
            debug!(pid = worker.get(), port = %key, process, "the process that listened here has ended; another one has its listener");
        }
        _ => {}
    }
}

fn stalls(worker: Pid, slot: SlotId) {
    warn!(
        slot = slot.0,
        pid = worker.get(),
        "a call of the worker waits, because the worker does not let its memory be read (userfaultfd, FUSE); the calls of other workers are answered"
    );
}

fn server_ended() {
    error!(
        "the thread that answers the workers' bind calls has ended; the workers that serve go on, new ones cannot bind, and /livez fails"
    );
}

fn stranger((key, addr): (&PortKey, &SocketAddr), holder: &Holder, joined: bool, within: Duration) {
    let within = within.as_secs();
    let hint = "end that process, or give one of the two another port";
    if joined {
        warn!(port = %key, %holder, came_within_seconds = within, hint, "another process of this user has joined the shared port (SO_REUSEPORT); the steering gives it no client");
    } else {
        warn!(port = %key, %addr, %holder, came_within_seconds = within, hint, "another process of this user listens at an address of the shared port (SO_REUSEPORT) and takes the clients that come to it");
    }
}

fn everybody((worker, slot): (Pid, SlotId), key: &PortKey) {
    let hint = "set RPM_INSTANCES=1 and RPM_RELOAD_SURGE=0, so that one process has the socket";
    warn!(slot = slot.0, pid = worker.get(), port = %key, hint, "the worker is in a multicast group: every worker of this port gets each datagram of it");
}

fn unseen(worker: Pid, slot: SlotId) {
    let hint = UNSEEN_HINT;
    warn!(
        slot = slot.0,
        pid = worker.get(),
        hint,
        "cannot inspect a process of the worker (another uid, or not dumpable); the ports that it binds are not shared"
    );
}

fn barred(key: &PortKey, listener: ListenerId, worker: Option<Pid>) {
    let pid = worker.map(Pid::get);
    error!(port = %key, listener = listener.0, pid, "a worker shuts its listener down again and again; it does not get it back and is replaced");
}

fn listens_alone(worker: Pid, slot: SlotId) {
    let (slot, pid) = (slot.0, worker.get());
    debug!(slot, pid, "worker listens on a port that is not shared");
}

fn stranded(key: &PortKey, listener: ListenerId, connections: u32, waited: bool) {
    if waited {
        info!(port = %key, connections, "clients waited until a worker was ready; passing them on (logged once a minute)");
    } else {
        warn!(port = %key, listener = listener.0, connections, "connections came to a listener without a worker; passing them on to a live one (logged once a minute)");
    }
}

fn source_port_taken(port: u16, moved: Option<ProbePorts>) {
    let what = "another process listens on a source port by which the runtime reaches one worker (logged once a minute)";
    if let Some(moved) = moved {
        let now = format!("{} to {}", moved.base, moved.base + (moved.count - 1));
        warn!(source_port = port, next = "using others", now, "{what}");
    } else {
        let next = "workers cannot be asked over their listeners until it ends, or net.ipv4.ip_local_port_range leaves others";
        error!(source_port = port, next, "{what}");
    }
}

fn closed((worker, slot): (Pid, SlotId), key: &PortKey, waiting: u32, ended: bool) {
    let (slot, pid) = (slot.0, worker.get());
    let next = "it gets no new connections there, and clients that wait there are passed on";
    if ended {
        warn!(slot, pid, port = %key, waiting, "the process of a worker that listened here has ended, and the worker lives on; {next}");
    } else {
        warn!(slot, pid, port = %key, waiting, "a worker closed its listener and lives on; {next}");
    }
}

fn not_shared((worker, slot): (Pid, SlotId), addr: &SocketAddr, why: Unseen) {
    let reason = match why {
        Unseen::Narrow => "its program is one of 32 bits, whose calls are not seen",
        Unseen::IoUring => "the program uses io_uring, whose operations are not seen",
        Unseen::Unknown => "its bind was not seen",
    };
    let hint = "let the program bind by a system call of this machine (no io_uring, 64 bits), or set RPM_INSTANCES=1 and RPM_RELOAD_SURGE=0";
    warn!(slot = slot.0, pid = worker.get(), port = %addr, reason, hint, "a ready worker listens on a port that is not shared; other workers and its successor cannot have it (logged once for each port)");
}

fn left(worker: Pid, slot: SlotId, key: &Endpoint, last: bool) {
    let (slot, pid) = (slot.0, worker.get());
    if last {
        warn!(slot, pid, port = %key, "every worker has closed its listener of this port; it is closed until a worker listens there again");
    } else {
        debug!(slot, pid, port = %key, "worker closed its listener; it gets no new connections there");
    }
}

fn not_opened(key: &Endpoint, error: &str, holder: Option<&Holder>, admin: Option<SocketAddr>) {
    if error == Errno::EADDRINUSE.desc() {
        let place = match key {
            Endpoint::Port(key) => key.addr.port().to_string(),
            Endpoint::Unix(key) => key.to_string(),
        };
        if is_admin(key, admin) {
            let hint =
                "give the runtime another address by RPM_ADMIN_ADDR, or set RPM_ADMIN_ADDR=off";
            error!(port = %key, hint, "the admin endpoints (RPM_ADMIN_ADDR) already listen on {place}; the program cannot bind it");
        } else {
            let holder = holder.map(tracing::field::display);
            error!(port = %key, error, holder, "another process already listens on {place}; the program's own bind fails too");
        }
    } else if error == Errno::EACCES.desc() {
        let hint = "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE";
        error!(port = %key, error, hint, "cannot share a port, the worker binds it by itself");
    } else {
        error!(port = %key, error, "cannot share a port, the worker binds it by itself");
    }
}

/// Whether the runtime itself listens there.
fn is_admin(key: &Endpoint, admin: Option<SocketAddr>) -> bool {
    let Endpoint::Port(key) = key else {
        return false;
    };
    let port = admin.map(|admin| admin.port());
    key.transport == Transport::Tcp && port == Some(key.addr.port())
}

/// Known addresses are told once.
fn excludes(worker: Pid, key: &PortKey, why: Excluded) {
    let protocol = match key.transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    };
    let pid = worker.get();
    match why {
        Excluded::Known { tell: false, .. } => {}
        Excluded::Known { slot, .. } => {
            let hint = "RPM_INSTANCES=1, or SO_REUSEADDR in the program if every worker shall get each datagram";
            warn!(slot = slot.0, pid, port = %key, protocol, hint, "a multicast or broadcast address cannot be shared; in a reload the worker that has it ends before the new one starts (as with RPM_RELOAD_SURGE=0)");
        }
        Excluded::Tried { slot, held_by } if slot == held_by => {
            let hint =
                "name it in RPM_PORTS if the workers can share it, or set RPM_RELOAD_SURGE=0";
            warn!(slot = slot.0, pid, port = %key, protocol, hint, "a new worker cannot bind this address while the old one has it, and it is not shared; if the new one ends, the old one ends before the next starts (as with RPM_RELOAD_SURGE=0)");
        }
        Excluded::Tried { slot, held_by } => {
            let hint = "RPM_INSTANCES=1, or name it in RPM_PORTS if the workers can share it";
            error!(slot = slot.0, port = %key, protocol, held_by = held_by.0, hint, "a worker cannot bind this address: another worker has it, and it is not shared");
        }
    }
}

fn finds_nobody((worker, slot): (Pid, SlotId), key: &UnixKey) {
    let hint = "name the ports to share in RPM_PORTS, without this path, if only one worker may have it; then set RPM_INSTANCES=1 and RPM_RELOAD_SURGE=0";
    warn!(slot = slot.0, pid = worker.get(), port = %key, hint, "the program connects to its own unix path and ends if somebody answers; from now on its workers find nobody there before they bind it, and share it");
}

fn repaired(key: &PortKey, listeners: &[usize], rebuilt: bool) {
    let lost = if rebuilt {
        "every queue of the port was"
    } else {
        "its queue was"
    };
    warn!(port = %key, ?listeners, "a worker shut its listener down; listening again, {lost} reset");
}

/// A process sets options on a listener that is not its own alone.
fn changed(event: &PortEvent) {
    if let PortEvent::Guarded {
        worker,
        slot,
        key,
        option: (level, name),
        refused,
    } = event
    {
        let answer = if *refused { "EPERM" } else { "done" };
        info!(slot = slot.0, pid = worker.get(), port = %key, level, option = name, answer, "a worker sets an option on its listener that would change it for others too; it is answered and not set (logged once for each worker)");
    }
    if let PortEvent::Spoilt {
        key,
        listener,
        what,
        replaced,
    } = event
    {
        let done = if *replaced {
            "it is replaced by a new one"
        } else {
            "that is undone"
        };
        warn!(port = %key, listener, option = what, "a process has spoilt a listener for others by a socket option; {done}");
    }
}

fn unregistered((worker, slot): (Pid, SlotId), key: &PortKey, reason: &str, answer: Unregistered) {
    let (slot, pid) = (slot.0, worker.get());
    match answer {
        Unregistered::LeaveAlone => {
            let hint = "set RPM_RELOAD_SURGE=0, because a successor cannot bind the port while this worker has it";
            warn!(slot, pid, port = %key, reason, hint, "cannot share a port whose socket is in an epoll set before bind; the worker binds it by itself");
        }
        Unregistered::Refuse => {
            let hint = "set RPM_INSTANCES=1 and RPM_RELOAD_SURGE=0, or let the program watch the socket after bind";
            error!(slot, pid, port = %key, reason, hint, "cannot share a port whose socket is in an epoll set before bind; bind fails with EOPNOTSUPP");
        }
    }
}
