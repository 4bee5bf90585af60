//! Shared unix sockets: whose path a `bind` means, what the removal of a path means, and at whose listener the path
//! points.
//!
//! The kernel has no group of listeners for a path. So each worker has a listener of its own, and the path is a name
//! that is moved from one to the next.

use std::fmt;

use crate::model::ListenerId;

use super::handover::PortKey;

/// The address of a shared unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnixKey {
    /// An absolute path without symbolic links, as bytes.
    Path(Vec<u8>),
    /// An abstract name.
    Abstract(Vec<u8>),
}

impl fmt::Display for UnixKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "unix:{}", String::from_utf8_lossy(path)),
            Self::Abstract(name) => {
                write!(f, "unix:@{}", String::from_utf8_lossy(name).escape_debug())
            }
        }
    }
}

impl UnixKey {
    /// Its name in a [`super::PortTable`].
    pub fn port_name(&self) -> String {
        self.to_string()
    }
}

impl Endpoint {
    /// Its name in a [`super::PortTable`].
    pub fn port_name(&self) -> String {
        match self {
            Self::Port(key) => key.port_name(),
            Self::Unix(key) => key.port_name(),
        }
    }
}

/// Where a worker listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A port.
    Port(PortKey),
    /// A unix socket.
    Unix(UnixKey),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(key) => key.fmt(f),
            Self::Unix(key) => key.fmt(f),
        }
    }
}

impl From<PortKey> for Endpoint {
    fn from(key: PortKey) -> Self {
        Self::Port(key)
    }
}

impl From<UnixKey> for Endpoint {
    fn from(key: UnixKey) -> Self {
        Self::Unix(key)
    }
}

/// What is known when a worker removes the path of a listener that it or another worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The path is in RPM_PORTS, or a second worker has bound it or is about to.
    pub shared: bool,
    /// The caller is the worker that has the listener.
    pub own: bool,
    /// That worker was ready and gets no new connections any more: a successor takes its place.
    pub leaving: bool,
}

/// How to answer the removal of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalAnswer {
    /// The kernel removes it, and the runtime gives its copy of the listener up: the program has closed a socket that no
    /// other worker uses.
    GiveUp,
    /// It is answered as done, and the path stays: other workers serve it, or a successor will.
    Keep,
}

/// Decides how to answer the removal of a path.
pub fn on_removal(removal: Removal) -> RemovalAnswer {
    if removal.own && !removal.shared && !removal.leaving {
        RemovalAnswer::GiveUp
    } else {
        RemovalAnswer::Keep
    }
}

/// What a shared path is when a worker binds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The file of one of its listeners.
    Ours,
    /// Something else.
    Foreign,
    /// Nothing: somebody removed it, or gave it another name.
    Nothing,
}

/// The listener that a worker may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// There is none yet.
    Missing,
    /// It accepts.
    Works,
    /// A worker has called `shutdown` on it.
    Shut,
}

/// What is known when a worker binds a path that is shared already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// What the path is now.
    pub at: At,
    /// It was opened for sockets of the same kind.
    pub same_kind: bool,
    /// Its listeners have names of their own, so the path can be put back.
    pub movable: bool,
    /// The listener with the worker's number.
    pub own: Own,
    /// This worker has bound the path before, and has not removed it since.
    pub again: bool,
}

/// How to answer a `bind` of a path that is shared already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinAnswer {
    /// The kernel executes it, and says that the address is in use.
    Leave,
    /// The worker gets the listener that there is.
    Same,
    /// The worker gets a listener of its own beside the others, in place of one that accepts no more.
    Beside,
    /// The path is opened as if it had never been shared: nobody can reach what there was.
    Anew,
}

/// Decides how to answer a `bind` of a path that is shared already.
pub fn on_join(join: Join) -> JoinAnswer {
    match join.at {
        At::Foreign => JoinAnswer::Leave,
        _ if !join.same_kind => JoinAnswer::Leave,
        At::Nothing if !join.movable => JoinAnswer::Anew,
        At::Ours if join.again => JoinAnswer::Leave,
        At::Ours | At::Nothing if join.own == Own::Works => JoinAnswer::Same,
        At::Ours | At::Nothing => JoinAnswer::Beside,
    }
}

/// The listeners at which a path may point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The listener.
    pub listener: ListenerId,
    /// Connections wait in its queue.
    pub waiting: bool,
}

/// The listener for the next connections, after those of `present`: the next one in turn whose queue is empty, or the
/// next one if connections wait everywhere. `candidates` are sorted. `None` if there is none.
pub fn next_target(present: Option<ListenerId>, candidates: &[Candidate]) -> Option<ListenerId> {
    let first = candidates
        .iter()
        .position(|one| present.is_some_and(|present| one.listener > present))
        .unwrap_or(0);
    let (before, after) = candidates.split_at_checked(first)?;
    let mut turn = after.iter().chain(before);
    let next = turn.clone().next();
    turn.find(|one| !one.waiting)
        .or(next)
        .map(|one| one.listener)
}

