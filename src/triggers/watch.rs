//! RPM_WATCH: files and directories whose change causes a reload.
//!
//! - A directory is watched with everything below it, except ignored paths and what lies behind symbolic links.
//! - A file is watched itself, because it may be a mount of its own, and by its name, because editors and `mv` replace
//!   it.
//! - Every link and directory on the way is watched as well: mounted ConfigMaps and releases change by replacing a
//!   link. A path that does not exist yet is awaited.
//! - Reading is no change. Many changes in a row count as one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;

use super::Fired;
use super::points::{Point, Points, Role, Root};
use super::resolve::{End, Resolution, Step, resolve};
use crate::policy::Debounce;
use crate::sys::clock::Clock;
use crate::sys::epoll::{Interest, Poller};
use crate::sys::inotify::{Change, Concern, Event, Inotify};
use crate::sys::thread;

/// What to watch.
pub struct WatchedPaths {
    /// Files and directories. Relative ones are relative to the working directory.
    pub paths: Vec<PathBuf>,
    /// Whether to ignore changes at this path, relative to the watched one.
    pub ignore: Box<dyn Fn(&Path) -> bool + Send>,
    /// Time without changes before the event is sent.
    pub delay: Duration,
}

/// Most attempts at a path that leads elsewhere while it is being resolved; then the last result is used.
const LOOKS: u32 = 5;

/// Starts a thread that sends [`Fired::Watching`] once, [`Fired::Files`] after changes, and [`Fired::Unwatched`] if it
/// cannot watch everything. It is a separate thread because there may be many directories and slow disks. `tell` is
/// called on the thread and must not block.
pub fn watch(what: WatchedPaths, tell: impl Fn(Fired) + Send + 'static) -> io::Result<()> {
    let mut watcher = Watcher::new(what, tell)?;
    let mut poller = Poller::new()?;
    poller.add(&watcher.inotify, 0, Interest::Readable)?;
    thread::start("watch", thread::STACK, move || {
        watcher.start();
        let mut ready = Vec::new();
        let error = loop {
            let turned = poller
                .wait(&mut ready, watcher.patience())
                .and_then(|()| watcher.turn());
            if let Err(errno) = turned {
                break errno;
            }
        };
        let text = format!(
            "watching has stopped, later changes cause no reload: {}",
            error.desc()
        );
        (watcher.tell)(Fired::Unwatched { text });
    })?;
    Ok(())
}

/// The error if inotify is not available.
fn no_inotify(errno: Errno) -> io::Error {
    match errno {
        Errno::EMFILE => io::Error::other(
            "the limit of inotify instances (fs.inotify.max_user_instances) or of descriptors is reached",
        ),
        other => other.into(),
    }
}

struct Watcher<F> {
    /// Absolute paths.
    paths: Vec<PathBuf>,
    /// The directory at the end of each path; `None` if the end is no directory.
    bases: Vec<Option<PathBuf>>,
    ignore: Box<dyn Fn(&Path) -> bool + Send>,
    inotify: Inotify,
    points: Points,
    clock: Clock,
    debounce: Debounce,
    /// The first change since the last event.
    first: PathBuf,
    /// What could not be watched since the last report: the first path, its error, and the number of paths.
    trouble: Option<(PathBuf, Errno, usize)>,
    /// The errors that were already reported.
    told: BTreeSet<i32>,
    overflow_told: bool,
    tell: F,
}

impl<F: Fn(Fired)> Watcher<F> {
    fn new(what: WatchedPaths, tell: F) -> io::Result<Self> {
        let paths: Vec<PathBuf> = what
            .paths
            .iter()
            .map(std::path::absolute)
            .collect::<io::Result<_>>()?;
        Ok(Self {
            bases: vec![None; paths.len()],
            paths,
            ignore: what.ignore,
            inotify: Inotify::new().map_err(no_inotify)?,
            points: Points::default(),
            // A clock of its own: the loop's clock is corrected after a freeze, and earlier changes would then seem to
            // lie in the future.
            clock: Clock::start(),
            debounce: Debounce::new(what.delay),
            first: PathBuf::new(),
            trouble: None,
            told: BTreeSet::new(),
            overflow_told: false,
            tell,
        })
    }

