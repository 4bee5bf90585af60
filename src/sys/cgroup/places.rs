//! Where our cgroups are.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::{contents, lines};

/// Most directories that are listed in a search for our cgroup.
const SEARCH: u32 = 5000;

/// The directories of our cgroups and their visible parents, our own first. Found once, read often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Of version 2.
    unified: Vec<PathBuf>,
    /// Of each controller of version 1.
    legacy: Vec<(Vec<u8>, Vec<PathBuf>)>,
    hidden: bool,
}

impl Places {
    /// Looks for them. `root` is the root directory: `/`, or a fixture in tests.
    pub fn find(root: &Path) -> Self {
        Self::of(root, std::process::id())
    }

    /// As [`Self::find`], for another process than this one.
    pub(super) fn of(root: &Path, pid: u32) -> Self {
        let all = mounts(root);
        let mut found = Self::default();
        for (controllers, path) in memberships(root) {
            let mut levels = |controller: Option<&[u8]>| {
                let mounts = all.iter().filter(|mount| mount.shows(controller));
                let (dirs, known) = levels(root, &mounts.collect::<Vec<_>>(), &path, pid);
                found.hidden |= !known;
                dirs
            };
            if controllers.is_empty() {
                found.unified = levels(None);
            }
            for controller in controllers {
                let dirs = levels(Some(&controller));
                found.legacy.push((controller, dirs));
            }
        }
        found
    }

    /// Whether a hierarchy is mounted and our place in it is not found, so that limits may hold which nobody sees here.
    /// That is so in a cgroup namespace of our own with a mount from outside of it.
    pub fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Directories of version 2.
    pub(super) fn unified(&self) -> &[PathBuf] {
        &self.unified
    }

    /// Directories of each controller of version 1.
    pub(super) fn legacy(&self) -> impl Iterator<Item = (&[u8], &[PathBuf])> {
        let all = self.legacy.iter();
        all.map(|(controller, dirs)| (controller.as_slice(), dirs.as_slice()))
    }

    /// Our own cgroup of a controller of version 1.
    pub(super) fn own_legacy(&self, controller: &[u8]) -> Option<&Path> {
        let mut all = self.legacy();
        let (_, dirs) = all.find(|(name, _)| *name == controller)?;
        dirs.first().map(PathBuf::as_path)
    }

    /// Our own cgroup of version 2.
    pub(super) fn own_unified(&self) -> Option<&Path> {
        self.unified.first().map(PathBuf::as_path)
    }
}

/// The cgroups of this process: their controllers (empty for version 2) and path.
fn memberships(root: &Path) -> Vec<(Vec<Vec<u8>>, PathBuf)> {
    let own = contents(&root.join("proc/self/cgroup")).unwrap_or_default();
    let of = |line: &[u8]| {
        let mut parts = line.splitn(3, |byte| *byte == b':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let controllers = controllers.split(|byte| *byte == b',');
        let controllers = controllers.filter(|name| !name.is_empty());
        Some((
            controllers.map(<[u8]>::to_vec).collect(),
            PathBuf::from(OsStr::from_bytes(path)),
        ))
    };
    lines(&own).filter_map(of).collect()
}

fn mounts(root: &Path) -> Vec<Mount> {
    let mounts = contents(&root.join("proc/self/mountinfo")).unwrap_or_default();
    lines(&mounts).filter_map(mount).collect()
}

/// A mounted cgroup hierarchy, or a part of one.
struct Mount {
    /// The cgroup that the mount shows.
    root: PathBuf,
    point: PathBuf,
    /// The controllers and options of a version 1 mount; `None` is version 2.
    options: Option<Vec<Vec<u8>>>,
}

/// One line of mountinfo (proc_pid_mountinfo(5)): id, parent, device, root, mount point, options, tags, `-`, type,
/// source, super block's options.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = unescape(fields.nth(3)?);
    let point = unescape(fields.next()?);
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = fields.next()?;
    let options = match kind {
        b"cgroup2" => None,
        b"cgroup" => Some(
            fields
                .nth(1)?
                .split(|byte| *byte == b',')
                .map(<[u8]>::to_vec)
                .collect(),
        ),
        _ => return None,
    };
    Some(Mount {
        root: root.into(),
        point: point.into(),
        options,
    })
}

