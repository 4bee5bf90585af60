//! Repairs a group whose listeners a worker has shut down.

use crate::model::{ListenerId, Tick};
use crate::policy::{Rotation, Shuts};
use crate::sys::listener;

use super::group::{Group, Listener};

/// Result of [`Group::repair`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Repaired {
    /// Numbers of the listeners that had left the group.
    pub mended: Vec<usize>,
    /// All listeners were made to listen again.
    pub rebuilt: bool,
    /// Numbers of the listeners that had left too often. They stay out until their workers have ended.
    pub barred: Vec<usize>,
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
    ///
    /// A listener that leaves again and again is barred: it does not come back for its present worker.
    pub fn repair(&mut self, rotation: &Rotation, now: Tick) -> Repaired {
        let mut repaired = Repaired::default();
        let gone = self.gone();
        self.shuts |= !gone.is_empty();
        // Only one worker has a listener of a group; a common socket cannot be taken away from one.
        if self.steering.is_some() {
            repaired.barred.extend(&gone);
            let listeners = &mut self.listeners;
            repaired.barred.retain(|number| {
                let one = listeners.get_mut(*number);
                one.is_some_and(|one| !one.shut.may_repair(now))
            });
        }
        // If others came or went meanwhile, it is not known who moved to the index of the one that left.
        let moved = !gone.is_empty() && self.strangers_changed();
        self.bar(&repaired.barred);
        match gone.as_slice() {
            [] => return repaired,
            [one] if repaired.barred.contains(one) => {
                self.program = None;
                // Another listener may have left meanwhile.
                if moved || !self.gone().is_empty() {
                    self.rebuild(rotation, &mut repaired);
                }
            }
            [one] if self.steering.is_some() => {
                repaired.mended.push(*one);
                self.order.leave(*one);
                self.program = None;
                if let Some(listener) = self.listeners.get(*one).filter(|_| !moved) {
                    repaired.error = listener::stop_listening(&listener.fd)
                        .and_then(|()| self.enter(vec![*one]))
                        .err();
                }
                // Another listener may have left before this one was back.
                if moved || repaired.error.is_some() || !self.gone().is_empty() {
                    self.rebuild(rotation, &mut repaired);
                }
            }
            several => {
                let barred = |number: &&usize| repaired.barred.contains(number);
                let back = several.iter().filter(|number| !barred(number));
                repaired.mended.extend(back);
                self.rebuild(rotation, &mut repaired);
            }
        }
        if let Err(errno) = self.steer(rotation) {
            repaired.error = Some(errno);
        }
        repaired
    }

    /// Takes listeners out of the order, as the kernel has taken them out of the group.
    fn bar(&mut self, numbers: &[usize]) {
        for number in numbers {
            self.order.leave(*number);
            if let Some(listener) = self.listeners.get_mut(*number) {
                listener.barred = true;
            }
        }
    }

    /// Whether this listener is kept out of the group.
    pub(super) fn is_barred(&self, number: usize) -> bool {
        let listener = self.listeners.get(number);
        listener.is_some_and(|listener| listener.barred)
    }

    /// The worker of this listener has ended, or the next one is about to get it. One that was barred is replaced: processes
    /// that the worker left may have it still.
    pub(super) fn admit(&mut self, listener: ListenerId) {
        let number = self.number(listener);
        let reuse = self.steering.is_some();
        if let Some(one) = self.listeners.get_mut(number) {
            one.shut = Shuts::default();
            // If this fails for lack of descriptors, it stays out and is tried again for the next worker.
            if one.barred
                && let Ok(anew) = Listener::bound(self.key, reuse)
            {
                let ever = one.ever;
                *one = Listener { ever, ..anew };
            }
        }
    }

    /// Members that left the state LISTEN.
    fn gone(&self) -> Vec<usize> {
        let left =
            |listener: &Listener| listener::queue(&listener.fd).is_ok_and(|queue| !queue.listening);
        let mut gone: Vec<usize> = self.order.numbers().collect();
        gone.retain(|number| self.listeners.get(*number).is_some_and(left));
        gone.sort_unstable();
        gone
    }

    fn rebuild(&mut self, rotation: &Rotation, repaired: &mut Repaired) {
        repaired.rebuilt = true;
        // A listener that left may already be missing in the order.
        let mut numbers: Vec<usize> = self.order.numbers().collect();
        numbers.extend(&repaired.mended);
        numbers.sort_unstable();
        numbers.dedup();
        repaired.error = self.listen_anew(&numbers, rotation).err();
        if repaired.error.is_none() {
            return;
        }
        // A listener that cannot return is replaced by a new one for the next worker of its slot.
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            if !numbers.contains(&number)
                || listener::queue(&listener.fd).is_ok_and(|queue| queue.listening)
            {
                continue;
            }
            if let Ok(anew) = Listener::bound(self.key, self.steering.is_some()) {
                let ever = listener.ever;
                *listener = Listener { ever, ..anew };
            }
        }
        repaired.error = self.listen_anew(&numbers, rotation).err();
    }

    /// Takes every listener out of the group and makes these listen again, in this order.
    fn listen_anew(&mut self, numbers: &[usize], rotation: &Rotation) -> nix::Result<()> {
        for listener in &self.listeners {
            // If this fails, `listen` below fails as well and reports it.
            let _ = listener::stop_listening(&listener.fd);
        }
        self.listen_in(numbers, rotation)
    }
}
