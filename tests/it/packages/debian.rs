//! The Debian package, installed by dpkg into an empty root.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{
    Packed, VERSION, files, has_pages_and_words, is_the_binary, names_the_licences, succeed,
    two_workers_serve,
};
use crate::harness::{Runtime, go_server};

/// An empty root for dpkg.
fn empty(root: &Path) {
    for directory in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "proc", "dev"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for file in ["var/lib/dpkg/status", "dev/null"] {
        fs::write(root.join(file), "").unwrap();
    }
}

/// `dpkg WORDS` in a root.
#[track_caller]
fn dpkg(root: &Path, words: &[&str]) -> String {
    let mut root_option = OsString::from("--root=");
    root_option.push(root);
    succeed(Command::new("dpkg").arg(root_option).args(words))
}

/// The licences and the bill of materials, as they are installed.
#[track_caller]
fn has_its_papers(root: &Path) {
    let read = |path: &str| succeed(Command::new("gzip").arg("-dc").arg(root.join(path)));
    let ours = root.join("usr/share/doc/rpm-runtime/copyright");
    let ours = fs::read_to_string(ours).unwrap();
    assert!(ours.contains("Permission is hereby granted"), "{ours}");
    let others = "usr/share/rpm-runtime/THIRD-PARTY.gz";
    assert!(ours.contains(&format!("\n/{others}.\n")), "{ours}");
    names_the_licences(&read(others));
    let bill = read("usr/share/rpm-runtime/sbom.cdx.json.gz");
    let bill: serde_json::Value = serde_json::from_str(&bill).unwrap();
    assert_eq!(bill["metadata"]["component"]["version"], VERSION);
}

/// What the images debian:*-slim tell dpkg.
#[test]
fn where_documentation_is_left_out_the_licences_and_the_bill_of_materials_are_there() {
    let packed = Packed::new("packages-deb-slim", &["deb"]);
    let package = packed.one("rpm-runtime_", ".deb");
    let root = packed.place.join("root");
    empty(&root);
    let words = [
        "--path-exclude=/usr/share/doc/*",
        "--path-include=/usr/share/doc/*/copyright",
        "--install",
        package.to_str().unwrap(),
    ];
    dpkg(&root, &words);
    let left = files(&root.join("usr/share/doc/rpm-runtime"));
    assert_eq!(left, [root.join("usr/share/doc/rpm-runtime/copyright")]);
    has_its_papers(&root);
    for line in dpkg(&root, &["--verify", "rpm-runtime"]).lines() {
        let path = line.strip_prefix("missing ").map(str::trim_start);
        let documentation = path.is_some_and(|path| path.starts_with("/usr/share/doc/"));
        assert!(documentation, "{line}");
    }
    dpkg(&root, &["--purge", "rpm-runtime"]);
    assert!(!root.join("usr").exists(), "the removal leaves something");
}

#[test]
fn installed_into_an_empty_root_it_is_pid_1_there() {
    let packed = Packed::new("packages-deb", &["deb"]);
    let package = packed.one("rpm-runtime_", ".deb");
    let root = packed.place.join("root");
    empty(&root);
    let dpkg = |words: &[&str]| dpkg(&root, words);
    dpkg(&["--install", package.to_str().unwrap()]);
    let status = dpkg(&["--status", "rpm-runtime"]);
    for line in [
        "Status: install ok installed",
        "Multi-Arch: foreign",
        &format!("Version: {VERSION}-1"),
    ] {
        assert!(
            status.lines().any(|found| found == line),
            "no {line:?}: {status}"
        );
    }
    assert!(!status.contains("Depends:"), "{status}");
    // It compares every file with md5sums and names those that differ.
    assert_eq!(dpkg(&["--verify", "rpm-runtime"]), "");
    is_the_binary(&root.join("usr/bin/rpm-runtime"));
    has_pages_and_words(&root.join("usr/share"), &root.join("usr/bin/rpmctl"));
    has_its_papers(&root);

    let server = go_server(&root);
    assert_eq!(server, root.join("server"));
    // A mount namespace with what every container has: /proc and /dev/null.
    let script = "mount -t proc proc \"$0/proc\" && mount --bind /dev/null \"$0/dev/null\" && exec chroot \"$0\" \"$@\"";
    let enter = ["unshare", "--mount", "sh", "-c", script].map(OsString::from);
    let builder = Runtime::builder()
        .pid1()
        .under(enter.into_iter().chain([root.clone().into()]))
        .binary("/usr/bin/rpm-runtime")
        .program(["/server"]);
    two_workers_serve(builder, |runtime| {
        let executable = fs::read_link(format!("/proc/{}/exe", runtime.pid())).unwrap();
        assert!(
            executable.ends_with("usr/bin/rpm-runtime"),
            "{executable:?}"
        );
        assert!(runtime.texts().iter().any(|line| line.contains(" pid=1 ")));
    });

    dpkg(&["--purge", "rpm-runtime"]);
    assert!(!root.join("usr").exists(), "the removal leaves something");
}