/// Decodes blanks, tabs, line ends and backslashes, which mountinfo writes as `\ooo`.
fn unescape(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(code.unwrap_or(*first));
        rest = match code {
            Some(_) => after.get(3..).unwrap_or_default(),
            None => after,
        };
    }
    OsString::from_vec(out)
}

impl Mount {
    /// Whether it shows the hierarchy of this controller; `None` is version 2.
    fn shows(&self, controller: Option<&[u8]>) -> bool {
        match (&self.options, controller) {
            (None, None) => true,
            (Some(options), Some(controller)) => options.iter().any(|option| option == controller),
            _ => false,
        }
    }

    /// How many levels the mount begins above the root of our cgroup namespace, if it does: its root is then `/../..`.
    fn above(&self) -> Option<usize> {
        let mut parts = self.root.components().skip(1);
        let only_up = parts.all(|part| part == Component::ParentDir);
        let levels = self.root.components().skip(1).count();
        (only_up && levels > 0).then_some(levels)
    }
}

/// The directories of the cgroup `path` and of its parents, as far as they are `mounts`, and whether the place of `path`
/// below a mount is known. If it is not, the mount point itself is used. Without a mount there is nothing to know.
fn levels(root: &Path, mounts: &[&Mount], path: &Path, pid: u32) -> (Vec<PathBuf>, bool) {
    let plain = !path.components().any(|part| part == Component::ParentDir);
    let place = |mount: &&Mount| {
        let point = mount.point.strip_prefix("/").unwrap_or(&mount.point);
        root.join(point)
    };
    let below = |mount: &&Mount| {
        let rest = path.strip_prefix(&mount.root).ok().filter(|_| plain)?;
        Some((place(mount), rest.to_owned()))
    };
    let searched = |mount: &&Mount| {
        let within = path.strip_prefix("/").ok().filter(|_| plain)?;
        let (point, mut left) = (place(mount), SEARCH);
        let base = search(&point, mount.above()?, within, pid, &mut left)?;
        let rest = base.strip_prefix(&point).ok()?.join(within);
        Some((point, rest))
    };
    let mut found: Vec<(PathBuf, PathBuf)> = mounts.iter().filter_map(below).collect();
    if found.is_empty() {
        found.extend(mounts.iter().find_map(searched));
    }
    let known = !found.is_empty() || mounts.is_empty();
    if found.is_empty() {
        found.extend(mounts.first().map(|first| (place(first), PathBuf::new())));
    }
    let mut dirs = Vec::new();
    for (point, rest) in found {
        dirs.extend(rest.ancestors().map(|part| point.join(part)));
    }
    (dirs, known)
}

/// The directory `depth` levels below `dir` whose `within` is the cgroup of the process: its list of processes has the
/// PID. Lists at most `left` directories.
fn search(dir: &Path, depth: usize, within: &Path, pid: u32, left: &mut u32) -> Option<PathBuf> {
    let Some(depth) = depth.checked_sub(1) else {
        let members = contents(&dir.join(within).join("cgroup.procs"))?;
        let pid = pid.to_string();
        let found = lines(&members).any(|line| line == pid.as_bytes());
        return found.then(|| dir.to_owned());
    };
    *left = left.checked_sub(1)?;
    let entries = fs::read_dir(dir).ok()?.filter_map(Result::ok);
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut dirs = entries.filter(is_dir).map(|entry| entry.path());
    dirs.find_map(|dir| search(&dir, depth, within, pid, left))
}

