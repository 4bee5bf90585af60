//! Real repositories, whole and broken, and files that others put in their place.
#![expect(clippy::disallowed_methods, reason = "a test runs git")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::find;
use crate::model::Checkout;
use crate::sys::testing::as_nobody;

/// A directory that is removed on drop.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rpm-revision-{name}-{}", std::process::id()));
        // Left by an earlier process with our PID.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A repository with one commit on the branch `main`.
    fn repository(name: &str) -> Self {
        let dir = Self::new(name);
        dir.git("init -q -b main .");
        dir.git("commit -q --allow-empty -m first");
        dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs git, with words separated by blanks, and returns its output.
    fn git(&self, words: &str) -> String {
        git(&self.0, words)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Puts something else in the place of a file.
    fn replace(&self, name: &str, make: impl FnOnce(&Path)) {
        let path = self.path(name);
        fs::remove_file(&path).unwrap();
        make(&path);
    }

    fn seen(&self) -> Checkout {
        seen(&self.0).unwrap()
    }

    /// The revision is that of git, on this branch.
    fn is_on(&self, branch: Option<&str>) {
        is_on(&self.0, branch);
    }

    /// There is no revision, and this is why.
    fn has_none(&self, why: &str) {
        let seen = self.seen();
        assert_eq!((seen.revision, seen.fault.as_deref()), (None, Some(why)));
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn git(path: &Path, words: &str) -> String {
    let done = Command::new("git")
        .args(["-c", "protocol.file.allow=always"])
        .args(words.split(' '))
        .current_dir(path)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "t")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "t@localhost")))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "git {words}: {error}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

fn seen(path: &Path) -> Option<Checkout> {
    find(path).checkout
}

fn is_on(path: &Path, branch: Option<&str>) {
    let seen = seen(path).unwrap();
    assert_eq!(seen.fault, None);
    assert_eq!(seen.revision, Some(git(path, "rev-parse HEAD")));
    assert_eq!(seen.branch.as_deref(), branch);
}

#[test]
fn a_branch_is_seen_from_the_directory_and_from_below() {
    let dir = Dir::repository("branch");
    dir.is_on(Some("main"));
    assert_eq!(dir.seen().place, dir.path(".git").to_str().unwrap());
    dir.git("checkout -q -b feature/x");
    dir.git("commit -q --allow-empty -m second");
    fs::create_dir_all(dir.path("a/b/.git")).unwrap();
    // An empty .git, as a mount leaves it, does not count.
    is_on(&dir.path("a/b"), Some("feature/x"));
}

#[test]
fn packed_refs_are_read_if_there_is_no_file() {
    let dir = Dir::repository("packed");
    dir.git("tag -a v1 -m one");
    dir.git("branch main2");
    dir.git("pack-refs --all --prune");
    assert!(!dir.path(".git/refs/heads/main").exists());
    dir.is_on(Some("main"));
    // The file is newer.
    dir.git("commit -q --allow-empty -m second");
    dir.is_on(Some("main"));
    // A directory that a packed branch left.
    dir.git("pack-refs --all --prune");
    fs::create_dir_all(dir.path(".git/refs/heads/main")).unwrap();
    dir.is_on(Some("main"));
}

#[test]
fn a_detached_head_and_a_tag_have_no_branch() {
    let dir = Dir::repository("detached");
    dir.git("tag -a v1 -m one");
    dir.git("commit -q --allow-empty -m second");
    dir.git("checkout -q --detach");
    dir.is_on(None);
    dir.git("checkout -q v1");
    dir.is_on(None);
}

#[test]
fn names_of_commits_may_be_sha_256() {
    let dir = Dir::new("sha256");
    dir.git("init -q -b main --object-format=sha256 .");
    dir.git("commit -q --allow-empty -m first");
    assert_eq!(dir.seen().revision.unwrap().len(), 64);
    dir.is_on(Some("main"));
}

#[test]
fn a_worktree_has_its_own_head_and_shares_the_branches() {
    let dir = Dir::repository("worktree");
    dir.git("worktree add -q -b side side");
    git(&dir.path("side"), "commit -q --allow-empty -m second");
    is_on(&dir.path("side"), Some("side"));
    dir.is_on(Some("main"));
    dir.git("pack-refs --all --prune");
    is_on(&dir.path("side"), Some("side"));
    git(&dir.path("side"), "checkout -q --detach");
    is_on(&dir.path("side"), None);
    let own = git(&dir.path("side"), "rev-parse HEAD~");
    git(
        &dir.path("side"),
        &format!("update-ref refs/worktree/w {own}"),
    );
    git(&dir.path("side"), "symbolic-ref HEAD refs/worktree/w");
    let seen = seen(&dir.path("side")).unwrap();
    assert_eq!((seen.revision, seen.branch), (Some(own), None));
    // Only the worktree was put into the image.
    fs::remove_dir_all(dir.path(".git")).unwrap();
    let seen = super::find(&dir.path("side")).checkout.unwrap();
    let why = "the directory that .git names: No such file or directory";
    assert_eq!((seen.revision, seen.fault.as_deref()), (None, Some(why)));
}

