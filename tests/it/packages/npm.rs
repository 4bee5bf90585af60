//! The npm packages, installed by npm from a registry on loopback.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::registry::{Offer, Registry};
use super::{
    Packed, VERSION, files, is_the_binary, names_the_licences, output, succeed, two_workers_serve,
};
use crate::harness::{Runtime, source};

/// The names that Node has for this machine and for the other one.
fn platforms() -> (&'static str, &'static str) {
    if cfg!(target_arch = "aarch64") {
        ("linux-arm64", "linux-x64")
    } else {
        ("linux-x64", "linux-arm64")
    }
}

/// `npm WORDS` in a directory, without the network and with a cache of its own.
#[track_caller]
fn npm(directory: &Path, registry: &Registry, words: &[&str]) -> String {
    succeed(&mut npm_command(directory, registry, words))
}

fn npm_command(directory: &Path, registry: &Registry, words: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command
        .args(words)
        .arg("--registry")
        .arg(format!("http://{}", registry.address));
    command.args(["--no-audit", "--no-fund", "--no-update-notifier"]);
    command
        .arg("--cache")
        .arg(directory.join("cache"))
        .current_dir(directory);
    command
}

/// The packed packages, in a registry that also has one for the other platform.
fn registry(packed: &Packed) -> Registry {
    let (here, there) = platforms();
    let main = Offer::of(&packed.one(&format!("rpm-runtime-{VERSION}"), ".tgz"));
    let ours = Offer::of(&packed.one(&format!("rpm-runtime-{here}-"), ".tgz"));
    let mut manifest = ours.manifest.clone();
    manifest["name"] = json!(format!("@rpm-runtime/{there}"));
    manifest["cpu"] = json!([there.trim_start_matches("linux-")]);
    let theirs = Offer {
        manifest,
        archive: None,
    };
    for offer in [&main, &ours] {
        assert_eq!(offer.manifest["version"], VERSION);
        assert!(
            offer.manifest.get("scripts").is_none(),
            "something runs at the installation"
        );
        assert!(offer.manifest.get("dependencies").is_none());
    }
    assert_eq!(
        main.manifest["optionalDependencies"],
        json!({"@rpm-runtime/linux-arm64": VERSION, "@rpm-runtime/linux-x64": VERSION})
    );
    // npm refuses a whole project for a package that does not fit, unless it is optional.
    for (offer, confined) in [(&main, false), (&ours, true)] {
        for field in ["os", "cpu"] {
            let found = offer.manifest.get(field).is_some();
            assert_eq!(found, confined, "{field} of {}", offer.name());
        }
    }
    Registry::start(vec![main, ours, theirs])
}

fn serves(command: &Path, binary: &Path) {
    let builder = Runtime::builder()
        .pid1()
        .binary(command)
        .program(["node".into(), source("examples/node/server.js")]);
    two_workers_serve(builder, |runtime| {
        // The shell of the launcher is gone: it became the runtime, which is PID 1.
        let executable = fs::read_link(format!("/proc/{}/exe", runtime.pid())).unwrap();
        assert_eq!(executable, fs::canonicalize(binary).unwrap());
        assert!(runtime.texts().iter().any(|line| line.contains(" pid=1 ")));
    });
}

#[test]
fn npm_installs_the_package_of_this_platform_alone_and_its_command_is_pid_1() {
    let packed = Packed::new("packages-npm", &["npm"]);
    let registry = registry(&packed);
    let root = packed.place.join("app");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("package.json"), "{\"private\": true}").unwrap();
    npm(&root, &registry, &["install", "rpm-runtime"]);
    let mut downloaded = registry.downloaded();
    downloaded.sort();
    let (here, _) = platforms();
    assert_eq!(downloaded, [&format!("@rpm-runtime/{here}"), "rpm-runtime"]);
    let modules = root.join("node_modules");
    let installed = files(&modules.join("@rpm-runtime"));
    assert_eq!(installed, [modules.join("@rpm-runtime").join(here)]);
    let binary = installed[0].join("bin/rpm-runtime");
    is_the_binary(&binary);
    names_the_licences(&fs::read_to_string(installed[0].join("THIRD-PARTY")).unwrap());
    serves(&modules.join(".bin/rpm-runtime"), &binary);
    // What docs/packages.md names for images without a shell.
    serves(&binary, &binary);
}

