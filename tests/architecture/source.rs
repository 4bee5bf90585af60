//! The files of src, and what they name.

use std::fs;
use std::path::{Path, PathBuf};

use crate::layers::{LAYERS, Layer};

pub struct Source {
    /// Relative to `src`.
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    pub fn layer(&self) -> Option<&'static Layer> {
        let top = self.path.components().next()?;
        let top = Path::new(top.as_os_str()).file_stem()?.to_str()?;
        LAYERS.iter().find(|layer| layer.name == top)
    }

    /// The text without whole-line and trailing comments.
    pub fn code(&self) -> String {
        let lines = self.text.lines().map(|line| match line.trim_start() {
            comment if comment.starts_with("//") => "",
            _ => line.split(" // ").next().unwrap_or_default(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a directory.
pub fn rust_files(below: &Path) -> Vec<PathBuf> {
    fn visit(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    visit(below, &mut found);
    found.sort();
    found
}

pub fn sources() -> Vec<Source> {
    let src = root().join("src");
    let found = rust_files(&src);
    assert!(found.len() > 30, "only {} files in src", found.len());
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(&src).unwrap().to_owned(),
    };
    found.into_iter().map(read).collect()
}

pub fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Every path that begins with `root::`, without that prefix and with groups expanded: `crate::{a, b::{c, d}}` gives
/// `a`, `b::c` and `b::d`.
pub fn paths(code: &str, root: &str) -> Vec<String> {
    let start = format!("{root}::");
    let begins = |at: usize| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|letter| !is_word(letter) && letter != ':')
    };
    let places = code
        .match_indices(&start)
        .filter(|(at, _)| begins(*at))
        .map(|(at, _)| at + start.len());
    let mut found = Vec::new();
    for at in places {
        tree(&code[at..], "", &mut found);
    }
    found
}

/// Parses one tree of a `use`, or one path; returns the text after it.
pub fn tree<'a>(mut rest: &'a str, before: &str, found: &mut Vec<String>) -> &'a str {
    let mut path = before.to_owned();
    loop {
        rest = rest.trim_start();
        if let Some(mut group) = rest.strip_prefix('{') {
            loop {
                group = group.trim_start();
                if let Some(behind) = group.strip_prefix('}') {
                    return behind;
                }
                group = tree(group, &path, found);
                // A name may be followed by `as another`.
                group = &group[group.find([',', '}']).unwrap_or(group.len())..];
                if group.is_empty() {
                    return group;
                }
                group = group.strip_prefix(',').unwrap_or(group);
            }
        }
        let end = rest
            .find(|letter| !is_word(letter) && letter != '*')
            .unwrap_or(rest.len());
        if !path.is_empty() {
            path.push_str("::");
        }
        path.push_str(&rest[..end]);
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(behind) if end > 0 && !behind.starts_with('<') => rest = behind,
            _ => {
                found.push(path);
                return rest;
            }
        }
    }
}

pub fn within(path: &str, of: &str) -> bool {
    path.strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

pub fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Names of the packages in `[dependencies]`, in the form used in code.
pub fn packages() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = manifest.split("\n[dependencies]\n").nth(1).unwrap();
    let table = table.split("\n[").next().unwrap();
    let names = table
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.replace('-', "_"));
    names.collect()
}