#[test]
fn a_submodule_has_a_repository_of_its_own() {
    let (dir, module) = (Dir::repository("outer"), Dir::repository("module"));
    module.git("commit -q --allow-empty -m second");
    let from = module.0.to_str().unwrap();
    dir.git(&format!("submodule --quiet add {from} sub"));
    assert!(dir.path("sub/.git").is_file());
    is_on(&dir.path("sub"), Some("main"));
    assert_ne!(
        seen(&dir.path("sub")).unwrap().revision,
        dir.seen().revision
    );
}

#[test]
fn a_repository_without_a_commit_has_a_branch() {
    let dir = Dir::new("empty");
    dir.git("init -q -b main .");
    dir.has_none("refs/heads/main has no commit yet");
    assert_eq!(dir.seen().branch.as_deref(), Some("main"));
}

#[test]
fn a_table_of_refs_is_not_read() {
    let dir = Dir::new("reftable");
    dir.git("init -q -b main --ref-format=reftable .");
    dir.git("commit -q --allow-empty -m first");
    dir.has_none("its refs are in a reftable, which is not read");
}

#[test]
fn a_broken_repository_is_harmless() {
    let dir = Dir::repository("broken");
    let neither = "HEAD holds neither a commit nor a branch";
    for head in [
        "",
        "\n",
        "ref: ../../secret\n",
        "ref: refs/heads/../../../secret\n",
        "\0\0\0\0",
        "abc",
    ] {
        dir.write(".git/HEAD", head);
        dir.has_none(neither);
    }
    dir.write(".git/HEAD", vec![b'a'; 1 << 20]);
    dir.has_none("HEAD cannot be read: too large");
    dir.write(".git/HEAD", "ref: refs/heads/main\n");
    // What a power failure leaves.
    dir.write(".git/refs/heads/main", [0; 41]);
    dir.has_none("refs/heads/main holds neither a commit nor a branch");
    dir.write(".git/refs/heads/main", "ref: refs/heads/main\n");
    dir.has_none("too many refs lead to one another");
    fs::remove_file(dir.path(".git/refs/heads/main")).unwrap();
    dir.write(".git/packed-refs", "nothing of use\n# \n^\n");
    dir.has_none("refs/heads/main has no commit yet");
    for (name, why) in [
        (
            "gitdir: /nonexistent",
            "the directory that .git names: No such file or directory",
        ),
        ("", ".git names no directory"),
    ] {
        dir.write("in/.git", name);
        let seen = seen(&dir.path("in")).unwrap();
        assert_eq!(seen.fault.as_deref(), Some(why));
    }
}

#[test]
fn nothing_but_regular_files_is_opened() {
    let dir = Dir::repository("kinds");
    dir.replace(".git/HEAD", |path| mkfifo(path, Mode::S_IRWXU).unwrap());
    dir.has_none("HEAD cannot be read: not a regular file");
    dir.replace(".git/HEAD", |path| {
        fs::write(path, "ref: refs/heads/main").unwrap();
    });
    dir.replace(".git/refs/heads/main", |path| {
        mkfifo(path, Mode::S_IRWXU).unwrap();
    });
    dir.has_none("refs/heads/main cannot be read: not a regular file");
    fs::remove_file(dir.path(".git/refs/heads/main")).unwrap();
    mkfifo(&dir.path(".git/packed-refs"), Mode::S_IRWXU).unwrap();
    dir.has_none("packed-refs cannot be read: not a regular file");
    fs::create_dir(dir.path("in")).unwrap();
    for name in ["in/.git", "in/package.json"] {
        mkfifo(&dir.path(name), Mode::S_IRWXU).unwrap();
    }
    let found = find(&dir.path("in"));
    assert_eq!(found.package, None);
    let why = ".git cannot be read: not a regular file";
    assert_eq!(found.checkout.unwrap().fault.as_deref(), Some(why));
}

#[test]
fn links_lead_nowhere_but_where_git_makes_them() {
    let dir = Dir::repository("links");
    let commit = dir.git("rev-parse HEAD");
    // HEAD of old versions of git.
    dir.replace(".git/HEAD", |path| {
        symlink("refs/heads/main", path).unwrap();
    });
    dir.is_on(Some("main"));
    dir.write("secret", &commit);
    for target in ["../secret", "/etc/passwd", "HEAD"] {
        dir.replace(".git/HEAD", |path| symlink(target, path).unwrap());
        dir.has_none("HEAD holds neither a commit nor a branch");
    }
    dir.replace(".git/HEAD", |path| {
        fs::write(path, "ref: refs/heads/main").unwrap();
    });
    let refused = "refs/heads/main cannot be read: Too many symbolic links encountered";
    for target in ["../../../secret", "main"] {
        dir.replace(".git/refs/heads/main", |path| {
            symlink(target, path).unwrap();
        });
        dir.has_none(refused);
    }
    // `.git` itself names a repository.
    dir.replace(".git/refs/heads/main", |path| {
        fs::write(path, &commit).unwrap();
    });
    fs::create_dir(dir.path("in")).unwrap();
    symlink("../.git", dir.path("in/.git")).unwrap();
    is_on(&dir.path("in"), Some("main"));
    dir.replace("in/.git", |path| symlink(".git", path).unwrap());
    let why = ".git cannot be read: Too many symbolic links encountered";
    assert_eq!(seen(&dir.path("in")).unwrap().fault.as_deref(), Some(why));
}