    /// Watches all paths for the first time.
    fn start(&mut self) {
        let mut missing = Vec::new();
        for root in 0..self.paths.len() {
            let end = self.arm(root);
            let path = self.path(root).display().to_string();
            match end {
                End::Directory(_) | End::File(_) => {}
                End::Missing => missing.push(path),
                End::Hidden(kind) => missing.push(format!("{path} ({kind})")),
            }
        }
        if !missing.is_empty() {
            let text = format!("not found, waiting until it exists: {}", missing.join(", "));
            (self.tell)(Fired::Unwatched { text });
        }
        self.tell_trouble();
        (self.tell)(Fired::Watching {
            watches: self.points.len(),
        });
    }

    /// How long to wait for the next report; `None`: no limit.
    fn patience(&self) -> Option<Duration> {
        let due = self.debounce.due()?;
        Some(due.since(self.clock.now()))
    }

    /// Processes the reports, and sends the event if it is due.
    fn turn(&mut self) -> nix::Result<()> {
        let mut stale = BTreeSet::new();
        for event in self.inotify.read()? {
            self.take(event, &mut stale);
        }
        for root in stale {
            self.arm(root);
        }
        self.tell_trouble();
        if self.debounce.act(self.clock.now()) {
            let path = std::mem::take(&mut self.first);
            (self.tell)(Fired::Files { path });
        }
        Ok(())
    }

    /// Processes one report. Adds the paths that must be resolved again to `stale`.
    fn take(&mut self, event: Event, stale: &mut BTreeSet<Root>) {
        let (watch, name, directory, change) = match event {
            Event::Overflow => {
                if !self.overflow_told {
                    self.overflow_told = true;
                    let text = "the kernel lost reports of changes (limit fs.inotify.max_queued_events); \
                                treating every watched path as changed";
                    (self.tell)(Fired::Unwatched {
                        text: text.to_owned(),
                    });
                }
                stale.extend(0..self.paths.len());
                self.changed(self.path(0).to_owned());
                return;
            }
            Event::Change {
                watch,
                name,
                directory,
                change,
            } => (watch, name, directory, change),
        };
        for Point { root, role } in self.points.of(watch) {
            match (role, &name, change) {
                (Role::Tree(dir), Some(name), _) => {
                    let path = dir.join(name);
                    self.below(root, path, directory, change);
                }
                (Role::Tree(dir), None, Change::Gone) if !self.is_base(root, &dir) => {
                    // The directory was moved and may be back already, or a file system was unmounted from it.
                    self.below(root, dir.clone(), true, Change::Vanished);
                    if dir.is_dir() {
                        self.scan(root, dir);
                    }
                }
                (Role::Name(known), Some(name), Change::Appeared | Change::Vanished)
                    if known == *name =>
                {
                    stale.insert(root);
                    self.changed(self.path(root).to_owned());
                }
                (_, None, Change::Gone) => {
                    stale.insert(root);
                    self.changed(self.path(root).to_owned());
                }
                (Role::File, None, Change::Altered) => self.changed(self.path(root).to_owned()),
                _ => {}
            }
        }
        if change == Change::Ended {
            self.points.ended(watch);
        }
    }

    /// Handles a change below a watched directory.
    fn below(&mut self, root: Root, path: PathBuf, directory: bool, change: Change) {
        if self.is_ignored(root, &path) {
            return;
        }
        if directory && change == Change::Vanished {
            for watch in self.points.drop_below(root, &path) {
                self.inotify.unwatch(watch);
            }
        }
        if directory && change == Change::Appeared {
            self.scan(root, path.clone());
        }
        self.changed(path);
    }

