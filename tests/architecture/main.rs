//! Tests of the code's structure: the arrows between the layers, what each layer may use, where `unsafe` is allowed,
//! the length of files, that docs/configuration.md is up to date; and the tree of the tests.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod documents;
mod layers;
mod source;
mod tests_tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rpm_runtime::config::{Definition, settings};

use layers::{CLOSED, NOT_PURE, PROGRAMS, PURE, PURE_INSIDE, PURE_OUTSIDE, PURE_PARTS};
use source::{Source, none, packages, paths, root, sources, within};

/// Most lines of a file. A longer file must be split by concept.
const MOST_LINES: usize = 400;

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let code = "use crate::{a, b::{c as d, e::*}, f};\nlet x = crate::g::h(1);\nfn k(z: mycrate::l) -> crate::m { \
                Vec::<crate::n::O>::new() }";
    assert_eq!(
        paths(code, "crate"),
        ["a", "b::c", "b::e::*", "f", "g::h", "m", "n::O"]
    );
}

#[test]
fn arrows_between_the_layers_go_one_way() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(layer) = source.layer() else {
            assert_eq!(source.path, Path::new("lib.rs"), "a layer without a row");
            continue;
        };
        let code = source.code();
        let mut used = paths(&code, "rpm_runtime");
        if !PROGRAMS.contains(&layer.name) {
            used.extend(paths(&code, "crate"));
        }
        for path in used {
            let own = within(&path, layer.name);
            let open = layer.inside.iter().any(|of| within(&path, of)) && !within(&path, CLOSED);
            if !own && !open {
                faults.push(format!("{}: crate::{path}", source.path.display()));
            }
        }
    }
    none(&faults);
}

#[test]
fn nobody_climbs_out_of_its_layer() {
    let mut faults = Vec::new();
    for source in sources() {
        let code = source.code();
        let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap();
        // `mod.rs` belongs to its directory.
        let name = source.path.file_stem().unwrap().to_str().unwrap();
        let depth = source.path.components().count() - usize::from(name == "mod");
        let climb = "super::".repeat(depth);
        if source.layer().is_some() && code.contains(&climb) {
            faults.push(format!("{}: {climb}", source.path.display()));
        }
    }
    none(&faults);
}

#[test]
fn each_layer_uses_its_packages_only() {
    let packages = packages();
    assert!(packages.iter().any(|name| name == "tracing_appender"));
    let mut faults = Vec::new();
    for source in sources() {
        let Some(layer) = source.layer() else {
            continue;
        };
        let code = source.code();
        for package in &packages {
            let used = !paths(&code, package).is_empty();
            if used && !layer.outside.contains(&package.as_str()) {
                faults.push(format!("{}: {package}", source.path.display()));
            }
        }
    }
    none(&faults);
}

#[test]
fn the_pure_layers_have_no_clock_no_file_and_no_process() {
    let mut faults = Vec::new();
    for source in sources() {
        let pure = source
            .layer()
            .is_some_and(|layer| ["model", "policy"].contains(&layer.name));
        let part = PURE_PARTS.iter().any(|part| source.path.starts_with(part));
        let excepted = NOT_PURE.iter().any(|file| source.path == Path::new(file));
        if (!pure && !part) || excepted {
            continue;
        }
        for path in paths(&source.code(), "std") {
            let path = format!("std::{path}");
            if !PURE.iter().any(|of| within(&path, of)) {
                faults.push(format!("{}: {path}", source.path.display()));
            }
        }
    }
    none(&faults);
}

#[test]
fn the_pure_parts_use_nothing_that_is_not_pure() {
    let packages = packages();
    let mut faults = Vec::new();
    for source in sources() {
        let part = PURE_PARTS.iter().any(|part| source.path.starts_with(part));
        let excepted = NOT_PURE.iter().any(|file| source.path == Path::new(file));
        let tests = source
            .path
            .iter()
            .any(|name| name == "tests" || name == "tests.rs");
        if !part || excepted || tests {
            continue;
        }
        let code = source.code();
        let path = source.path.display();
        for used in paths(&code, "crate") {
            if !PURE_INSIDE.iter().any(|of| within(&used, of)) {
                faults.push(format!("{path}: crate::{used}"));
            }
        }
        for package in &packages {
            let used = !paths(&code, package).is_empty();
            if used && !PURE_OUTSIDE.contains(&package.as_str()) {
                faults.push(format!("{path}: {package}"));
            }
        }
    }
    none(&faults);
}

#[test]
fn unsafe_stands_in_sys_only() {
    let mut faults = Vec::new();
    for source in sources() {
        let path = source.path.display();
        let code = source.code();
        if source.path == Path::new("lib.rs") {
            let lines: Vec<&str> = code.lines().collect();
            for pair in lines.windows(2) {
                let name = pair[1].strip_prefix("pub ").unwrap_or(pair[1]);
                let module = name.starts_with("mod ") && name != "mod sys;";
                if module && pair[0] != "#[forbid(unsafe_code)]" {
                    faults.push(format!("{path}: {} may hold unsafe code", pair[1]));
                }
            }
        } else if source.path.ends_with("main.rs") {
            if !code.contains("#![forbid(unsafe_code)]") {
                faults.push(format!("{path}: may hold unsafe code"));
            }
        } else if code.contains("unsafe_code") {
            // The compiler requires the reason, and it is the same for the whole file.
            let dense: String = code.split_whitespace().collect();
            let head = dense.contains("#![expect(unsafe_code,reason=");
            if !source.path.starts_with("sys") || !head || source.path.ends_with("mod.rs") {
                faults.push(format!("{path}: speaks of unsafe_code"));
            }
        }
    }
    none(&faults);
}

