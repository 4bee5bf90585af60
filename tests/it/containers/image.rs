//! Images for the containers: the static runtime with payloads in an otherwise empty image.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::engine::{Engine, text};
use crate::harness::{asio_server, static_runtime};

const PAYLOADS: &str = "localhost/rpm-payloads";

/// The content of a container's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// Only the runtime and static payloads.
    Empty,
    /// Also this machine's `/usr`, read-only: interpreters and shared libraries.
    Machine,
}

impl Root {
    /// Arguments for `podman run`.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Empty => &[],
            Self::Machine => &[
                "--volume",
                "/usr:/usr:ro",
                "--volume",
                "/etc/alternatives:/etc/alternatives:ro",
            ],
        }
    }
}

fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The image with all payloads, built once for each state of its parts.
pub fn payloads(engine: &Engine) -> &'static str {
    let _lock = engine.lock();
    let runtime = static_runtime();
    let examples = package().join("examples");
    let parts = [
        "echo_server.rs",
        "go/main.go",
        "node/server.js",
        "node/package.json",
        "python/server.py",
        "ruby/server.rb",
        "../tests/payloads/asio_server.cpp",
    ];
    let mut state = String::new();
    for part in parts
        .map(|part| examples.join(part))
        .iter()
        .chain([&runtime])
    {
        let data = fs::metadata(part).unwrap();
        writeln!(
            state,
            "{} {} {:?}",
            part.display(),
            data.len(),
            data.modified().unwrap()
        )
        .unwrap();
    }
    let stamp = engine.directory().join("stamp");
    if fs::read_to_string(&stamp).is_ok_and(|old| old == state) {
        return PAYLOADS;
    }

    let context = engine.directory().join("context");
    // The directory may not exist yet.
    let _ = fs::remove_dir_all(&context);
    for directory in ["app", "usr", "etc/alternatives"] {
        fs::create_dir_all(context.join(directory)).unwrap();
    }
    for link in ["bin", "lib", "lib64"] {
        symlink(format!("usr/{link}"), context.join(link)).unwrap();
    }
    fs::copy(&runtime, context.join("rpm-runtime")).unwrap();
    for part in &parts[2..parts.len() - 1] {
        let name = Path::new(part).file_name().unwrap();
        fs::copy(examples.join(part), context.join("app").join(name)).unwrap();
    }
    compile_rust(
        &examples.join("echo_server.rs"),
        &context.join("app/echo_server"),
    );
    compile_go(
        &examples.join("go"),
        &context.join("app/go_server"),
        engine.directory(),
    );
    fs::copy(asio_server(), context.join("app/asio_server")).unwrap();
    let file = "FROM scratch\nCOPY . /\nENV PATH=/usr/local/bin:/usr/bin:/bin HOME=/tmp\nWORKDIR /app\nENTRYPOINT [\"/rpm-runtime\"]\n";
    fs::write(context.join("Dockerfile"), file).unwrap();
    engine.build(PAYLOADS, &context);
    fs::write(stamp, state).unwrap();
    PAYLOADS
}

fn compile_rust(source: &Path, target: &Path) {
    let mut command = Command::new("rustc");
    command
        .args([
            "--edition",
            "2024",
            "-O",
            "-C",
            "target-feature=+crt-static",
            "-o",
        ])
        .arg(target)
        .arg(source);
    text(&command.stdin(Stdio::null()).output().unwrap());
}

fn compile_go(source: &Path, target: &Path, directory: &Path) {
    let mut command = Command::new("go");
    command
        .args(["build", "-o"])
        .arg(target)
        .arg(".")
        .current_dir(source);
    command
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false")
        .env("GOCACHE", directory.join("go"));
    let output = command.stdin(Stdio::null()).output();
    text(&output.unwrap_or_else(|error| panic!("go: {error}; run scripts/test-deps")));
}

/// Builds the package's own Dockerfile with this machine's toolchain; returns the tag.
pub fn build_dockerfile(engine: &Engine) -> &'static str {
    const TAG: &str = "localhost/rpm-runtime:test";
    let mut command = Command::new("scripts/image");
    command.args(["--local", TAG]).current_dir(package());
    engine.configure(&mut command);
    text(&command.output().unwrap());
    TAG
}
