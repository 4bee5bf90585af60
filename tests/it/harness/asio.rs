//! C++ programs on Asio, compiled here.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::source;

/// The program of `tests/payloads/asio_server.cpp`.
#[track_caller]
pub fn asio_server() -> PathBuf {
    cpp_program(&source("tests/payloads/asio_server.cpp"), "asio")
}

/// A static program of one file. Compiled once, because that takes some seconds; `name` is its directory below `target/tmp`.
#[track_caller]
pub fn cpp_program(from: &Path, name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).unwrap();
    // Released on drop.
    let lock = File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    let (target, new) = (directory.join("server"), directory.join("new"));
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    if changed(&target) >= changed(from) {
        return target;
    }
    let words = [
        "-std=c++17",
        "-O1",
        "-DASIO_STANDALONE",
        "-pthread",
        "-static",
        "-o",
    ];
    let words = words.map(OsString::from).into_iter();
    let output = Command::new("g++")
        .args(words.chain([new.clone().into(), from.into()]))
        .output()
        .unwrap_or_else(|error| panic!("g++: {error}; run scripts/test-deps"));
    assert!(
        output.status.success(),
        "{}; scripts/test-deps installs what it needs",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(new, &target).unwrap();
    target
}
