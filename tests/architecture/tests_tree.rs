//! The tree of the tests: which binaries exist, what belongs to which group of nextest, and that every promise in
//! docs/promises.md and every program in docs/programs.md names existing tests.

use std::fs;
use std::path::PathBuf;

use super::source::{none, paths, root, rust_files, within};

/// The test binaries. A test with processes belongs to `it`, which has the harness and the groups.
const BINARIES: [&str; 4] = ["architecture", "fleet_walk", "fuzz_corpus", "it"];

/// Folders of `tests/it` that are groups of nextest. Each has a kind of test that must not be elsewhere, if that can be
/// recognised by what the test uses.
const GROUPS: [(&str, Option<&str>); 3] = [
    ("containers", Some("containers")),
    ("load", Some("harness::load")),
    ("stories", None),
];

/// Every file of `tests/it`, with its path relative to it.
fn process_tests() -> Vec<(PathBuf, String)> {
    let it = root().join("tests/it");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(&it).unwrap().to_owned(), text)
    };
    let found: Vec<_> = rust_files(&it).into_iter().map(read).collect();
    assert!(found.len() > 60, "only {} files in tests/it", found.len());
    found
}

pub(super) fn functions(text: &str) -> impl Iterator<Item = &str> {
    let begun = text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub ").unwrap_or(line);
        line.strip_prefix("fn ")
    });
    begun.filter_map(|line| line.split('(').next())
}

#[test]
fn process_tests_are_one_binary() {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").exists() {
            found.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort();
    assert_eq!(found, BINARIES);
}

#[test]
fn a_test_lies_in_the_folder_of_its_group() {
    let nextest = fs::read_to_string(root().join(".config/nextest.toml")).unwrap();
    let mut faults = Vec::new();
    for (folder, mark) in GROUPS {
        let rule =
            format!("filter = \"binary(it) & test(/^{folder}::/)\"\ntest-group = \"{folder}\"");
        if !nextest.contains(&rule) {
            faults.push(format!(".config/nextest.toml has no group {folder}"));
        }
        for (path, text) in process_tests() {
            let mut reached = paths(&text, "crate");
            let short = paths(&text, "harness").into_iter();
            reached.extend(short.map(|path| format!("harness::{path}")));
            // The tests of `kernels` run alone, on machines of their own.
            let own = [folder, "harness", "kernels"];
            let free = own.iter().any(|own| path.starts_with(own));
            let uses = |mark| reached.iter().any(|path| within(path, mark));
            if !free && (mark.is_some_and(uses) || uses(folder)) {
                faults.push(format!("{}: a test of {folder}", path.display()));
            }
            // A path through `super::super` would escape the check above.
            if text.contains("super::super::") {
                faults.push(format!("{}: super::super::", path.display()));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_promise_has_its_tests() {
    let page = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let mut promises = 0;
    let mut tests = 0;
    let mut faults = Vec::new();
    // A promise and its tests form one list item.
    let begins = |line: &&str| line.split_once(". **").is_some();
    for line in page.lines() {
        if begins(&line) {
            if promises > 0 && tests == 0 {
                faults.push(format!("no test is named before: {line}"));
            }
            promises += 1;
            tests = 0;
            if !line.starts_with(&format!("{promises}. ")) {
                faults.push(format!("it has another number than {promises}: {line}"));
            }
        }
        let Some(name) = line.trim_start().strip_prefix("- `") else {
            continue;
        };
        tests += 1;
        let name = name.strip_suffix('`').unwrap_or(name);
        let (module, function) = name.rsplit_once("::").unwrap();
        if !is_test(module, function) {
            faults.push(format!("{name} is not there"));
        }
    }
    assert!(promises >= 20, "{promises} promises");
    assert!(tests > 0, "the last promise names no test");
    none(&faults);
}

/// Each row of docs/programs.md is held by tests that exist, or says when it was seen by hand.
#[test]
fn every_program_has_its_tests_or_was_seen() {
    let page = fs::read_to_string(root().join("docs/programs.md")).unwrap();
    let mut rows = 0;
    let mut faults = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let Some(shown) = line.trim_end_matches(" |").rsplit(" | ").next() else {
            continue;
        };
        if shown == "shown by" {
            continue;
        }
        rows += 1;
        let quoted = shown.split('`').skip(1).step_by(2);
        let names: Vec<&str> = quoted.filter(|word| word.contains("::")).collect();
        if names.is_empty() && !shown.starts_with("by hand, 20") {
            faults.push(format!("neither a test nor a day: {line}"));
        }
        for name in names {
            let parts = name.rsplit_once("::");
            if !parts.is_some_and(|(module, function)| is_test(module, function)) {
                faults.push(format!("{name} is not there"));
            }
        }
    }
    assert!(rows > 30, "{rows} rows");
    none(&faults);
}

/// Whether this test exists in the module of `tests/it`, or in the binary of that name.
fn is_test(module: &str, function: &str) -> bool {
    let path = module.replace("::", "/");
    let tests = root().join("tests");
    let places = [
        tests.join("it").join(format!("{path}.rs")),
        tests.join(format!("{path}.rs")),
        tests.join(&path).join("main.rs"),
    ];
    let text = places
        .iter()
        .find_map(|place| fs::read_to_string(place).ok());
    text.is_some_and(|text| functions(&text).any(|name| name == function))
}