    fn changed(&mut self, path: PathBuf) {
        if self.debounce.change(self.clock.now()) {
            self.first = path;
        }
    }

    /// Resolves a path again and watches it, wherever it leads now.
    fn arm(&mut self, root: Root) -> End {
        let mut resolution = resolve(self.path(root));
        for _ in 0..LOOKS {
            self.points.clear(root);
            self.follow(root, &resolution);
            // The path may have changed before every step was watched.
            let again = resolve(self.path(root));
            if again == resolution {
                break;
            }
            resolution = again;
        }
        for watch in self.points.idle() {
            self.inotify.unwatch(watch);
        }
        resolution.end
    }

    fn follow(&mut self, root: Root, resolution: &Resolution) {
        for step in &resolution.steps {
            let (path, concern, role) = match step {
                Step::Through(dir) => (dir, Concern::Place, Role::Through),
                Step::Name { dir, name } => (dir, Concern::Names, Role::Name(name.clone())),
            };
            self.add(root, path, concern, role);
        }
        let base = self.bases.get_mut(root);
        match (&resolution.end, base) {
            (End::Directory(dir), Some(base)) => {
                *base = Some(dir.clone());
                self.scan(root, dir.clone());
            }
            (end, Some(base)) => {
                *base = None;
                if let End::File(file) = end {
                    self.add(root, file, Concern::Itself, Role::File);
                }
            }
            (_, None) => {}
        }
    }

    /// Watches a directory and everything below.
    fn scan(&mut self, root: Root, dir: PathBuf) {
        let mut left = vec![dir];
        while let Some(dir) = left.pop() {
            // Watch first and list then: a change in between is seen twice, but never missed.
            if !self.add(root, &dir, Concern::Contents, Role::Tree(dir.clone())) {
                continue;
            }
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir())
                    && !self.is_ignored(root, &path)
                {
                    left.push(path);
                }
            }
        }
    }

    /// Adds a watch. Returns whether the path is watched now.
    fn add(&mut self, root: Root, path: &Path, concern: Concern, role: Role) -> bool {
        match self.inotify.watch(path, concern) {
            Ok(watch) => {
                if let Some(idle) = self.points.add(watch, Point { root, role }) {
                    self.inotify.unwatch(idle);
                }
                true
            }
            // The path disappeared just now, which another watch reports; or we may not list it, as is common for
            // parent directories.
            Err(Errno::ENOENT | Errno::ENOTDIR) => false,
            Err(Errno::EACCES) if role == Role::Through => false,
            Err(errno) => {
                match &mut self.trouble {
                    Some((_, _, count)) => *count += 1,
                    none => *none = Some((path.to_owned(), errno, 1)),
                }
                false
            }
        }
    }

    /// Reports each kind of error once.
    fn tell_trouble(&mut self) {
        let Some((path, errno, count)) = self.trouble.take() else {
            return;
        };
        if !self.told.insert(errno as i32) {
            return;
        }
        let more = match count - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let why = match errno {
            Errno::ENOSPC => {
                "the limit of inotify watches is reached (fs.inotify.max_user_watches)"
            }
            other => other.desc(),
        };
        let text = format!("{}{more} cannot be watched: {why}", path.display());
        (self.tell)(Fired::Unwatched { text });
    }

    fn path(&self, root: Root) -> &Path {
        self.paths
            .get(root)
            .map_or(Path::new("/"), PathBuf::as_path)
    }

    fn is_base(&self, root: Root, dir: &Path) -> bool {
        self.bases.get(root).and_then(Option::as_deref) == Some(dir)
    }

    fn is_ignored(&self, root: Root, path: &Path) -> bool {
        let base = self.bases.get(root).and_then(Option::as_deref);
        base.and_then(|base| path.strip_prefix(base).ok())
            .is_some_and(|below| (self.ignore)(below))
    }
}

#[cfg(test)]
mod tests;
