mod entries;
mod pages;
mod real;
mod store;

use std::fs;
use std::path::{Path, PathBuf};

use super::{Content, FileName, Mode, Pages, Reading, StoreLimits};
use crate::exposition::{Family, Parsed};

/// A file as a process would write it, produced only from the documented format.
struct Written {
    bytes: Vec<u8>,
    /// The end of each entry.
    ends: Vec<usize>,
    with_time: bool,
}

impl Written {
    /// `with_time`: as prometheus_client 0.18 and later.
    fn new(with_time: bool) -> Self {
        let mut written = Self {
            bytes: vec![0; 8],
            ends: Vec::new(),
            with_time,
        };
        written.count();
        written
    }

    fn of(entries: &[(&str, f64)]) -> Vec<u8> {
        let mut written = Self::new(true);
        for (key, value) in entries {
            written.entry(key.as_bytes(), *value, 0.0);
        }
        written.bytes
    }

    fn entry(&mut self, key: &[u8], value: f64, time: f64) {
        let len = i32::try_from(key.len()).unwrap();
        self.bytes.extend(len.to_ne_bytes());
        self.bytes.extend(key);
        self.bytes.push(b' ');
        while !self.bytes.len().is_multiple_of(8) {
            self.bytes.push(b' ');
        }
        self.bytes.extend(value.to_ne_bytes());
        if self.with_time {
            self.bytes.extend(time.to_ne_bytes());
        }
        self.ends.push(self.bytes.len());
        self.count();
    }

    fn count(&mut self) {
        let used = i32::try_from(self.bytes.len()).unwrap();
        self.say_used(used);
    }

    fn say_used(&mut self, used: i32) {
        self.bytes[..4].copy_from_slice(&used.to_ne_bytes());
    }
}

/// A key without labels.
fn key(family: &str, suffix: &str) -> String {
    format!("[\"{family}\", \"{family}{suffix}\", {{}}, \"Help.\"]")
}

/// A key with the label `l`.
fn labelled(family: &str, suffix: &str, label: &str) -> String {
    format!("[\"{family}\", \"{family}{suffix}\", {{\"l\": \"{label}\"}}, \"Help.\"]")
}

/// The key of a bucket.
fn bucket(family: &str, le: &str) -> String {
    format!("[\"{family}\", \"{family}_bucket\", {{\"le\": \"{le}\"}}, \"Help.\"]")
}

fn name(pid: u32, content: Content) -> FileName {
    FileName { pid, content }
}

fn read(files: &[(FileName, &[u8])], limits: StoreLimits) -> Reading {
    let mut pages = Pages::new(limits);
    for (name, bytes) in files {
        pages.add(*name, bytes);
    }
    pages.finish()
}

/// The page of a process that has one file.
fn one(content: Content, bytes: &[u8]) -> Parsed {
    let mut reading = read(&[(name(1, content), bytes)], StoreLimits::default());
    reading.processes.remove(&1).unwrap()
}

/// Every sample, similar to text 0.0.4.
fn lines(families: &[Family]) -> Vec<String> {
    let mut lines = Vec::new();
    for family in families {
        for sample in &family.samples {
            let (name, suffix) = (&family.name, sample.suffix.text());
            lines.push(format!(
                "{name}{suffix}{:?} {}",
                sample.labels, sample.value
            ));
        }
    }
    lines
}

/// A directory that is removed on drop.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("rpm-multiproc-{name}-{}", std::process::id()));
        // Left by an earlier process with our PID.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let names = fs::read_dir(&self.0).unwrap().map(name);
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Files of prometheus_client from before it stored times of values, and from before it stored help texts.
fn older(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/multiproc")
        .join(version)
}
