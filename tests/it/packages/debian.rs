//! The Debian package, installed by dpkg into an empty root.

use std::ffi::OsString;
use std::fs;
use std::process::Command;

use super::{Packed, VERSION, is_the_binary, names_the_licences, succeed, two_workers_serve};
use crate::harness::{Runtime, go_server};

#[test]
fn installed_into_an_empty_root_it_is_pid_1_there() {
    let packed = Packed::new("packages-deb", &["deb"]);
    let package = packed.one("rpm-runtime_", ".deb");
    let root = packed.place.join("root");
    for directory in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "proc", "dev"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for file in ["var/lib/dpkg/status", "dev/null"] {
        fs::write(root.join(file), "").unwrap();
    }
    let dpkg = |words: &[&str]| {
        let mut root_option = OsString::from("--root=");
        root_option.push(&root);
        succeed(Command::new("dpkg").arg(root_option).args(words))
    };
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
    let papers = root.join("usr/share/doc/rpm-runtime");
    let ours = fs::read_to_string(papers.join("copyright")).unwrap();
    assert!(ours.contains("Permission is hereby granted"), "{ours}");
    let others = papers.join("THIRD-PARTY.gz");
    names_the_licences(&succeed(Command::new("gzip").arg("-dc").arg(others)));

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
