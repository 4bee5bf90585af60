//! Programs that connect to their path before they bind it, and give up if somebody answers: php-fpm. A listener that the
//! runtime keeps for the next worker answers too.

use crate::policy::unix::UnixKey;
use crate::sys::proc::Proc;
use crate::sys::procunix;

use super::group::{Due, UnixGroup};
use super::server::{Events, UnixServer};
use crate::ports::PortEvent;

impl UnixServer {
    /// Looks at the paths that a worker did not bind before it ended.
    pub(super) fn look_at_missed(&mut self, events: Events<'_>) {
        let missed: Vec<(UnixKey, bool)> = {
            let mut state = self.ports.lock();
            let groups = state.unix.groups.iter_mut();
            let missed = groups.filter_map(|group| {
                let missed = group.due == Due::Look;
                if missed {
                    group.due = Due::Nothing;
                }
                let given_up = !group.is_held() && was_tried(group);
                (missed && (given_up || group.is_held())).then(|| (group.key.clone(), given_up))
            });
            missed.collect()
        };
        for (key, given_up) in missed {
            if given_up {
                self.ports.lock().unix.left_alone.push(key.clone());
                self.forget(&key);
            }
            events(PortEvent::Missed { key, given_up });
        }
    }
}

/// Whether a client connected and did not wait for an answer.
fn was_tried(group: &UnixGroup) -> bool {
    let mut tried = false;
    let look = |row: procunix::Row<'_>| {
        let mut members = group.members.values();
        tried |= row.given_up && members.any(|member| member.address == row.address);
    };
    // If it cannot be read, nothing is changed.
    procunix::dump(&Proc::new("/proc"), look).is_ok() && tried
}
