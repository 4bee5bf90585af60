//! Answers the workers' `setsockopt` calls.

use crate::policy::handover::PortKey;
use crate::sys::intercept::Notification;
use crate::sys::sockopt::{OptionId, REUSE_PORT};

use super::{Answer, PortEvent, ServedWorker, Thread};
use crate::ports::guarded::{is_steering, on_option};
use crate::ports::told::option_of;
use crate::ports::trapped_call::descriptor;

impl<F: Fn(PortEvent)> Thread<F> {
    /// Remembers what a program sets on its own socket, and answers what it must not set on ours.
    pub(super) fn answer_option(
        &mut self,
        served: &mut ServedWorker,
        notification: &Notification,
    ) -> Answer {
        let id = option_of(notification);
        if let Some(answer) = on_option(id)
            && self.is_ours(served, notification, id)
        {
            return match answer {
                Ok(()) => Answer::Done,
                Err(errno) => Answer::Fail(errno),
            };
        }
        let notifier = &served.trapped.notifier;
        let is_valid = || notifier.is_valid(notification);
        let joined = served.told.remember(notification, is_valid);
        if let Some(key) = joined.and_then(|(inode, group)| self.ports.joins(inode, group)) {
            self.everybody(served, key);
        }
        Answer::Proceed
    }

    /// Whether the call is about a listener of ours; or about the group, through a socket of the program in it.
    fn is_ours(
        &self,
        served: &mut ServedWorker,
        notification: &Notification,
        id: OptionId,
    ) -> bool {
        let fd = descriptor(notification, notification.args[0]);
        let Some(inode) = fd.and_then(|fd| fd.inode().ok()) else {
            return false;
        };
        let key = self.ports.owns(inode);
        let ours = key.is_some() || is_steering(id) && served.told.was_given(inode);
        if !ours || !served.trapped.notifier.is_valid(notification) {
            return false;
        }
        if let Some(key) = key {
            self.tell_guarded(served, key, id);
        }
        true
    }

    /// Once for each worker.
    fn tell_guarded(&self, served: &mut ServedWorker, key: PortKey, option: OptionId) {
        // Many programs set it again.
        if served.once.guarded || option == REUSE_PORT {
            return;
        }
        served.once.guarded = true;
        let (worker, slot) = (served.trapped.worker, served.trapped.slot);
        let refused = matches!(on_option(option), Some(Err(_)));
        (self.events)(PortEvent::Guarded {
            worker,
            slot,
            key,
            option,
            refused,
        });
    }
}
