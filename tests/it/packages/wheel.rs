//! The wheel, installed by pip into an environment of its own.

use std::fs;
use std::process::Command;

use super::{
    Packed, VERSION, has_pages_and_words, is_the_binary, names_the_licences, succeed,
    two_workers_serve,
};
use crate::harness::{Runtime, source};

#[test]
fn pip_installs_it_into_an_environment_and_it_serves_there() {
    let packed = Packed::new("packages-wheel", &["wheel"]);
    let wheel = packed.one("rpm_runtime-", ".whl");
    let root = packed.place.join("venv");
    succeed(
        Command::new("python3")
            .args(["-m", "venv", "--without-pip"])
            .arg(&root),
    );
    let python = root.join("bin/python");
    let pip = |words: &[&str]| {
        let mut command = Command::new("python3");
        command
            .args(["-m", "pip", "--disable-pip-version-check", "--python"])
            .arg(&python);
        succeed(command.args(words).env("PIP_NO_INPUT", "1"))
    };
    pip(&[
        "install",
        "--no-index",
        "--no-deps",
        wheel.to_str().unwrap(),
    ]);
    // pip compares nothing with RECORD when it installs; this reads the file.
    let shown = pip(&["show", "--files", "rpm-runtime"]);
    assert!(shown.contains(&format!("Version: {VERSION}\n")), "{shown}");
    assert!(shown.contains("bin/rpm-runtime\n"), "{shown}");
    let binary = root.join("bin/rpm-runtime");
    is_the_binary(&binary);
    has_pages_and_words(&root.join("share"), &root.join("bin/rpmctl"));
    let found = succeed(
        Command::new("find")
            .arg(&root)
            .args(["-name", "THIRD-PARTY"]),
    );
    names_the_licences(&fs::read_to_string(found.trim()).unwrap());

    let builder = Runtime::builder()
        .binary(&binary)
        .program([&python, &source("examples/python/server.py")]);
    two_workers_serve(builder, |_| ());

    pip(&["uninstall", "--yes", "rpm-runtime"]);
    assert!(!binary.exists());
}
