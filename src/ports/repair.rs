//! Mending a group whose listeners a worker has shut down.

use crate::policy::Rotation;
use crate::sys::listener;

use super::group::{Group, Listener};

/// What [`Group::repair`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Repaired {
    /// Listeners that had left, by number.
    pub mended: Vec<usize>,
    /// All listeners listen anew.
    pub rebuilt: bool,
    /// What could not be done.
    pub error: Option<nix::errno::Errno>,
}

impl Group {
    /// Makes the listeners that left the state LISTEN listen again: a worker called `shutdown` on them, and their
    /// queues are reset already.
    ///
    /// One that left went out of the group, whose last member moved into its place, and comes back at the end. Of
    /// several nobody can tell in which order they left, so all places are unknown: then all listeners are taken out
    /// and listen anew, which resets every queue of this port, and wakes who blocks in `accept` with EINVAL. That needs
    /// two workers that shut their listener down within the same moment.
    pub fn repair(&mut self, rotation: &Rotation) -> Repaired {
        let mut repaired = Repaired::default();
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
                // Another one may have left before this one was back.
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
        // One that left is out of the order already.
        self.order.extend(&repaired.mended);
        self.order.sort_unstable();
        self.order.dedup();
        repaired.error = self.listen_anew(rotation).err();
        if repaired.error.is_none() {
            return;
        }
        // A listener that cannot come back is replaced by a new one, which its slot's next worker gets.
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

    /// Takes every listener out of the group and lets all members listen again, in the order of their numbers.
    fn listen_anew(&mut self, rotation: &Rotation) -> nix::Result<()> {
        for listener in &self.listeners {
            // What fails here fails to listen below as well.
            let _ = listener::stop_listening(&listener.fd);
        }
        self.listen_in(self.order.clone(), rotation)
    }
}
