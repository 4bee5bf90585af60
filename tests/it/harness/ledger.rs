//! The ledgers of the writers: `examples/writer.rs --ledger`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::scratch;

/// The directory with the ledgers of all writers of a test.
#[derive(Debug)]
pub struct Ledger(PathBuf);

impl Ledger {
    pub fn new(name: &str) -> Self {
        Self(scratch(&format!("ledger-{name}")))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The number of completely written lines, by (writer, stream).
    pub fn written(&self) -> BTreeMap<(String, String), u64> {
        let mut written = BTreeMap::new();
        for entry in fs::read_dir(&self.0).unwrap() {
            let entry = entry.unwrap();
            let id = entry.file_name().into_string().unwrap();
            let bytes = fs::read(entry.path()).unwrap();
            // Created but still empty: nothing was written.
            for (stream, number) in ["out", "err"].into_iter().zip(bytes.chunks_exact(8)) {
                let lines = u64::from_le_bytes(number.try_into().unwrap());
                written.insert((id.clone(), stream.to_owned()), lines);
            }
        }
        written
    }

    /// All lines of all writers.
    pub fn total(&self) -> u64 {
        self.written().values().sum()
    }

    /// The PIDs of the writers, with `--unique`.
    pub fn pids(&self) -> Vec<i32> {
        let written = self.written();
        let outs = written.keys().filter(|(_, stream)| stream == "out");
        outs.map(|(id, _)| id.split('.').nth(1).unwrap().parse().unwrap())
            .collect()
    }
}
