//! Log files, including rotated and compressed ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::lines_of;

/// The active file, if it exists, and its rotated files (`NAME.20261122T044012Z`, then `NAME.20261122T044012Z.1`, with
/// `.gz` if compressed), the oldest first.
pub fn log_files(active: &Path) -> Vec<PathBuf> {
    let name = active.file_name().unwrap().to_str().unwrap();
    let entries = fs::read_dir(active.parent().unwrap()).unwrap();
    let mut rotated: Vec<((String, u64), PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let rest = path.file_name()?.to_str()?;
            let rest = rest.strip_prefix(name)?.strip_prefix('.')?;
            let (time, number) = rest.split_once('Z')?;
            let number = match number.strip_suffix(".gz").unwrap_or(number) {
                "" => 0,
                number => number.strip_prefix('.')?.parse().ok()?,
            };
            // While the original is removed after compression, both exist.
            let twice = path.extension()? == "gz" && path.with_extension("").exists();
            let key = (time.to_owned(), number);
            (!twice).then_some((key, path))
        })
        .collect();
    rotated.sort();
    let mut files: Vec<PathBuf> = rotated.into_iter().map(|(_, path)| path).collect();
    files.extend(active.exists().then(|| active.to_owned()));
    files
}

/// The content of the files in order.
#[track_caller]
pub fn log_bytes(active: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for path in log_files(active) {
        let bytes = if path.extension().is_some_and(|end| end == "gz") {
            let output = Command::new("gzip").arg("-dc").arg(&path).output();
            let output = output.unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {said}", path.display());
            output.stdout
        } else {
            fs::read(&path).unwrap()
        };
        let whole = bytes.is_empty() || bytes.last() == Some(&b'\n');
        assert!(whole, "{} ends in mid-line", path.display());
        all.extend(bytes);
    }
    all
}

/// The lines of the files in order.
#[track_caller]
pub fn log_lines(active: &Path) -> Vec<String> {
    lines_of(&log_bytes(active))
}
