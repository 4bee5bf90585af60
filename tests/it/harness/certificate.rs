//! Certificates that nobody would believe.

use std::path::PathBuf;
use std::process::Command;

use super::scratch;

/// A directory with a key and a self-signed certificate.
pub fn certificate(name: &str) -> PathBuf {
    let directory = scratch(name);
    let mut openssl = Command::new("openssl");
    openssl.args("req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1".split(' '));
    openssl.args("-subj /CN=localhost -days 2 -keyout key -out cert".split(' '));
    let output = openssl.current_dir(&directory).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    directory
}
