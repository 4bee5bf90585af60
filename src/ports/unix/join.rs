//! Answers the `bind` of a path that is shared already. Runs on the hand-over thread.

use nix::errno::Errno;

use crate::model::ListenerId;
use crate::policy::unix::{At, Join, JoinAnswer, Own, UnixKey, on_join};
use crate::sys::unix::{Kind, Maker, SocketFile, is_shut};

use super::names::{Made, Names, Present};
use super::server::{Asked, Left, UnixServer};

impl UnixServer {
    /// Ensures that the worker has a listener of a path that is shared already. False if the path is to be opened anew.
    pub(super) fn join(
        &mut self,
        key: &UnixKey,
        kind: Kind,
        own: Maker,
        asked: Asked,
    ) -> Result<bool, Left> {
        let because = |errno: Errno| Left::Because(key.clone(), errno.desc().to_owned());
        let names = self.names.get(key).ok_or(Left::Quietly)?;
        let present = names.present()?;
        let at = match present {
            Present::Missing => At::Nothing,
            Present::Socket(file) if self.by_file(key, file.id).is_some() => At::Ours,
            Present::Other | Present::Socket(_) => At::Foreign,
        };
        let (join, unused) = {
            let state = self.ports.lock();
            let group = state.unix.group(key);
            let group = group.ok_or(Left::Quietly)?;
            let member = group.members.get(&asked.listener);
            let has_bound = member.is_some_and(|member| {
                member.taken && member.worker == Some(asked.worker) && !member.removed
            });
            let join = Join {
                at,
                same_kind: group.kind == kind,
                movable: group.movable,
                own: match member {
                    None => Own::Missing,
                    Some(member) if is_shut(&member.fd) => Own::Shut,
                    Some(_) => Own::Works,
                },
                // A signal may have restarted the call after it was answered.
                again: has_bound && !group.owns(asked.bound),
            };
            (join, group.is_unused())
        };
        match on_join(join) {
            JoinAnswer::Leave => Err(Left::Quietly),
            JoinAnswer::Anew => Ok(false),
            JoinAnswer::Same => {
                if unused && let Present::Socket(file) = present {
                    // It was opened before the first worker, whose umask may be another.
                    let permissions = names.suit(&file, None, own, asked.program);
                    let permissions = permissions.map_err(because)?;
                    if let Some(group) = self.ports.lock().unix.by_key(key)
                        && let Some(member) = group.members.get_mut(&asked.listener)
                    {
                        member.made = permissions;
                    }
                }
                Ok(true)
            }
            JoinAnswer::Beside => {
                self.add_beside(key, kind, own, (asked, present))
                    .map_err(because)?;
                Ok(true)
            }
        }
    }

    /// Makes a listener beside the others. If the worker's number has one already, it is replaced.
    fn add_beside(
        &mut self,
        key: &UnixKey,
        kind: Kind,
        own: Maker,
        (asked, present): (Asked, Present),
    ) -> nix::Result<()> {
        self.make_movable(key)?;
        let listener = asked.listener;
        let names = self.names.get_mut(key).ok_or(Errno::ENOENT)?;
        let made = bind_beside(names, kind, listener)?;
        let permissions = names.suit(&made.file, Some(listener), own, asked.program)?;
        let (file, member) = (made.file.id, self.member(made, permissions)?);
        let mut state = self.ports.lock();
        let group = state.unix.by_key(key).ok_or(Errno::ENOENT)?;
        let serial = group.serial;
        let replaced = group.members.insert(listener, member);
        drop(state);
        if let Some(old) = replaced {
            if self.watched.get(&serial) == Some(&listener) {
                self.watched.remove(&serial);
            }
            // The path may still point at the one that was replaced.
            let points_there = |it: &SocketFile| it.id == old.file;
            if let Present::Socket(it) = present
                && points_there(&it)
            {
                let names = self.names.get(key).ok_or(Errno::ENOENT)?;
                names.point(listener, file, Some((it.access, old.made)))?;
                self.set_target(key, listener);
            }
        }
        Ok(())
    }
}

/// As [`Names::bind_beside`]; the directory of the names is made again if somebody removed it.
fn bind_beside(names: &mut Names, kind: Kind, listener: ListenerId) -> nix::Result<Made> {
    match names.bind_beside(kind, listener) {
        Err(Errno::ENOENT) => {
            names.renew()?;
            names.bind_beside(kind, listener)
        }
        other => other,
    }
}
