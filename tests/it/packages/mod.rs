//! The packages of `make packages`, each installed into a root of its own and used there. They hold the static binary
//! that `make static` built.

mod debian;
mod launcher;
mod npm;
mod registry;
mod tarball;
mod wheel;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::harness::shared_port::{stop, v4};
use crate::harness::{
    Builder, Runtime, free_port, http_get, scratch, source, static_runtime, until,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folder of one test, with the packages of one kind. Removed if the test succeeds.
struct Packed {
    /// For what the test makes.
    place: PathBuf,
    /// Of scripts/packages.
    out: PathBuf,
}

impl Packed {
    /// Runs scripts/packages.
    #[track_caller]
    fn new(test: &str, kinds: &[&str]) -> Self {
        let place = scratch(test);
        let out = place.join("packages");
        let mut command = Command::new(source("scripts/packages"));
        command.arg("--out").arg(&out);
        command.args(kinds.iter().flat_map(|kind| ["--only", kind]));
        succeed(command.arg(static_runtime().parent().unwrap()));
        Self { place, out }
    }

    /// The only package whose name begins and ends so.
    #[track_caller]
    fn one(&self, begin: &str, end: &str) -> PathBuf {
        let fits = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(begin) && name.ends_with(end)
        };
        let all = files(&self.out);
        let mut found: Vec<_> = all.iter().filter(|path| fits(path)).collect();
        assert_eq!(found.len(), 1, "{begin}*{end} in {all:?}");
        found.remove(0).clone()
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.place).unwrap();
        }
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found
}

/// Runs a command to its end.
#[track_caller]
fn output(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{command:?}: {error}; run scripts/test-deps"))
}

/// Standard output of a command that must succeed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = output(command);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{out}{err}");
    out
}

/// Starts two workers and checks that both answer requests, and that the stop is clean. Returns what `look` found while
/// they ran.
#[track_caller]
fn two_workers_serve<T>(builder: Builder, look: impl FnOnce(&Runtime) -> T) -> T {
    let port = free_port();
    let runtime = builder
        .env("RPM_INSTANCES", "2")
        .env("RPM_MIN_READY", "0s")
        .env("PORT", port.to_string())
        .start();
    runtime.wait_for_status("/readyz", 200);
    let mut slots = BTreeSet::new();
    until("both workers answer", || {
        let reply = http_get(v4(port), "/").unwrap();
        assert_eq!(reply.status, 200);
        slots.insert(reply.json()["slot"].as_str().unwrap().to_owned());
        slots.len() == 2
    });
    assert!(slots.iter().eq(["0", "1"]), "{slots:?}");
    let found = look(&runtime);
    stop(runtime);
    found
}

/// Checks that this installed program is the static binary, and that it may be executed by all.
#[track_caller]
fn is_the_binary(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let built = fs::read(static_runtime()).unwrap();
    assert!(
        fs::read(path).unwrap() == built,
        "{} is another file than target/static has",
        path.display()
    );
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755, "{}", path.display());
    let said = succeed(Command::new(path).arg("--version"));
    assert_eq!(said.trim(), format!("rpm-runtime {VERSION}"));
}

/// What the packages bring beside the programs: where it is below `share`, and what `rpmctl` prints for it.
const SHARED: [(&str, [&str; 2]); 5] = [
    ("man/man1/rpmctl.1", ["man", "rpmctl"]),
    ("man/man1/rpm-runtime.1", ["man", "rpm-runtime"]),
    ("bash-completion/completions/rpmctl", ["completion", "bash"]),
    ("zsh/vendor-completions/_rpmctl", ["completion", "zsh"]),
    (
        "fish/vendor_completions.d/rpmctl.fish",
        ["completion", "fish"],
    ),
];

/// Checks that a directory `share` has the pages and the words for shells, as the tool that is installed prints them.
#[track_caller]
fn has_pages_and_words(share: &Path, rpmctl: &Path) {
    for (path, words) in SHARED {
        let printed = succeed(Command::new(rpmctl).args(words));
        let file = share.join(path);
        let compressed = file.with_added_extension("gz");
        let found = if compressed.exists() {
            succeed(Command::new("gzip").arg("-dc").arg(compressed))
        } else {
            // Of a Python environment.
            let elsewhere = path.replace("vendor-completions", "site-functions");
            let file = if file.exists() {
                file
            } else {
                share.join(elsewhere)
            };
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        };
        assert!(
            found == printed,
            "{path} is not what rpmctl {words:?} prints"
        );
    }
}

/// Checks a file with the licences of the crates in the binary. The licence of subtle asks for that by name.
#[track_caller]
fn names_the_licences(text: &str) {
    for word in [
        "subtle 2",
        "BSD-3-Clause",
        "tokio 1",
        "GNU C Library",
        "Permission is hereby granted",
    ] {
        assert!(text.contains(word), "no {word} among the licences");
    }
}

#[test]
fn the_same_binary_and_commit_give_the_same_bytes() {
    let first = Packed::new("packages-first", &[]);
    let second = Packed::new("packages-second", &[]);
    let sums = |packed: &Packed| fs::read_to_string(packed.out.join("SHA256SUMS")).unwrap();
    assert_eq!(sums(&first), sums(&second));
    let listed = sums(&first).lines().count();
    // The list itself is not in it.
    assert_eq!(files(&first.out).len(), listed + 1);
    assert_eq!(listed, 6, "{}", sums(&first));
    succeed(
        Command::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(&first.out),
    );
}

#[test]
fn a_binary_that_needs_a_loader_is_refused() {
    let place = scratch("packages-dynamic");
    fs::copy("/bin/true", place.join("rpm-runtime")).unwrap();
    let mut command = Command::new(source("scripts/packages"));
    let refused = output(command.arg("--out").arg(place.join("out")).arg(&place));
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("rpm-runtime is not static; run `make static`"),
        "{said}"
    );
    assert!(files(&place.join("out")).is_empty());
    fs::remove_dir_all(place).unwrap();
}
