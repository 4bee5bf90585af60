//! The reasons for each inotify watch. One directory may matter to several paths and for several reasons.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::sys::inotify::WatchId;

/// Index of a path of RPM_WATCH.
pub(super) type Root = usize;

/// Why something is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A directory on the way to the path.
    Through,
    /// An entry in this directory that is part of the path.
    Name(OsString),
    /// The file at the end of the path.
    File,
    /// The directory at the end of the path, or one below it.
    Tree(PathBuf),
}

/// One reason to watch something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) root: Root,
    pub(super) role: Role,
}

/// All watches and their reasons.
#[derive(Debug, Default)]
pub(super) struct Points {
    by_watch: HashMap<WatchId, Vec<Point>>,
    /// The directories of trees. The directories below one follow it in the order.
    trees: BTreeMap<(Root, PathBuf), WatchId>,
}

impl Points {
    pub(super) fn len(&self) -> usize {
        self.by_watch.len()
    }

    pub(super) fn of(&self, watch: WatchId) -> Vec<Point> {
        self.by_watch.get(&watch).cloned().unwrap_or_default()
    }

    /// Adds a reason. Returns a watch that lost its last reason, because another directory took the place of a
    /// directory in a tree.
    pub(super) fn add(&mut self, watch: WatchId, point: Point) -> Option<WatchId> {
        let mut idle = None;
        if let Role::Tree(path) = &point.role {
            let before = self.trees.insert((point.root, path.clone()), watch);
            if let Some(before) = before.filter(|before| *before != watch) {
                idle = self.remove(before, &point);
            }
        }
        let points = self.by_watch.entry(watch).or_default();
        if !points.contains(&point) {
            points.push(point);
        }
        idle
    }

    /// Removes a watch that the kernel has ended.
    pub(super) fn ended(&mut self, watch: WatchId) {
        for point in self.by_watch.remove(&watch).unwrap_or_default() {
            if let Role::Tree(path) = point.role {
                let key = (point.root, path);
                if self.trees.get(&key) == Some(&watch) {
                    self.trees.remove(&key);
                }
            }
        }
    }

    /// Removes a directory of a tree and everything below. Returns the watches that have no reason left.
    pub(super) fn drop_below(&mut self, root: Root, path: &Path) -> Vec<WatchId> {
        let below: Vec<(PathBuf, WatchId)> = self
            .trees
            .range((root, path.to_owned())..)
            .take_while(|((other, dir), _)| *other == root && dir.starts_with(path))
            .map(|((_, dir), watch)| (dir.clone(), *watch))
            .collect();
        let mut idle = Vec::new();
        for (dir, watch) in below {
            let key = (root, dir);
            self.trees.remove(&key);
            let role = Role::Tree(key.1);
            idle.extend(self.remove(watch, &Point { root, role }));
        }
        idle
    }

    /// Removes every reason of a path. The watches stay until [`Points::idle`] returns them.
    pub(super) fn clear(&mut self, root: Root) {
        for points in self.by_watch.values_mut() {
            points.retain(|point| point.root != root);
        }
        self.trees.retain(|(other, _), _| *other != root);
    }

    /// Removes and returns the watches that have no reason left.
    pub(super) fn idle(&mut self) -> Vec<WatchId> {
        let idle = self.by_watch.extract_if(|_, points| points.is_empty());
        idle.map(|(watch, _)| watch).collect()
    }

    fn remove(&mut self, watch: WatchId, point: &Point) -> Option<WatchId> {
        let points = self.by_watch.get_mut(&watch)?;
        points.retain(|other| other != point);
        points.is_empty().then(|| {
            self.by_watch.remove(&watch);
            watch
        })
    }
}
