//! Programs that connect to their path before they bind it, and end if somebody answers: php-fpm. Somebody always does: the
//! predecessor, or the queue that the runtime keeps for the next worker.
//!
//! The first worker that connects is let through, because it may be a client of the others. If it ends before it has bound
//! the path, those after it are told that nobody answers, until they have bound it themselves.

use crate::model::{ListenerId, Pid};
use crate::policy::unix::UnixKey;

use super::server::{Caller, Events, UnixServer};
use super::view::UnixSockets;
use crate::ports::PortEvent;
use crate::ports::registry::SharedPorts;

/// Most paths that are remembered.
const MOST: usize = 64;

/// A worker that connected to a path which it has not bound.
#[derive(Debug)]
struct Finder {
    listener: ListenerId,
    worker: Pid,
    key: UnixKey,
}

/// A path at which workers find nobody.
#[derive(Debug)]
struct Hidden {
    key: UnixKey,
    /// It was reported.
    told: bool,
}

/// What is known of the workers that connect to paths of their own service.
#[derive(Debug, Default)]
pub(super) struct InUse {
    /// Workers whose connections are seen: they started while a path was shared.
    seen: Vec<Pid>,
    finders: Vec<Finder>,
    hidden: Vec<Hidden>,
}

/// The answer to a `connect`.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// It is not the runtime's business.
    Nothing,
    /// For the first time.
    InUse,
    /// The worker is told that nobody is there. `tell`: so are the users.
    Nobody { tell: bool },
}

impl InUse {
    /// A worker connects to a shared path that it has not bound.
    fn connects(&mut self, listener: ListenerId, worker: Pid, key: &UnixKey) -> Found {
        if let Some(hidden) = self.hidden.iter_mut().find(|one| one.key == *key) {
            let tell = !std::mem::replace(&mut hidden.told, true);
            return Found::Nobody { tell };
        }
        let knows = |one: &Finder| one.worker == worker && one.key == *key;
        if self.finders.len() + self.hidden.len() >= MOST || self.finders.iter().any(knows) {
            return Found::Nothing;
        }
        self.finders.push(Finder {
            listener,
            worker,
            key: key.clone(),
        });
        Found::InUse
    }

    /// A worker has started whose connections are seen.
    pub(super) fn sees(&mut self, worker: Pid) {
        self.seen.push(worker);
    }

    /// Workers that serve are clients of the others if they connect to them.
    pub(super) fn serve(&mut self, live: &[ListenerId]) {
        self.finders.retain(|one| !live.contains(&one.listener));
    }

    /// The worker has bound the path. True if it does not mind that others have the path.
    pub(super) fn bound(&mut self, worker: Pid, key: &UnixKey) -> bool {
        self.finders
            .retain(|one| one.worker != worker || one.key != *key);
        self.seen.contains(&worker)
    }

    /// The worker has ended.
    pub(super) fn ended(&mut self, worker: Pid) {
        self.seen.retain(|one| *one != worker);
        let (gone, rest) = std::mem::take(&mut self.finders)
            .into_iter()
            .partition(|one| one.worker == worker);
        self.finders = rest;
        for Finder { key, .. } in gone {
            if self.hidden.iter().all(|one| one.key != key) {
                self.hidden.push(Hidden { key, told: false });
            }
        }
    }
}

impl UnixSockets {
    /// Whether the next worker's connections to paths must be seen: it is not known of every path whether the program minds
    /// that others have it, or it is known that it does.
    fn sees_connections(&self) -> bool {
        self.groups.iter().any(|group| !group.joined) || !self.in_use.hidden.is_empty()
    }
}

impl SharedPorts {
    /// Whether the next worker needs the filter that traps `connect` (see [`crate::sys::intercept::Extra`]).
    pub fn sees_connections(&self) -> bool {
        self.lock().unix.sees_connections()
    }

    /// A worker has started with that filter.
    pub fn sees_connections_of(&self, worker: Pid) {
        self.lock().unix.in_use.sees(worker);
    }
}

impl UnixServer {
    /// Answers the `connect` of a worker: true if nobody is there, false if the kernel shall execute it.
    pub fn finds_nobody(&mut self, caller: Caller<'_>, events: Events<'_>) -> bool {
        let Ok(Some((key, ..))) = self.locate(caller) else {
            return false;
        };
        let trapped = caller.trapped;
        // What was read belongs to this caller only if its call still waits.
        if !trapped.notifier.is_valid(caller.notification) {
            return false;
        }
        let (worker, slot) = (trapped.worker, trapped.slot);
        let mut state = self.ports.lock();
        let group = state.unix.group(&key);
        if group.is_none_or(|group| group.workers().any(|one| one == worker)) {
            return false;
        }
        let found = state.unix.in_use.connects(trapped.listener, worker, &key);
        let shown = state.unix.shown(&key);
        drop(state);
        match found {
            Found::Nothing => false,
            Found::InUse => {
                events(PortEvent::FoundInUse { worker });
                false
            }
            Found::Nobody { tell } => {
                if tell {
                    let key = shown;
                    events(PortEvent::FindsNobody { worker, slot, key });
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> UnixKey {
        UnixKey::Path(b"/run/app.sock".to_vec())
    }

    fn pid(number: i32) -> Pid {
        Pid::new(number).unwrap()
    }

    #[test]
    fn after_a_worker_that_connected_and_ended_nobody_is_found_and_that_is_told_once() {
        let mut in_use = InUse::default();
        let listener = ListenerId(1);
        assert_eq!(in_use.connects(listener, pid(10), &key()), Found::InUse);
        assert_eq!(in_use.connects(listener, pid(10), &key()), Found::Nothing);
        in_use.ended(pid(10));
        for tell in [true, false] {
            let found = in_use.connects(listener, pid(11), &key());
            assert_eq!(found, Found::Nobody { tell });
        }
    }

    #[test]
    fn a_worker_that_binds_the_path_or_serves_is_none_that_gave_way() {
        let mut in_use = InUse::default();
        let _ = in_use.connects(ListenerId(1), pid(10), &key());
        in_use.sees(pid(10));
        assert!(in_use.bound(pid(10), &key()));
        in_use.ended(pid(10));
        let _ = in_use.connects(ListenerId(2), pid(11), &key());
        in_use.serve(&[ListenerId(2)]);
        in_use.ended(pid(11));
        assert_eq!(
            in_use.connects(ListenerId(1), pid(12), &key()),
            Found::InUse
        );
    }

    /// It may have connected without being seen.
    #[test]
    fn one_that_started_before_the_path_was_there_proves_nothing() {
        assert!(!InUse::default().bound(pid(10), &key()));
    }

    #[test]
    fn another_path_is_not_hidden() {
        let mut in_use = InUse::default();
        let _ = in_use.connects(ListenerId(1), pid(10), &key());
        in_use.ended(pid(10));
        let other = UnixKey::Path(b"/run/other.sock".to_vec());
        assert_eq!(
            in_use.connects(ListenerId(1), pid(11), &other),
            Found::InUse
        );
    }
}