#[test]
fn what_may_not_be_read_is_harmless() {
    let dir = Dir::repository("closed");
    let close = |name: &str, mode| {
        fs::set_permissions(dir.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    close(".git/HEAD", 0o600);
    let seen = as_nobody(|| seen(&dir.0)).unwrap();
    let why = "HEAD cannot be read: Permission denied";
    assert_eq!((seen.revision, seen.fault.as_deref()), (None, Some(why)));
    close(".git", 0o700);
    let seen = as_nobody(|| super::find(&dir.0).checkout).unwrap();
    assert_eq!(seen.revision, None);
    assert!(seen.fault.unwrap().ends_with("Permission denied"));
    // A directory that can be searched and not listed.
    close(".git", 0o711);
    close(".git/HEAD", 0o644);
    close("", 0o711);
    let seen = as_nobody(|| super::find(&dir.0).checkout).unwrap();
    assert_eq!(seen.revision, Some(dir.git("rev-parse HEAD")));
}

/// The files as Mercurial 6.3 made them, in both forms of the dirstate.
#[test]
fn mercurial_has_a_dirstate_and_a_branch() {
    let dir = Dir::new("hg");
    fs::create_dir(dir.path(".hg")).unwrap();
    dir.has_none("nothing is checked out");
    assert_eq!(dir.seen().branch.as_deref(), Some("default"));
    let commit =
        b"\x2f\xa3\x95\x37\x48\x79\x0b\x37\xa8\x7a\x82\xe9\x5d\xa3\xdd\xca\x33\x4d\x5f\x5c";
    let entry = b"n\x00\x00\x81\xa4\x00\x00\x00\x02\xff\xff\xff\xff\x00\x00\x00\x01a";
    dir.write(".hg/dirstate", [&commit[..], &[0; 20], entry].concat());
    dir.write(".hg/branch", "feature/x");
    let seen = dir.seen();
    let revision = "2fa3953748790b37a87a82e95da3ddca334d5f5c";
    assert_eq!(seen.revision.as_deref(), Some(revision));
    assert_eq!(seen.branch.as_deref(), Some("feature/x"));
    assert_eq!(seen.place, dir.path(".hg").to_str().unwrap());
    let docket = [b"dirstate-v2\n", &commit[..], &[0; 92], b"\x2d\x08f9c64bdd"];
    dir.write(".hg/dirstate", docket.concat());
    assert_eq!(dir.seen().revision.as_deref(), Some(revision));
    dir.replace(".hg/dirstate", |path| mkfifo(path, Mode::S_IRWXU).unwrap());
    dir.has_none("dirstate cannot be read: not a regular file");
    // Of both, git counts.
    dir.git("init -q -b main .");
    dir.git("commit -q --allow-empty -m first");
    dir.is_on(Some("main"));
}

#[test]
fn the_nearest_package_with_a_name_or_a_version_counts() {
    let dir = Dir::new("package");
    dir.write("package.json", r#"{"name":"shop","version":"1.2.3"}"#);
    dir.write("dist/package.json", r#"{"type":"module"}"#);
    dir.write("dist/in/package.json", "broken");
    let package = find(&dir.path("dist/in")).package.unwrap();
    assert_eq!(package.name.as_deref(), Some("shop"));
    assert_eq!(package.version.as_deref(), Some("1.2.3"));
    assert_eq!(package.file, dir.path("package.json").to_str().unwrap());
    // As a ConfigMap has it.
    dir.write("data/p", r#"{"version":"2"}"#);
    dir.replace("dist/package.json", |path| {
        symlink("../data/p", path).unwrap();
    });
    let package = find(&dir.path("dist/in")).package.unwrap();
    assert_eq!(
        (package.name, package.version.as_deref()),
        (None, Some("2"))
    );
    let large = format!("{{\"version\":\"3\",\"x\":\"{}\"}}", "x".repeat(1 << 20));
    dir.write("dist/in/package.json", large);
    let package = find(&dir.path("dist/in")).package.unwrap();
    assert_eq!(package.version.as_deref(), Some("2"));
}

#[test]
fn a_directory_without_any_of_it_tells_nothing() {
    for path in ["/proc/self", "/nonexistent"] {
        assert_eq!(find(Path::new(path)), crate::model::Found::default());
    }
}
