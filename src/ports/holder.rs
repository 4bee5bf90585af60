//! Finds out which process has a port that cannot be opened.

use std::fmt;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use crate::model::Pid;
use crate::policy::handover::{PortKey, Transport};
use crate::sys::proc::Proc;
use crate::sys::sockdiag::{Bound, SockDiag};

/// A process that has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process and its name; `None` if it is not visible: it is in another PID namespace, or of another uid.
    pub process: Option<(Pid, String)>,
    /// The user whose socket it is.
    pub uid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some((pid, name)) => write!(f, "pid {pid}, {name}"),
            None => write!(f, "of uid {}", self.uid),
        }
    }
}

impl Holder {
    /// Who has a socket because of which `key` cannot be opened. `None` if the kernel does not tell.
    pub fn of(key: &PortKey) -> Option<Self> {
        let udp = key.transport == Transport::Udp;
        let sockets = SockDiag::open().and_then(|mut diag| diag.bound(udp, key.addr.port()));
        let rival = |socket: &Bound| key_of(socket, key.transport).conflicts(key);
        let socket = sockets.ok()?.into_iter().find(rival)?;
        Some(Self::with(socket.inode, socket.uid))
    }

    /// Whether it descends from this process, as a worker does.
    pub(super) fn is_ours(&self) -> bool {
        let Some((pid, _)) = &self.process else {
            return false;
        };
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let Ok(processes) = Proc::new("/proc").processes() else {
            return false;
        };
        let mut at = pid.get();
        // No line of ancestors is longer; a parent that ends meanwhile could make a ring of reused numbers.
        for _ in 0..processes.all().len() {
            if at == own {
                return true;
            }
            let row = processes.all().iter().find(|row| row.pid == at);
            let Some(row) = row else { return false };
            at = row.parent;
        }
        false
    }

    /// The process that has this socket.
    pub(super) fn with(inode: u64, uid: u32) -> Self {
        let proc = Proc::new("/proc");
        let has = |pid: &Pid| {
            let mut has = false;
            proc.sockets_of(*pid, &mut |other| {
                has = other == inode;
                if has {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            has
        };
        let pids = proc.pids().unwrap_or_default();
        let pid = pids.into_iter().find(has);
        let process = pid.map(|pid| (pid, proc.name(pid).unwrap_or_default()));
        Self { process, uid }
    }
}

/// The port of a socket.
pub(super) fn key_of(socket: &Bound, transport: Transport) -> PortKey {
    let addr: SocketAddr = socket.addr;
    PortKey::new(addr, socket.v6only).over(transport)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::listener;

    #[test]
    fn a_holder_is_told_by_pid_and_program_if_it_can_be_seen() {
        let (pid, uid) = (Pid::new(7).unwrap(), 1000);
        let process = Some((pid, "node".to_owned()));
        assert_eq!(Holder { process, uid }.to_string(), "pid 7, node");
        let process = None;
        assert_eq!(Holder { process, uid }.to_string(), "of uid 1000");
    }

    #[test]
    fn the_holder_of_an_address_that_includes_ours_is_found_and_that_of_another_is_not() {
        let taken = listener::open("127.73.5.1:0".parse().unwrap(), false, 4, false).unwrap();
        let at = listener::local_addr(&taken).unwrap();
        let uid = crate::sys::caller::maker(None).unwrap().uid;
        // Our own process is not looked for.
        let process = None;
        let found = Holder::of(&PortKey::dual_stack(at.port()));
        assert_eq!(found, Some(Holder { process, uid }));
        let beside = SocketAddr::new("127.73.5.2".parse().unwrap(), at.port());
        assert_eq!(Holder::of(&PortKey::new(beside, false)), None);
        drop(taken);
        assert_eq!(Holder::of(&PortKey::dual_stack(at.port())), None);
    }
}
