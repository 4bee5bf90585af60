//! What the hand-over thread records of shared paths: who has which listener, and paths that end.

use nix::errno::Errno;

use crate::model::Pid;
use crate::policy::unix::UnixKey;

use super::group::Due;
use super::names::{Names, Present};
use super::server::UnixServer;
use crate::ports::Asker;

impl UnixServer {
    /// Gives the listeners names of their own, unless they have them.
    pub(super) fn make_movable(&mut self, key: &UnixKey) -> nix::Result<()> {
        let first = {
            let state = self.ports.lock();
            let group = state.unix.group(key);
            let group = group.ok_or(Errno::ENOENT)?;
            if group.movable {
                return Ok(());
            }
            let first = group.members.first_key_value();
            first.map(|(listener, member)| (*listener, member.file))
        };
        let (listener, file) = first.ok_or(Errno::ENOENT)?;
        let names = self.names.get_mut(key).ok_or(Errno::ENOENT)?;
        names.make_movable(listener, file)?;
        let mut state = self.ports.lock();
        if let Some(group) = state.unix.by_key(key) {
            group.movable = true;
        }
        Ok(())
    }

    /// Records that the worker has its listener, unless it died meanwhile.
    pub(super) fn record(&mut self, key: &UnixKey, by: Asker) {
        let (worker, listener) = (by.worker, by.listener);
        let present = self.ports.is_present(listener, worker);
        let mut state = self.ports.lock();
        let joins = state.unix.in_use.bound(worker, key);
        let group = state.unix.by_key(key);
        let Some(group) = group else { return };
        let others = group.members.values().filter_map(|member| member.worker);
        group.known |= others.into_iter().any(|other| other != worker);
        // The first one has opened it, so there was nothing to connect to.
        group.joined |= joins && group.known;
        group.removal_wanted = None;
        group.due = Due::Nothing;
        if let Some(member) = group.members.get_mut(&listener) {
            member.worker = Some(worker);
            member.taken = present;
            member.was_live = false;
            member.removed = false;
        }
    }

    /// Forgets a path. Its file stays. Returns the workers that have bound it.
    pub(super) fn forget(&mut self, key: &UnixKey) -> Vec<Pid> {
        let gone = {
            let mut state = self.ports.lock();
            let groups = &mut state.unix.groups;
            let at = groups.iter().position(|group| group.key == *key);
            at.map(|at| groups.remove(at))
        };
        let Some((mut names, group)) = self.names.remove(key).zip(gone) else {
            return Vec::new();
        };
        names.clean(group.members.keys().copied());
        self.watched.remove(&group.serial);
        self.resting.retain(|serial| *serial != group.serial);
        group.workers().collect()
    }

    /// The worker begins to listen at a path that only it has. Whether the path is somewhere else by now: the program has
    /// given it another name, as haproxy does. Then it is not shared any more.
    pub fn is_renamed(&mut self, key: &UnixKey) -> bool {
        let file = {
            let state = self.ports.lock();
            let group = state.unix.group(key);
            let alone = group.filter(|group| !group.movable);
            alone.and_then(|group| Some(group.members.first_key_value()?.1.file))
        };
        let present = self.names.get(key).map(Names::present);
        let Some((file, Ok(present))) = file.zip(present) else {
            return false;
        };
        let renamed = !matches!(present, Present::Socket(found) if found.id == file);
        if renamed {
            self.forget(key);
        }
        renamed
    }
}
