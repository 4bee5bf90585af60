//! Repairs a group whose listeners a worker has shut down.

use crate::policy::Rotation;
use crate::sys::listener;

use super::group::{Group, Listener};

/// Result of [`Group::repair`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Repaired {
    /// Numbers of the listeners that had left the group.
    pub mended: Vec<usize>,
    /// All listeners were made to listen again.
    pub rebuilt: bool,
    /// The error, if something could not be repaired.
    pub error: Option<nix::errno::Errno>,
}

impl Group {
    /// Makes listeners that left the state LISTEN listen again. A worker called `shutdown` on them, and their queues
    /// are already reset.
    ///
    /// When one listener leaves the group, the last member moves to its index; when it returns, it gets the last index.
    /// If several left, their order is unknown, and so are all indexes: then all listeners leave the group and listen
    /// again. That resets every queue of this port, and a blocked `accept` returns EINVAL. It happens only if two
    /// workers shut down their listeners at nearly the same time.
    pub fn repair(&mut self, rotation: &Rotation) -> Repaired {
        let mut repaired = Repaired::default();
        self.shuts |= !self.gone().is_empty();
        match self.gone().as_slice() {
            [] => return repaired,
            [one] if self.steering.is_some() => {
                repaired.mended.push(*one);
                if let Some(index) = self.order.iter().position(|other| other == one) {
                    self.order.swap_remove(index);
                }
                self.program = None;
                if let Some(listener) = self.listeners.get(*one) {
                    repaired.error = listener::stop_listening(&listener.fd)
                        .and_then(|()| listener::listen(&listener.fd, self.backlog))
                        .err();
                }
                // Another listener may have left before this one was back.
                if repaired.error.is_none() && self.gone().is_empty() {
                    self.order.push(*one);
                } else {
                    self.rebuild(rotation, &mut repaired);
                }
            }
            several => {
                repaired.mended.extend(several);
                self.rebuild(rotation, &mut repaired);
            }
        }
        if let Err(errno) = self.steer(rotation) {
            repaired.error = Some(errno);
        }
        repaired
    }

    /// Members that left the state LISTEN.
    fn gone(&self) -> Vec<usize> {
        let left =
            |listener: &Listener| listener::queue(&listener.fd).is_ok_and(|queue| !queue.listening);
        let mut gone: Vec<usize> = self.order.clone();
        gone.retain(|number| self.listeners.get(*number).is_some_and(left));
        gone.sort_unstable();
        gone
    }

    fn rebuild(&mut self, rotation: &Rotation, repaired: &mut Repaired) {
        repaired.rebuilt = true;
        // A listener that left may already be missing in the order.
        self.order.extend(&repaired.mended);
        self.order.sort_unstable();
        self.order.dedup();
        repaired.error = self.listen_anew(rotation).err();
        if repaired.error.is_none() {
            return;
        }
        // A listener that cannot return is replaced by a new one for the next worker of its slot.
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            if !self.order.contains(&number)
                || listener::queue(&listener.fd).is_ok_and(|queue| queue.listening)
            {
                continue;
            }
            if let Ok(anew) = Listener::bound(self.key, self.steering.is_some()) {
                let ever = listener.ever;
                *listener = Listener { ever, ..anew };
            }
        }
        repaired.error = self.listen_anew(rotation).err();
    }

    /// Takes every listener out of the group and makes all members listen again, in the order of their numbers.
    fn listen_anew(&mut self, rotation: &Rotation) -> nix::Result<()> {
        for listener in &self.listeners {
            // If this fails, `listen` below fails as well and reports it.
            let _ = listener::stop_listening(&listener.fd);
        }
        self.listen_in(self.order.clone(), rotation)
    }
}
