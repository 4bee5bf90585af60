//! One shared unix socket: its listeners, and the one at which its path points.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::model::{ListenerId, Pid};
use crate::policy::Rotation;
use crate::policy::unix::{Candidate, UnixKey, next_target};
use crate::sys::unix::{FileId, Kind, waits};

/// A listener of one slot.
#[derive(Debug)]
pub(in crate::ports) struct Member {
    pub fd: OwnedFd,
    /// The inode of the socket.
    pub inode: u64,
    /// Its file. The file's name changes, and the path is one of its names while it points here.
    pub file: FileId,
    /// Permission bits of the file when it was made.
    pub made: u32,
    /// The address that the socket itself reports (getsockname(2)).
    pub address: PathBuf,
    /// The worker that has it or had it last.
    pub worker: Option<Pid>,
    /// A worker has it now.
    pub taken: bool,
    /// Its worker was ready.
    pub was_live: bool,
    /// Its worker has removed the path since it bound it; the path was kept.
    pub removed: bool,
}

/// What is to be done with a shared unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ports) enum Due {
    Nothing,
    /// No worker has it any more: close it.
    Close,
}

/// A shared unix socket.
#[derive(Debug)]
pub(in crate::ports) struct UnixGroup {
    pub key: UnixKey,
    pub kind: Kind,
    pub members: BTreeMap<ListenerId, Member>,
    /// The listener at which the path points.
    pub target: Option<ListenerId>,
    /// The listeners have names of their own, so the path can be moved. Before that there is one listener, and the path
    /// is its only name.
    pub movable: bool,
    /// It is no business of one worker alone: a second worker has bound it, or RPM_PORTS lists it.
    pub known: bool,
    /// A worker has bound it that had started while others had it, and that would have been seen to connect.
    pub joined: bool,
    /// The worker that wanted to remove the path last; it was kept.
    pub removal_wanted: Option<Pid>,
    /// Workers that bound this path before it was opened anew.
    pub earlier: Vec<Pid>,
    /// What the hand-over thread has to do with it.
    pub due: Due,
    /// Distinguishes it from an earlier group of the same path.
    pub serial: u32,
}

impl UnixGroup {
    /// Whether the socket with this inode is one of its listeners.
    pub fn owns(&self, inode: u64) -> bool {
        self.members.values().any(|member| member.inode == inode)
    }

    /// The listener whose file this is.
    pub fn by_file(&self, file: FileId) -> Option<ListenerId> {
        let mut members = self.members.iter();
        members
            .find(|(_, member)| member.file == file)
            .map(|(listener, _)| *listener)
    }

    /// The workers that have bound the path.
    pub fn workers(&self) -> impl Iterator<Item = Pid> {
        let members = self.members.values().filter_map(|member| member.worker);
        members.chain(self.earlier.iter().copied())
    }

    /// Whether a worker has a listener of it now.
    pub fn is_held(&self) -> bool {
        self.members.values().any(|member| member.taken)
    }

    /// Whether no worker has had a listener of it.
    pub fn is_unused(&self) -> bool {
        self.members.values().all(|member| member.worker.is_none())
    }

    /// Whether a worker that has a listener of it now wanted to remove the path, or the last one that had.
    pub fn removal_is_due(&self) -> bool {
        let held = self.is_held();
        self.removal_wanted.is_some_and(|by| {
            let mut members = self.members.values();
            !held || members.any(|member| member.taken && member.worker == Some(by))
        })
    }

    /// The listeners that get new connections, sorted: those of live workers. If there is none, those of workers that
    /// are expected, and if there is none either, the one that gets them now. So clients wait in a queue that a worker
    /// will serve.
    pub fn targets(&self, rotation: &Rotation) -> Vec<ListenerId> {
        let pick = |from: &[ListenerId], keep: fn(&Member) -> bool| {
            let mut found: Vec<ListenerId> = from
                .iter()
                .filter(|listener| self.members.get(listener).is_some_and(keep))
                .copied()
                .collect();
            found.sort_unstable();
            found.dedup();
            found
        };
        let live = pick(&rotation.live, |member| member.taken);
        if !live.is_empty() {
            return live;
        }
        let expected = pick(&rotation.expected, |_| true);
        match self.target {
            Some(target) if expected.is_empty() || expected.contains(&target) => vec![target],
            Some(_) | None => expected.into_iter().take(1).collect(),
        }
    }

    /// A listener of a live worker, if there is one.
    pub fn serving(&self, rotation: &Rotation) -> Option<ListenerId> {
        let mut live = rotation.live.iter();
        let serves = |listener: &&ListenerId| self.members.get(listener).is_some_and(|it| it.taken);
        live.find(serves).copied()
    }

    /// The listener at which the path shall point now; `None` if it stays. `turn`: it is the turn of the next one.
    pub fn move_to(&self, rotation: &Rotation, turn: bool) -> Option<ListenerId> {
        let targets = self.targets(rotation);
        let stays = self.target.is_some_and(|target| targets.contains(&target));
        if stays && !turn {
            return None;
        }
        let candidates: Vec<Candidate> = targets
            .iter()
            .filter_map(|listener| {
                let member = self.members.get(listener)?;
                let waiting = targets.len() > 1 && waits(&member.fd);
                Some(Candidate {
                    listener: *listener,
                    waiting,
                })
            })
            .collect();
        next_target(self.target, &candidates).filter(|next| Some(*next) != self.target)
    }

    /// Whether new connections still reach this listener although others shall get them.
    pub fn still_reached(&self, listener: ListenerId, rotation: &Rotation) -> bool {
        self.target == Some(listener) && !self.targets(rotation).contains(&listener)
    }
}
