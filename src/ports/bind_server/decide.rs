//! What is decided about a `bind` before anything is done.

use crate::policy::handover::{BindAnswer, PortKey, SocketKind, on_bind};
use crate::policy::rights::Denied;
use crate::sys::intercept::Notification;
use crate::sys::remote::Descriptor;
use crate::sys::rights::{first_free_port, rights};

use super::{Answer, PortEvent, ServedWorker, Thread};
use crate::ports::trapped_call::read_address;

/// A decision about a `bind`.
pub(super) struct Decided {
    pub answer: BindAnswer,
    /// The inode of the program's socket.
    pub inode: u64,
    /// The caller must not have the port.
    pub denied: Option<(PortKey, Denied)>,
}

impl<F: Fn(PortEvent)> Thread<F> {
    /// An error means that something could not be read; the kernel then executes the call unchanged.
    pub(super) fn decide_bind(
        &self,
        served: &ServedWorker,
        notification: &Notification,
        (fd, protocol): (Descriptor, &str),
    ) -> nix::Result<Decided> {
        let [_, address, len, ..] = notification.args;
        let kind = SocketKind::from_protocol(protocol);
        let inode = fd.inode()?;
        let mut decided = Decided {
            answer: BindAnswer::Leave,
            inode,
            denied: None,
        };
        if kind == SocketKind::Other {
            return Ok(decided);
        }
        let addr = read_address(notification.task, address, len)?;
        let v6only = served.told.of(inode).v6only();
        let v6only = v6only.unwrap_or(self.v6only_default);
        let ours = self.ports.owns(inode);
        decided.answer = on_bind(&self.ports.rule(), kind, addr, v6only, ours);
        if let Some(key) = decided.answer.key() {
            let denied = self.denied(fd, key)?;
            decided.denied = denied.map(|denied| (key, denied));
        }
        Ok(decided)
    }

    /// Whether the kernel would refuse the port to this thread, or give it that of another network.
    fn denied(&self, socket: Descriptor, key: PortKey) -> nix::Result<Option<Denied>> {
        if !self.network.has(socket) {
            return Ok(Some(Denied::OtherNetwork));
        }
        let (port, first) = (key.addr.port(), first_free_port());
        if port >= first {
            return Ok(None);
        }
        Ok(rights(Some(socket.task))?.bind(port, first).err())
    }

    /// The caller must not have the port. The kernel executes its call.
    pub(super) fn leave_denied(
        &self,
        served: &mut ServedWorker,
        (key, denied): (PortKey, Denied),
    ) -> Answer {
        self.not_opened(served, key, denied.to_string());
        Answer::Proceed
    }
}