#[test]
fn no_file_is_too_long() {
    let mut faults = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > MOST_LINES {
            faults.push(format!("{}: {lines} lines", source.path.display()));
        }
    }
    none(&faults);
}

/// The modules of `config` that a file of `config` uses, by their names.
fn uses_of_config(source: &Source) -> Vec<String> {
    let code = source.code();
    let code = code.split("#[cfg(test)]").next().unwrap();
    let mut used = paths(code, "crate");
    used.retain(|path| path.starts_with("config::"));
    let mut names: Vec<String> = used
        .iter()
        .filter_map(|path| path.split("::").nth(1))
        .map(str::to_owned)
        .collect();
    if source.path.components().count() == 2 {
        let siblings = paths(code, "super");
        names.extend(
            siblings
                .iter()
                .filter_map(|path| path.split("::").next())
                .map(str::to_owned),
        );
    }
    names
}

/// JSON lines have numbers there: `slot = slot.0`, not `%slot`, which would be a string.
#[test]
fn numbers_are_logged_as_numbers() {
    let mut faults = Vec::new();
    for source in sources() {
        let code = source.code();
        for field in ["slot", "pid", "old", "generation"] {
            let display = format!("%{field}");
            let named = format!("{field} = %");
            if code.contains(&display) || code.contains(&named) {
                faults.push(format!("{}: {field} as a string", source.path.display()));
            }
        }
    }
    none(&faults);
}

/// Unit tests stand at the end of their file, or in `tests.rs` of its module.
#[test]
fn unit_tests_have_one_place() {
    let mut faults = Vec::new();
    for source in sources() {
        let path = source.path.display();
        if source.path.to_str().unwrap().ends_with("_tests.rs") {
            faults.push(format!("{path}: move it to tests.rs of its module"));
        }
        if source.code().contains("#[path") {
            faults.push(format!("{path}: a module that is not where it belongs"));
        }
    }
    none(&faults);
}

#[test]
fn modules_of_config_use_each_other_one_way() {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let mut parts = source.path.iter().map(|part| part.to_str().unwrap());
        let name = source.path.file_stem().unwrap().to_str().unwrap();
        let tests = name == "tests" || name == "testing";
        let (Some("config"), Some(module)) = (parts.next(), parts.next()) else {
            continue;
        };
        if !tests && module != "mod.rs" {
            let module = module.trim_end_matches(".rs").to_owned();
            let others = uses_of_config(&source);
            let others = others.into_iter().filter(|other| *other != module);
            let others: Vec<String> = others.collect();
            graph.entry(module).or_default().extend(others);
        }
    }
    assert!(graph.len() > 20, "only {} modules in config", graph.len());
    // Those that use nothing, then those that use only these, and so on: what is left uses itself in a circle.
    while let Some(done) = graph
        .iter()
        .find(|(_, others)| others.iter().all(|name| !graph.contains_key(name)))
        .map(|(name, _)| name.clone())
    {
        graph.remove(&done);
    }
    assert!(graph.is_empty(), "a circle in {graph:#?}");
}

#[test]
fn nothing_is_left_to_do() {
    let mut faults = Vec::new();
    for source in sources() {
        for mark in ["TODO", "FIXME", "todo!", "unimplemented!"] {
            if source.text.contains(mark) {
                faults.push(format!("{}: {mark}", source.path.display()));
            }
        }
    }
    none(&faults);
}

/// Nobody would compile and run one (`doctest = false`).
#[test]
fn comments_hold_no_examples_of_code() {
    let mut faults = Vec::new();
    for source in sources() {
        let fences = source.text.lines().filter_map(|line| {
            let comment = line.trim_start().strip_prefix("//")?;
            comment
                .trim_start_matches(['/', '!'])
                .trim()
                .strip_prefix("```")
        });
        // Every other one ends a block.
        for fence in fences.step_by(2).filter(|fence| *fence != "text") {
            faults.push(format!("{}: ```{fence}", source.path.display()));
        }
    }
    none(&faults);
}

#[test]
fn the_reference_of_variables_is_up_to_date() {
    let path = root().join("docs/configuration.md");
    let made = rpm_runtime::config::reference();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test reads its own environment"
    )]
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/configuration.md is stale; `make reference` writes it anew"
    );
    for setting in settings() {
        let heading = format!("\n### `{}`\n", setting.name());
        assert_eq!(made.matches(&heading).count(), 1, "{heading}");
    }
}

#[test]
fn every_variable_is_a_value_of_the_chart() {
    let text = fs::read_to_string(root().join("charts/rpm-runtime/values.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    let values = &schema["properties"]["runtime"]["properties"];
    let values: BTreeSet<&str> = values
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let known: BTreeSet<&str> = settings().map(Definition::name).collect();
    assert!(
        values == known,
        "charts/rpm-runtime/values.schema.json is stale; `make reference` writes it anew"
    );
}
