//! The documents: every relative link leads somewhere, every variable is a known one, docs/old-failures.md names tests that
//! exist, ARCHITECTURE.md shows the layers as they are held, the version is that of Cargo.toml, and .dockerignore fits the
//! Dockerfile.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rpm_runtime::config::{Definition, settings};
use rpm_runtime::model::worker_vars;

use super::layers::LAYERS;
use super::source::{none, root, rust_files};
use super::tests_tree::functions;

/// Where documents are, not looked into deeper.
const FOLDERS: [&str; 5] = ["", "docs", "examples", "charts/rpm-runtime", "fuzz"];

fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    readmes(&root().join("examples"), &mut found);
    for folder in FOLDERS {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 10, "only {} documents", found.len());
    found
}

/// The READMEs in the folders below this one.
fn readmes(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        // What somebody installed there is not ours.
        if path.is_dir() && !path.ends_with("node_modules") {
            let readme = path.join("README.md");
            found.extend(readme.exists().then_some(readme));
            readmes(&path, found);
        }
    }
}

/// Cargo.toml is the one place of the version. These cannot read it.
#[test]
fn the_version_of_cargo_toml_stands_in_the_dockerfile_and_the_document_of_the_packages() {
    let version = env!("CARGO_PKG_VERSION");
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let line = format!("ARG VERSION={version}");
    assert!(dockerfile.lines().any(|found| found == line), "no {line}");

    let page = fs::read_to_string(root().join("docs/packages.md")).unwrap();
    let mentions = page.split("rpm-runtime").skip(1);
    let named: Vec<&str> = mentions
        .filter_map(|rest| rest.strip_prefix(['-', '_']))
        .filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    assert!(named.len() > 5, "{named:?}");
    for rest in named {
        assert!(rest.starts_with(version), "{rest:.40}");
    }
}

/// The build context is .dockerignore: `*`, and what it lets in.
#[test]
fn the_build_context_is_what_the_dockerfile_copies() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let (ignored, dockerfile) = (read(".dockerignore"), read("Dockerfile"));
    assert!(ignored.lines().any(|line| line == "*"));
    let let_in: Vec<&str> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let lines = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|words| !words.starts_with("--from"));
    let copied: Vec<&str> = lines
        .flat_map(|words| words.rsplit_once(' ').unwrap().0.split(' '))
        .collect();
    let fits = |pattern: &str, source: &str| {
        let below = pattern.strip_prefix(source);
        let begin = pattern.strip_suffix('*');
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            || begin.is_some_and(|begin| source.starts_with(begin))
    };
    for pattern in &let_in {
        let found = copied.iter().any(|source| fits(pattern, source));
        assert!(found, "{pattern} is let in and not copied: {copied:?}");
    }
    for source in copied {
        let found = let_in.iter().any(|pattern| fits(pattern, source));
        assert!(found, "{source} is copied and not let in: {let_in:?}");
    }
}

/// The text without fenced blocks, where brackets and `#` mean something else.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Targets of `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

/// The anchors that GitHub makes of headings: small letters, blanks as hyphens, no other marks.
fn anchors(text: &str) -> HashSet<String> {
    let headings = prose(text).filter_map(|line| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| title.trim())
    });
    let anchor = |title: &str| {
        let kept = title.chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ => letter
                .is_alphanumeric()
                .then(|| letter.to_ascii_lowercase()),
        });
        kept.collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let name = document.strip_prefix(root()).unwrap().display();
        for link in prose(&text).flat_map(links) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                _ => document.parent().unwrap_or(Path::new("")).join(path),
            };
            if !target.exists() {
                faults.push(format!("{name}: {link} is not there"));
            } else if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                if !there.contains(anchor) {
                    faults.push(format!("{name}: {link} has no such heading"));
                }
            }
        }
    }
    none(&faults);
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# What it is\n```\n# no heading\n```\n## /readyz and `/x_y`, again?\n";
    let anchors = anchors(text);
    assert!(anchors.contains("what-it-is"));
    assert!(anchors.contains("readyz-and-x_y-again"));
    assert_eq!(anchors.len(), 2);
}

/// Names that are no variables of the runtime, and where they stand.
const FOREIGN: [(&str, &str); 3] = [
    // A variable that Kubernetes sets for a Service.
    ("RPM_PORT", "docs/kubernetes.md"),
    // A mistake, in an example of a message.
    ("RPM_REDY", "docs/troubleshooting.md"),
    // A variable of the tests.
    ("RPM_TEST_PATIENCE", "CONTRIBUTING.md"),
];

/// Names that begin with `RPM_`, as long as they are.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    let part =
        |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    text.split(move |letter| !part(letter))
        .filter(|word| word.starts_with("RPM_"))
}

#[test]
fn every_variable_in_a_document_is_known() {
    let workers = worker_vars::ALL.iter().map(|var| var.name);
    let known: HashSet<&str> = settings().map(Definition::name).chain(workers).collect();
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let path = document.strip_prefix(root()).unwrap().to_str().unwrap();
        for name in variables(&text) {
            seen.insert(name.to_owned());
            // `RPM_LOG_*` stands for all that begin so.
            let family = name.ends_with('_') && known.iter().any(|other| other.starts_with(name));
            let plain = name.strip_suffix("_FILE").unwrap_or(name);
            let foreign = FOREIGN.contains(&(name, path));
            if !family && !foreign && !known.contains(name) && !known.contains(plain) {
                faults.push(format!("{path}: {name} is not a variable of the runtime"));
            }
        }
    }
    assert!(seen.len() > 60, "only {} variables", seen.len());
    none(&faults);
}

#[test]
fn every_old_failure_names_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/old-failures.md")).unwrap();
    let mut known = HashSet::new();
    for folder in ["src", "tests"] {
        for file in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(file).unwrap();
            known.extend(functions(&text).map(str::to_owned));
        }
    }
    let mut faults = Vec::new();
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let Some(tests) = line.trim_end_matches(" |").rsplit(" | ").next() else {
            continue;
        };
        if tests == "test" {
            continue;
        }
        rows += 1;
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if names.is_empty() && !tests.starts_with("no test yet") {
            faults.push(format!("no test is named: {line}"));
        }
        for name in names.into_iter().filter(|name| !known.contains(*name)) {
            faults.push(format!("{name} is not there"));
        }
    }
    assert!(rows > 50, "{rows} rows");
    none(&faults);
}

#[test]
fn the_architecture_shows_the_layers_as_they_are_held() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, table) = page
        .split_once("\n| layer | may use |\n|---|---|\n")
        .unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows = LAYERS.map(|layer| {
        let used = layer.inside.iter().map(|name| format!("`{name}`"));
        format!(
            "| `{}` | {} |",
            layer.name,
            used.collect::<Vec<_>>().join(", ")
        )
    });
    assert_eq!(table, rows.join("\n"));
}