#[cfg(test)]
pub(super) fn read_line(line: &[u8]) -> bool {
    mount(line).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_characters_in_mount_points() {
        assert_eq!(unescape(br"a\040b\134c\"), r"a b\c\");
        assert_eq!(unescape(br"\04\999\7777"), r"\04\999\7777");
    }

    /// A container with a cgroup namespace of its own and the mount of the host.
    fn hosts_mount(name: &str, controllers: &str, up: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("rpm-places-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root); // left by an earlier process with our PID
        fs::create_dir_all(root.join("proc/self")).unwrap();
        let (kind, options) = if controllers.is_empty() {
            ("cgroup2", "rw")
        } else {
            ("cgroup", "rw,cpu")
        };
        let mount = format!("30 23 0:26 {up} /sys/fs/cgroup ro - {kind} cgroup {options}\n");
        fs::write(root.join("proc/self/mountinfo"), mount).unwrap();
        let own = format!("0:{controllers}:/\n");
        fs::write(root.join("proc/self/cgroup"), own).unwrap();
        let point = root.join("sys/fs/cgroup");
        for (dir, members) in [
            ("kubepods", ""),
            ("kubepods/pod1", "0\n0\n"),
            ("kubepods/pod2", "0\n7\n42\n"),
            ("kubepods/pod2/init", "43\n"),
            ("system.slice", "0\n"),
            ("system.slice/ssh.service", "142\n421\n"),
        ] {
            fs::create_dir_all(point.join(dir)).unwrap();
            fs::write(point.join(dir).join("cgroup.procs"), members).unwrap();
        }
        root
    }

    #[test]
    fn below_a_mount_from_outside_our_cgroup_is_found_by_its_members() {
        for (name, controllers) in [("v2", ""), ("v1", "cpu")] {
            let root = hosts_mount(name, controllers, "/../..");
            let point = root.join("sys/fs/cgroup");
            let found = Places::of(&root, 42);
            let dirs = ["kubepods/pod2", "kubepods", ""].map(|dir| point.join(dir));
            let seen = match controllers {
                "" => found.unified(),
                _ => &found.legacy[0].1,
            };
            assert_eq!((seen, found.is_hidden()), (&dirs[..], false), "{name}");
            fs::remove_dir_all(root).unwrap();
        }
    }

    #[test]
    fn a_cgroup_that_is_not_found_below_its_mount_is_hidden() {
        for (name, up, pid) in [
            ("gone", "/../..", 99),
            ("deeper", "/../..", 43),
            ("other", "/../x", 42),
        ] {
            let root = hosts_mount(name, "", up);
            let found = Places::of(&root, pid);
            assert_eq!(found.unified(), [root.join("sys/fs/cgroup")], "{name}");
            assert!(found.is_hidden(), "{name}");
            fs::remove_dir_all(root).unwrap();
        }
        let root = hosts_mount("moved", "", "/../..");
        fs::write(root.join("proc/self/cgroup"), "0::/init\n").unwrap();
        let found = Places::of(&root, 43);
        let own = root.join("sys/fs/cgroup/kubepods/pod2/init");
        assert_eq!(
            (found.own_unified(), found.is_hidden()),
            (Some(&*own), false)
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn without_a_mount_there_is_nothing_to_hide() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cgroup");
        for (case, hidden) in [
            ("no_files", false),
            ("v2", false),
            ("v1", false),
            ("v2_outside_namespace", true),
        ] {
            assert_eq!(
                Places::find(&fixtures.join(case)).is_hidden(),
                hidden,
                "{case}"
            );
        }
    }

    #[test]
    fn a_search_lists_so_many_directories_and_no_more() {
        let root = hosts_mount("bounded", "", "/../..");
        let point = root.join("sys/fs/cgroup");
        let mut left = 1;
        assert_eq!(search(&point, 2, Path::new(""), 42, &mut left), None);
        assert_eq!(left, 0);
        fs::remove_dir_all(root).unwrap();
    }
}
