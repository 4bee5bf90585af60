//! Answers the workers' `unlink` of a shared path.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::policy::unix::{Removal, RemovalAnswer, on_removal};
use crate::sys::unix::{self, FileId, SocketFile};

use super::names::{Names, Present};
use super::server::{Caller, Events, UnixServer};
use crate::ports::PortEvent;
use crate::ports::trapped_call::removed_path;

/// A path that was shared until the stop began. The workers still have their listeners.
#[derive(Debug)]
pub(super) struct Ended {
    names: Names,
    files: Vec<FileId>,
    addresses: Vec<PathBuf>,
    /// A worker removed the path. The others have nothing left to remove.
    removed: bool,
}

/// The answer to the removal of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ports) enum Removed {
    /// The kernel executes it.
    ByKernel,
    /// It is answered as done.
    Done,
    /// The call fails.
    Failed(Errno),
}

impl UnixServer {
    /// Answers the removal of a file. `starts`: the worker may not have bound all its paths yet.
    pub fn remove(&mut self, caller: Caller<'_>, starts: bool, events: Events<'_>) -> Removed {
        if self.removes_shared(caller, events) {
            Removed::Done
        } else if starts && !self.ports.lock().over {
            self.clear_the_way(caller)
        } else {
            Removed::ByKernel
        }
    }

    /// The removal of a path that is shared: true if it is answered as done.
    fn removes_shared(&mut self, caller: Caller<'_>, events: Events<'_>) -> bool {
        if self.ports.lock().over {
            self.end();
        }
        if self.names.is_empty() && self.ended.is_empty() {
            return false;
        }
        let notification = caller.notification;
        let Ok((written, path)) = removed_path(notification) else {
            return false;
        };
        let task = notification.task;
        if let Some(answer) = self.after_the_end(&written, &path, task) {
            return answer && caller.trapped.notifier.is_valid(notification);
        }
        let Some(file) = self.file_at(&written, &path) else {
            return false;
        };
        // In another root directory the same words name another file.
        if unix::sees_the_same(notification.task) != Ok(true) {
            return false;
        }
        let found = {
            let state = self.ports.lock();
            let groups = state.unix.groups.iter();
            let mut found = groups.filter_map(|group| Some((group, group.by_file(file.id)?)));
            found.next().map(|(group, at)| {
                let member = group.members.get(&at);
                let worker = caller.trapped.worker;
                let removal = Removal {
                    shared: group.known,
                    own: member.is_some_and(|member| member.worker == Some(worker)),
                    leaving: member.is_some_and(|member| member.was_live)
                        && !state.rotation.live.contains(&at),
                };
                let has = group.members.contains_key(&caller.trapped.listener);
                (group.key.clone(), removal, has)
            })
        };
        let Some((key, removal, has)) = found else {
            return false;
        };
        // The runtime removes the path in its name later.
        let names = self.names.get(&key);
        let may = names.map(|names| self.may_remove(task, names.place(), &file));
        if may != Some(Ok(true)) {
            return false;
        }
        if !caller.trapped.notifier.is_valid(notification) {
            return false;
        }
        match on_removal(removal) {
            RemovalAnswer::GiveUp => {
                self.forget(&key);
                false
            }
            RemovalAnswer::Keep => {
                // The caller binds the path next. If it could not have a listener beside the others, it gets what it
                // would get without the runtime.
                if !has && let Err(errno) = self.make_movable(&key) {
                    events(PortEvent::NotOpened {
                        key: key.clone().into(),
                        reason: errno.desc().to_owned(),
                        holder: None,
                    });
                    self.forget(&key);
                    return false;
                }
                if let Some(group) = self.ports.lock().unix.by_key(&key) {
                    group.removal_wanted = Some(caller.trapped.worker);
                    if let Some(member) = group.members.get_mut(&caller.trapped.listener) {
                        member.removed = true;
                    }
                }
                true
            }
        }
    }

    /// The socket file that a worker wants to remove, if it is at a shared path or has the name of a listener. A file
    /// that has such a socket under one more name is not meant.
    fn file_at(&self, written: &Path, path: &Path) -> Option<SocketFile> {
        if self.names.values().any(|names| names.has(path)) {
            return unix::socket_at(path);
        }
        // An address that is too long for the path is one through a descriptor of the runtime, see [`Place::bind`].
        let state = self.ports.lock();
        let mut members = state.unix.groups.iter().flat_map(|it| it.members.values());
        let known = members.any(|member| member.address == written);
        drop(state);
        known.then(|| unix::socket_at(written)).flatten()
    }

    /// During the stop, the first worker that removes a path removes it. The others are told the same, since each
    /// believes to have made it. `None` if it is none of ours.
    fn after_the_end(&mut self, written: &Path, path: &Path, task: i32) -> Option<bool> {
        let number = self.ended.iter().position(|ended| {
            let at = || ended.names.has(path);
            ended.addresses.iter().any(|address| address == written) || at()
        })?;
        let ended = self.ended.get(number)?;
        let present = ended.names.present().ok();
        let ours = present.and_then(|present| match present {
            Present::Socket(file) => Some(file).filter(|file| ended.files.contains(&file.id)),
            Present::Other | Present::Missing => None,
        });
        if let Some(file) = &ours
            && (unix::sees_the_same(task) != Ok(true)
                || self.may_remove(task, ended.names.place(), file) != Ok(true)
                || ended.names.remove_path().is_err())
        {
            return Some(false);
        }
        let ended = self.ended.get_mut(number)?;
        ended.removed |= ours.is_some();
        Some(ended.removed)
    }

    /// The stop began: the runtime closes its listeners and removes their own names. Each listener stays open as long
    /// as its worker has it.
    pub(super) fn end(&mut self) {
        let groups = std::mem::take(&mut self.ports.lock().unix.groups);
        for group in groups {
            let Some(mut names) = self.names.remove(&group.key) else {
                continue;
            };
            names.clean(group.members.keys().copied());
            // A worker may get its stop signal and remove the path before the runtime has let go.
            let removed = group.removal_is_due() && names.remove_path().is_ok();
            self.ended.push(Ended {
                names,
                files: group.members.values().map(|member| member.file).collect(),
                addresses: group
                    .members
                    .values()
                    .map(|member| member.address.clone())
                    .collect(),
                removed,
            });
        }
    }
}
