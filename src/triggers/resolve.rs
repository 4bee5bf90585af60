//! Resolves a path step by step. To notice when the path leads elsewhere, each step must be watched.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as the kernel follows (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// One step of a path. Its directory contains no symbolic links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A directory on the way, which must not disappear.
    Through(PathBuf),
    /// An entry that is a symbolic link, the end of the path, or missing.
    Name { dir: PathBuf, name: OsString },
}

/// What the path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Directory(PathBuf),
    /// A file, or anything else that is not a directory.
    File(PathBuf),
    Missing,
    /// The end cannot be read.
    Hidden(io::ErrorKind),
}

/// A resolved path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolution {
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

/// Resolves an absolute path from the root.
pub(super) fn resolve(path: &Path) -> Resolution {
    let mut steps = vec![Step::Through(PathBuf::from("/"))];
    let mut at = PathBuf::from("/");
    let mut left: VecDeque<OsString> = parts(path).collect();
    let mut links = 0;
    let end = loop {
        let Some(part) = left.pop_front() else {
            break End::Directory(at);
        };
        if part == ".." {
            at.pop();
            continue;
        }
        let here = at.join(&part);
        let name = |part: &OsStr| Step::Name {
            dir: at.clone(),
            name: part.to_owned(),
        };
        let kind = match fs::symlink_metadata(&here) {
            Ok(metadata) => metadata.file_type(),
            Err(error) => {
                steps.push(name(&part));
                break failed(error.kind());
            }
        };
        if kind.is_dir() {
            steps.push(Step::Through(here.clone()));
            at = here;
            continue;
        }
        steps.push(name(&part));
        if !kind.is_symlink() {
            break if left.is_empty() {
                End::File(here)
            } else {
                End::Hidden(io::ErrorKind::NotADirectory)
            };
        }
        links += 1;
        match fs::read_link(&here) {
            Err(error) => break failed(error.kind()),
            Ok(_) if links > MOST_LINKS => break End::Hidden(io::ErrorKind::Other),
            Ok(target) => {
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    left.push_front(part);
                }
            }
        }
    };
    Resolution { steps, end }
}

fn failed(kind: io::ErrorKind) -> End {
    match kind {
        io::ErrorKind::NotFound => End::Missing,
        other => End::Hidden(other),
    }
}

/// The components of a path, including `..`.
fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn scratch(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("rpm-resolution-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path); // left by an earlier process with our PID
        fs::create_dir_all(&path).unwrap();
        path.canonicalize().unwrap()
    }

    /// The steps below `root`, in short form.
    fn steps(resolution: &Resolution, root: &Path) -> Vec<String> {
        let below = |path: &Path| {
            let rest = path.strip_prefix(root).ok()?;
            Some(rest.to_string_lossy().into_owned())
        };
        let short = |step: &Step| match step {
            Step::Through(dir) => below(dir).filter(|rest| !rest.is_empty()),
            Step::Name { dir, name } => Some(format!("{}:{}", below(dir)?, name.to_string_lossy())),
        };
        resolution.steps.iter().filter_map(short).collect()
    }

    #[test]
    fn a_mounted_config_map_leads_over_two_links() {
        let root = scratch("map");
        fs::create_dir(root.join("..2026")).unwrap();
        fs::write(root.join("..2026/app"), "x").unwrap();
        symlink("..2026", root.join("..data")).unwrap();
        symlink("..data/app", root.join("app")).unwrap();
        let resolution = resolve(&root.join("app"));
        assert_eq!(resolution.end, End::File(root.join("..2026/app")));
        assert_eq!(
            steps(&resolution, &root),
            [":app", ":..data", "..2026", "..2026:app"]
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn directories_links_and_what_is_missing() {
        let root = scratch("ends");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("file"), "x").unwrap();
        symlink(root.join("a"), root.join("far")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("../../file", root.join("a/b/up")).unwrap();
        let table: [(&str, End, &[&str]); 9] = [
            ("a/b", End::Directory(root.join("a/b")), &["a", "a/b"]),
            (
                "far/b",
                End::Directory(root.join("a/b")),
                &[":far", "a", "a/b"],
            ),
            (
                "a/../a/./b/",
                End::Directory(root.join("a/b")),
                &["a", "a", "a/b"],
            ),
            ("a/c/d", End::Missing, &["a", "a:c"]),
            ("far/c", End::Missing, &[":far", "a", "a:c"]),
            (
                "a/b/up",
                End::File(root.join("file")),
                &["a", "a/b", "a/b:up", ":file"],
            ),
            (
                "file/x",
                End::Hidden(io::ErrorKind::NotADirectory),
                &[":file"],
            ),
            ("", End::Directory(root.clone()), &[]),
            ("file", End::File(root.join("file")), &[":file"]),
        ];
        for (path, end, expected) in table {
            let resolution = resolve(&root.join(path));
            assert_eq!(resolution.end, end, "{path}");
            assert_eq!(steps(&resolution, &root), expected, "{path}");
        }
        assert!(matches!(resolve(&root.join("loop")).end, End::Hidden(_)));
        assert_eq!(resolve(Path::new("/")).end, End::Directory("/".into()));
        fs::remove_dir_all(root).unwrap();
    }
}
