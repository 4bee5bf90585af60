//! The release that `make static` built.

use std::path::PathBuf;
use std::{env, fs};

use super::source;

/// The static binary; fails if it is missing or older than the sources.
#[track_caller]
pub fn static_runtime() -> PathBuf {
    let path = env::var_os("RPM_STATIC_BINARY")
        .map_or_else(|| source("target/static/rpm-runtime"), PathBuf::from);
    let built = fs::metadata(&path).and_then(|data| data.modified());
    let built =
        built.unwrap_or_else(|error| panic!("{}: {error}; run `make static`", path.display()));
    let mut sources = ["src", "Cargo.toml", "Cargo.lock"].map(source).to_vec();
    while let Some(source) = sources.pop() {
        if source.is_dir() {
            sources.extend(
                fs::read_dir(&source)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            let changed = fs::metadata(&source).unwrap().modified().unwrap();
            assert!(
                changed <= built,
                "{} is older than {}; run `make static`",
                path.display(),
                source.display()
            );
        }
    }
    path
}
