//! The command of the npm package: a shell script that becomes the program of the platform's package.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{output, succeed};
use crate::harness::{scratch, source};

/// Installs the launcher as npm does: a package, and a link to its command.
fn install(root: &Path, package: &str) -> PathBuf {
    let command = root.join(package).join("bin/rpm-runtime");
    fs::create_dir_all(command.parent().unwrap()).unwrap();
    fs::copy(source("packaging/npm/launcher"), &command).unwrap();
    let link = root.join("rpm-runtime-link");
    symlink(&command, &link).unwrap();
    link
}

/// A program in the place of the platform's package. It prints its PID and its arguments. Returns its path.
fn program(modules: &Path) -> PathBuf {
    let platform = if cfg!(target_arch = "aarch64") {
        "linux-arm64"
    } else {
        "linux-x64"
    };
    let path = modules
        .join("@rpm-runtime")
        .join(platform)
        .join("bin/rpm-runtime");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "#!/bin/sh\necho $$\nprintf '<%s>' \"$@\"\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn it_keeps_its_pid_and_passes_every_argument_as_it_is() {
    let root = scratch("launcher arguments");
    program(&root.join("node_modules"));
    let link = install(&root, "node_modules/rpm-runtime");
    let words = ["node", "a b", "", "*", "--", "-x", "$HOME", "line\nline"];
    let child = Command::new("sh")
        .args(["-c", "echo $$; exec \"$0\" \"$@\""])
        .arg(&link)
        .args(words)
        .output();
    let said = String::from_utf8(child.unwrap().stdout).unwrap();
    let (first, rest) = said.split_once('\n').unwrap();
    let wanted = format!("<{}>", words.join("><"));
    assert_eq!(rest, format!("{first}\n{wanted}"));
    fs::remove_dir_all(root).unwrap();
}

/// Flat as npm installs, nested as a global installation, and as pnpm does it.
#[test]
fn it_finds_the_package_wherever_a_package_manager_puts_it() {
    for (package, modules) in [
        ("node_modules/rpm-runtime", "node_modules"),
        (
            "lib/node_modules/rpm-runtime",
            "lib/node_modules/rpm-runtime/node_modules",
        ),
        (
            "node_modules/.pnpm/rpm-runtime@1.0.0/node_modules/rpm-runtime",
            "node_modules/.pnpm/rpm-runtime@1.0.0/node_modules",
        ),
        ("workspace/app/node_modules/rpm-runtime", "node_modules"),
    ] {
        let root = scratch("launcher-places");
        program(&root.join(modules));
        let link = install(&root, package);
        let said = succeed(Command::new(link).arg("word").current_dir("/"));
        assert!(said.ends_with("<word>"), "{package}: {said}");
        fs::remove_dir_all(root).unwrap();
    }
}

#[test]
fn a_missing_package_is_told_and_how_to_get_it() {
    let root = scratch("launcher-missing");
    let link = install(&root, "node_modules/rpm-runtime");
    let failed = output(&mut Command::new(link));
    assert_eq!(failed.status.code(), Some(127));
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(
        said.starts_with("rpm-runtime: the package @rpm-runtime/linux-"),
        "{said}"
    );
    assert!(said.contains("without --omit=optional"), "{said}");
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_program_that_may_not_be_executed_is_not_called_missing() {
    let root = scratch("launcher-mode");
    let path = program(&root.join("node_modules"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let link = install(&root, "node_modules/rpm-runtime");
    let failed = output(&mut Command::new(link));
    assert_eq!(failed.status.code(), Some(126));
    let said = String::from_utf8_lossy(&failed.stderr);
    let path = fs::canonicalize(path).unwrap();
    let begin = format!("rpm-runtime: {} may not be executed: ", path.display());
    assert!(said.starts_with(&begin), "{said}");
    assert!(!said.contains("missing"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    fs::remove_dir_all(root).unwrap();
}