/// A developer's machine: the project is installed there by the lock file that Linux wrote, and by itself.
#[test]
fn on_macos_npm_leaves_the_program_out_and_the_command_says_so() {
    let packed = Packed::new("packages-npm-macos", &["npm"]);
    let registry = registry(&packed);
    let root = packed.place.join("app");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("package.json"), "{\"private\": true}").unwrap();
    let modules = root.join("node_modules");
    // `--os` is for packages that are optional. The others are compared with what Node says of the machine.
    let preload = packed.place.join("macos.js");
    let script = "Object.defineProperty(process, 'platform', {value: 'darwin'}); Object.defineProperty(process, 'arch', {value: 'arm64'});";
    fs::write(&preload, script).unwrap();
    let as_macos = |word: &str| {
        let words = [word, "--os=darwin", "--cpu=arm64"];
        let mut command = npm_command(&root, &registry, &words);
        let option = format!("--require={}", preload.display());
        succeed(command.env("NODE_OPTIONS", option))
    };
    npm(&root, &registry, &["install", "rpm-runtime"]);
    as_macos("ci");
    assert!(!modules.join("@rpm-runtime").exists());

    for file in ["package-lock.json", "node_modules"].map(|name| root.join(name)) {
        if file.is_dir() {
            fs::remove_dir_all(file).unwrap();
        } else {
            fs::remove_file(file).unwrap();
        }
    }
    as_macos("install");
    assert!(!modules.join("@rpm-runtime").exists());

    // What the launcher sees of macOS.
    let tools = packed.place.join("tools");
    fs::create_dir(&tools).unwrap();
    let uname = tools.join("uname");
    let script = "#!/bin/sh\n[ \"$1\" = -s ] && echo Darwin || echo arm64\n";
    fs::write(&uname, script).unwrap();
    fs::set_permissions(&uname, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", tools.display());
    for (path, said) in [
        (
            path.as_str(),
            "rpm-runtime: it runs on Linux (x86_64, aarch64) alone; there is no package for Darwin on arm64\n".to_owned(),
        ),
        (
            "/usr/bin:/bin",
            format!(
                "rpm-runtime: the package @rpm-runtime/{} is missing. Install without --omit=optional, and on the platform where it will run.\n",
                platforms().0
            ),
        ),
    ] {
        let mut command = Command::new(modules.join(".bin/rpm-runtime"));
        let failed = output(command.env("PATH", path));
        assert_eq!(failed.status.code(), Some(127));
        assert_eq!(String::from_utf8_lossy(&failed.stderr), said);
    }
}

#[test]
fn npm_installs_it_globally_and_its_command_is_pid_1() {
    let packed = Packed::new("packages-npm-global", &["npm"]);
    let registry = registry(&packed);
    let root = packed.place.join("usr");
    fs::create_dir(&root).unwrap();
    npm(
        &root,
        &registry,
        &[
            "install",
            "--global",
            "--prefix",
            root.to_str().unwrap(),
            "rpm-runtime",
        ],
    );
    let mut below = vec![root.join("lib/node_modules")];
    let mut binaries = Vec::<PathBuf>::new();
    while let Some(directory) = below.pop() {
        for path in files(&directory) {
            if path.is_dir() {
                below.push(path);
            } else if path.ends_with("bin/rpm-runtime")
                && !path.ends_with("rpm-runtime/bin/rpm-runtime")
            {
                binaries.push(path);
            }
        }
    }
    assert_eq!(binaries.len(), 1, "{binaries:?}");
    is_the_binary(&binaries[0]);
    serves(&root.join("bin/rpm-runtime"), &binaries[0]);
}
