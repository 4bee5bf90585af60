//! A Java program on Netty's native transport, compiled here.

use std::ffi::OsString;
use std::process::Command;

use super::{scratch, source};

/// The command of `tests/payloads/netty/Server.java`.
#[track_caller]
pub fn netty_server() -> Vec<OsString> {
    let classes = scratch("netty");
    let parts = [
        "buffer",
        "codec",
        "codec-http",
        "common",
        "handler",
        "resolver",
        "transport",
        "transport-native-epoll",
        "transport-native-unix-common",
    ];
    let jars = parts.map(|part| format!("/usr/share/java/netty-{part}.jar"));
    let path = format!("{}:{}", classes.display(), jars.join(":"));
    let output = Command::new("javac")
        .args(["-cp", &path, "-d"])
        .arg(&classes)
        .arg(source("tests/payloads/netty/Server.java"))
        .output()
        .unwrap_or_else(|error| panic!("javac: {error}; run scripts/test-deps"));
    assert!(
        output.status.success(),
        "{}; scripts/test-deps installs what it needs",
        String::from_utf8_lossy(&output.stderr)
    );
    let library = format!("-Djava.library.path={}", source("target/netty").display());
    ["java", &library, "-cp", &path, "Server"]
        .map(OsString::from)
        .into()
}
