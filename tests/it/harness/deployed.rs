//! A folder of `examples` as its Dockerfile puts it into an image, without an engine: a root directory with the files of the
//! last stage, read-only as in a restricted pod, with this machine's `/usr` in the place of the base image. The runtime starts in
//! it with ENV, CMD, WORKDIR and USER of the Dockerfile, in a network namespace of its own, so that its ports are free.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use super::dockerfile::{Stage, stages_of};
use super::{Builder, Runtime, scratch, source};

/// Mounts everything and becomes the runtime. Words: the root, user, group, directory; `FROM TO` for what is mounted; `--`;
/// the command. In a user namespace of its own the process has the user of the Dockerfile and no capability, and reads what
/// belongs to root.
const ENTER: &str = "set -e\n\
    root=$1 user=$2 group=$3 work=$4\n\
    shift 4\n\
    mount --bind \"$root\" \"$root\"\n\
    for place in usr etc proc dev sys; do mount --rbind \"/$place\" \"$root/$place\"; done\n\
    mount -t tmpfs -o mode=1777 tmp \"$root/tmp\"\n\
    while [ \"$1\" != -- ]; do [ -e \"$root$2\" ] || mkdir -p \"$root$2\"; mount --rbind \"$1\" \"$root$2\"; shift 2; done\n\
    shift\n\
    mount -o remount,bind,ro \"$root\"\n\
    exec unshare --user --map-user=\"$user\" --map-group=\"$group\" --root=\"$root\" --wd=\"$work\" -- \"$@\"";

/// Every folder of `examples` with a Dockerfile, as `node/express`, sorted.
pub fn folders() -> Vec<String> {
    fn look(place: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.join("Dockerfile").exists() {
                let name = path.strip_prefix(source("examples")).unwrap();
                found.push(name.to_str().unwrap().to_owned());
            }
            // What somebody built there is not ours.
            if path.is_dir() && !path.ends_with("node_modules") && !path.ends_with("target") {
                look(&path, found);
            }
        }
    }
    let mut found = Vec::new();
    look(&source("examples"), &mut found);
    found.sort();
    found
}

/// The folder of an example.
pub fn folder(name: &str) -> PathBuf {
    source("examples").join(name)
}

/// Where scripts/test-deps installs the packages of an example.
#[track_caller]
pub fn installed(name: &str) -> PathBuf {
    let path = source("target/examples").join(name);
    assert!(
        path.exists(),
        "{} is missing: scripts/test-deps",
        path.display()
    );
    path
}

/// Gives the calling thread, and what it starts, a network of its own with nothing but loopback.
#[track_caller]
pub fn own_network() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(up.unwrap().success());
}

/// An example in the place of its image.
pub struct Deployed {
    pub stage: Stage,
    root: PathBuf,
    /// What is mounted, and where.
    mounts: Vec<(PathBuf, PathBuf)>,
}

impl Deployed {
    /// `made`: what other stages made, by the path that is copied from there; a directory is mounted. Without a path, this
    /// machine's `/usr` has it.
    #[track_caller]
    pub fn new(name: &str, made: &[(&str, Option<PathBuf>)]) -> Self {
        let stage = stages_of(&folder(name)).pop().unwrap();
        let root = scratch(&format!("deployed-{}", name.replace('/', "-")));
        for place in ["usr", "etc", "proc", "dev", "sys", "tmp", "programs"] {
            fs::create_dir(root.join(place)).unwrap();
        }
        for link in ["bin", "lib", "lib64", "sbin"] {
            symlink(format!("usr/{link}"), root.join(link)).unwrap();
        }
        let mut mounts = Vec::new();
        let inside = |place: &Path| root.join(place.strip_prefix("/").unwrap());
        for copy in &stage.copies {
            for source in &copy.sources {
                let place = copy.place(source);
                let from = match copy.from.as_deref() {
                    Some("runtime") => continue,
                    None => folder(name).join(source),
                    Some(_) => {
                        let (_, from) = made
                            .iter()
                            .find(|(path, _)| path == source)
                            .unwrap_or_else(|| panic!("nobody made {source}"));
                        let Some(from) = from else {
                            assert!(place.starts_with("/usr"), "{}", place.display());
                            continue;
                        };
                        from.clone()
                    }
                };
                fs::create_dir_all(inside(place.parent().unwrap())).unwrap();
                if copy.from.is_some() && from.is_dir() {
                    mounts.push((from, place));
                } else {
                    put(&from, &inside(&place));
                }
            }
        }
        // The runtime is started by its path, and scripts of a virtual environment name theirs.
        let binary = Path::new(env!("CARGO_BIN_EXE_rpm-runtime"))
            .parent()
            .unwrap();
        for place in [binary.to_owned(), source("target/examples")] {
            if place.exists() {
                mounts.push((place.clone(), place));
            }
        }
        Self {
            stage,
            root,
            mounts,
        }
    }

    /// A program that has another name on this machine.
    #[must_use]
    pub fn called(self, name: &str, here: &str) -> Self {
        symlink(here, self.root.join("programs").join(name)).unwrap();
        self
    }

    /// With this file or directory in the place of one of the image.
    #[must_use]
    pub fn mounted(mut self, from: &Path, to: &str) -> Self {
        self.mounts.push((from.to_owned(), to.into()));
        self
    }

    /// The runtime in the image. The test may add variables.
    pub fn runtime(&self) -> Builder {
        let (user, group) = self.stage.user.split_once(':').unwrap();
        let work = match self.stage.work.as_str() {
            "" => "/",
            work => work,
        };
        let words = ["unshare", "--mount", "sh", "-c", ENTER, "enter"];
        let mut under: Vec<OsString> = words.iter().map(Into::into).collect();
        under.push(self.root.clone().into());
        under.extend([user, group, work].map(OsString::from));
        for (from, to) in &self.mounts {
            under.extend([from.into(), to.into()]);
        }
        under.push("--".into());
        let mut path = format!("/programs:{}", std::env::var("PATH").unwrap_or_default());
        let mut builder = Runtime::builder();
        for (name, value) in &self.stage.env {
            if name == "PATH" {
                // Not yet: what mounts must be found.
                path.clone_from(value);
            } else {
                builder = builder.env(name, value);
            }
        }
        under.extend(["/usr/bin/env".into(), format!("PATH={path}").into()]);
        builder.under(under).program(self.stage.command.clone())
    }
}

/// Copies a file or a directory, with its permissions.
fn put(from: &Path, to: &Path) {
    let done = Command::new("cp")
        .arg("-a")
        .arg("--")
        .args([from, to])
        .status();
    assert!(done.unwrap().success(), "{}", from.display());
}
