//! Which watch stands for what: one directory may matter to several paths, and in several ways.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::sys::inotify::Watch;

/// Which of the watched paths.
pub(super) type Root = usize;

/// Why something is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The path leads through this directory.
    Through,
    /// The path leads over this name in it.
    Name(OsString),
    /// It is the file at the end of the path.
    File,
    /// It is the directory at the end of the path, or one below.
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
    by_watch: HashMap<Watch, Vec<Point>>,
    /// The directories of trees: those below one stand behind it.
    trees: BTreeMap<(Root, PathBuf), Watch>,
}

impl Points {
    pub(super) fn len(&self) -> usize {
        self.by_watch.len()
    }

    pub(super) fn of(&self, watch: Watch) -> Vec<Point> {
        self.by_watch.get(&watch).cloned().unwrap_or_default()
    }

    /// Adds a reason. What is not watched any more for it, because another directory has taken the place of one of a
    /// tree, is given back.
    pub(super) fn add(&mut self, watch: Watch, point: Point) -> Option<Watch> {
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

    /// Forgets a watch that the kernel has ended.
    pub(super) fn ended(&mut self, watch: Watch) {
        for point in self.by_watch.remove(&watch).unwrap_or_default() {
            if let Role::Tree(path) = point.role {
                let key = (point.root, path);
                if self.trees.get(&key) == Some(&watch) {
                    self.trees.remove(&key);
                }
            }
        }
    }

    /// Forgets a directory of a tree and all below; the watches that have no reason left.
    pub(super) fn drop_below(&mut self, root: Root, path: &Path) -> Vec<Watch> {
        let below: Vec<(PathBuf, Watch)> = self
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

    /// Forgets every reason of a path; the watches stay until [`Points::idle`] names them.
    pub(super) fn clear(&mut self, root: Root) {
        for points in self.by_watch.values_mut() {
            points.retain(|point| point.root != root);
        }
        self.trees.retain(|(other, _), _| *other != root);
    }

    /// Takes out the watches that have no reason left.
    pub(super) fn idle(&mut self) -> Vec<Watch> {
        let idle = self.by_watch.extract_if(|_, points| points.is_empty());
        idle.map(|(watch, _)| watch).collect()
    }

    fn remove(&mut self, watch: Watch, point: &Point) -> Option<Watch> {
        let points = self.by_watch.get_mut(&watch)?;
        points.retain(|other| other != point);
        points.is_empty().then(|| {
            self.by_watch.remove(&watch);
            watch
        })
    }
}