/// The permission bits of a listener's file when the path begins to point at it. A program changes them at the path,
/// and so at the file at which the path points at that moment. `present`: of that file, and as it was made.
pub fn carried_mode(present: u32, made: u32, target: u32) -> u32 {
    if present == made { target } else { present }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_only_one_worker_uses_is_its_own_business() {
        let own = Removal {
            shared: false,
            own: true,
            leaving: false,
        };
        assert_eq!(on_removal(own), RemovalAnswer::GiveUp);
        let leaving = Removal {
            leaving: true,
            ..own
        };
        assert_eq!(on_removal(leaving), RemovalAnswer::Keep);
        let successor = Removal { own: false, ..own };
        assert_eq!(on_removal(successor), RemovalAnswer::Keep);
        let shared = Removal {
            shared: true,
            ..own
        };
        assert_eq!(on_removal(shared), RemovalAnswer::Keep);
    }

    #[test]
    fn a_bind_is_answered_by_what_is_at_the_path() {
        let first = Join {
            at: At::Ours,
            same_kind: true,
            movable: true,
            own: Own::Works,
            again: false,
        };
        let answers = [
            (first, JoinAnswer::Same),
            (
                Join {
                    own: Own::Missing,
                    ..first
                },
                JoinAnswer::Beside,
            ),
            // As the kernel: the file is in the way.
            (
                Join {
                    again: true,
                    ..first
                },
                JoinAnswer::Leave,
            ),
            (
                Join {
                    at: At::Foreign,
                    ..first
                },
                JoinAnswer::Leave,
            ),
            (
                Join {
                    same_kind: false,
                    ..first
                },
                JoinAnswer::Leave,
            ),
            // Its last worker shut it down.
            (
                Join {
                    own: Own::Shut,
                    ..first
                },
                JoinAnswer::Beside,
            ),
            // Another process removed the path: it is put back, if there is something to make it from.
            (
                Join {
                    at: At::Nothing,
                    ..first
                },
                JoinAnswer::Same,
            ),
            (
                Join {
                    at: At::Nothing,
                    again: true,
                    ..first
                },
                JoinAnswer::Same,
            ),
            (
                Join {
                    at: At::Nothing,
                    movable: false,
                    ..first
                },
                JoinAnswer::Anew,
            ),
        ];
        for (join, answer) in answers {
            assert_eq!(on_join(join), answer, "{join:?}");
        }
    }

    fn turn(present: Option<u16>, candidates: &[(u16, bool)]) -> Option<u16> {
        let candidates: Vec<Candidate> = candidates
            .iter()
            .map(|(number, waiting)| Candidate {
                listener: ListenerId(*number),
                waiting: *waiting,
            })
            .collect();
        next_target(present.map(ListenerId), &candidates).map(|listener| listener.0)
    }

    #[test]
    fn the_path_goes_from_one_to_the_next() {
        let idle = [(0, false), (2, false), (3, false)];
        assert_eq!(turn(None, &idle), Some(0));
        assert_eq!(turn(Some(0), &idle), Some(2));
        assert_eq!(turn(Some(1), &idle), Some(2));
        assert_eq!(turn(Some(3), &idle), Some(0));
        assert_eq!(turn(Some(3), &[]), None);
        assert_eq!(turn(Some(3), &[(3, true)]), Some(3));
    }

    #[test]
    fn a_worker_whose_queue_is_empty_comes_first() {
        assert_eq!(turn(Some(0), &[(0, false), (1, true), (2, false)]), Some(2));
        assert_eq!(turn(Some(1), &[(0, false), (1, true), (2, true)]), Some(0));
        assert_eq!(turn(Some(1), &[(0, true), (1, true), (2, true)]), Some(2));
    }

    #[test]
    fn permissions_that_the_program_set_stay() {
        // As made: the next listener keeps what its own worker's umask gave it.
        assert_eq!(carried_mode(0o755, 0o755, 0o777), 0o777);
        // Changed by the program: carried over.
        assert_eq!(carried_mode(0o666, 0o755, 0o755), 0o666);
    }

    #[test]
    fn addresses_are_shown_as_users_write_them() {
        let path = UnixKey::Path(b"/run/app.sock".to_vec());
        assert_eq!(path.to_string(), "unix:/run/app.sock");
        let name = UnixKey::Abstract(b"app".to_vec());
        assert_eq!(name.to_string(), "unix:@app");
    }
}
