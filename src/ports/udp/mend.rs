//! UDP sockets that a process has spoilt for others (see [`crate::ports::spoilt`]).

use crate::model::ListenerId;
use crate::ports::PortEvent;
use crate::ports::spoilt::{Mended, Moment, Undone};
use crate::sys::guarded;

use super::DatagramGroup;
use super::group::Member;

impl DatagramGroup {
    /// Looks at one socket and mends it. A worker that lives keeps one that cannot be mended: the kernel's order of the
    /// sockets is known only if the old one is closed.
    fn mend(&mut self, number: usize, moment: Moment) -> Option<Mended> {
        let one = self.members.get(number)?;
        let undone = Undone::look(&one.fd, self.steered)?;
        let replaced = self.steered && moment == Moment::Next && undone.is_lost(moment);
        if replaced {
            self.renew(number);
        }
        undone.mended(number, replaced)
    }

    /// Mends this socket before the next worker gets it.
    pub(super) fn mend_for_next(&mut self, listener: ListenerId) -> Option<Mended> {
        let number = self.number(listener);
        let is_new = self.members.get(number).is_some_and(|one| !one.taken);
        is_new.then(|| self.mend(number, Moment::Next)).flatten()
    }

    /// Mends all sockets, and lets the steering program be attached anew.
    pub(in crate::ports) fn mend_all(&mut self, events: &mut Vec<PortEvent>) {
        for number in 0..self.members.len() {
            let mended = self.mend(number, Moment::Now);
            events.extend(mended.map(|mended| mended.told(self.key)));
        }
        self.program.certain = false;
    }

    /// A member through which the program can be attached: one that no process has locked, if there is one.
    pub(super) fn steerable(&self) -> Option<&Member> {
        let members = || self.order.iter().filter_map(|one| self.members.get(*one));
        let free = members().find(|one| !guarded::is_locked(&one.fd));
        free.or_else(|| members().next())
    }
}
