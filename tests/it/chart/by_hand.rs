//! The blocks of the documents: manifests, compose files, units and Dockerfiles that people copy. What is written by hand
//! is held to the same as what the chart renders.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::helm::{Render, objects, run, text};
use crate::harness::{scratch, source};

/// A fenced block.
#[derive(Clone)]
struct Block {
    /// The document and the line.
    place: String,
    language: String,
    text: String,
}

/// The fenced blocks of a document, without their indentation.
fn blocks_of(name: &str) -> Vec<Block> {
    let document = fs::read_to_string(source(name)).unwrap();
    let mut found = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let trimmed = line.trim_start();
        let Some(language) = trimmed.strip_prefix("```") else {
            continue;
        };
        let indent = line.len() - trimmed.len();
        let body = lines.by_ref().map(|(_, line)| line);
        let body = body.take_while(|line| !line.trim_start().starts_with("```"));
        let body = body.map(|line| line.get(indent..).unwrap_or_default());
        found.push(Block {
            place: format!("{name}:{}", number + 1),
            language: language.to_owned(),
            text: body.collect::<Vec<_>>().join("\n") + "\n",
        });
    }
    found
}

/// All blocks in this language.
fn blocks(language: &str) -> Vec<Block> {
    let mut names = vec![
        "README.md".to_owned(),
        "charts/rpm-runtime/README.md".to_owned(),
    ];
    let docs = fs::read_dir(source("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = docs.filter(|name| {
        PathBuf::from(name)
            .extension()
            .is_some_and(|end| end == "md")
    });
    names.extend(pages.map(|name| format!("docs/{name}")));
    names.sort();
    let all = names.iter().flat_map(|name| blocks_of(name));
    let found: Vec<Block> = all.filter(|block| block.language == language).collect();
    assert!(!found.is_empty(), "no block in {language}");
    found
}

/// What a block of YAML is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Objects of Kubernetes.
    Manifests,
    /// `spec` of a pod.
    PodSpec,
    /// A part of a container.
    ContainerPart,
    Compose,
    /// The rules of prometheus-adapter.
    Adapter,
    /// Values of the chart.
    Values,
}

impl Kind {
    #[track_caller]
    fn of(block: &Block, value: &Value) -> Self {
        let has = |name: &str| value[0].get(name).is_some();
        let kinds = [
            ("apiVersion", Self::Manifests),
            ("containers", Self::PodSpec),
            ("resizePolicy", Self::ContainerPart),
            ("services", Self::Compose),
            ("rules", Self::Adapter),
        ];
        let found = kinds.iter().find(|(name, _)| has(name));
        match found {
            Some((_, kind)) => *kind,
            None if block.place.starts_with("charts/") => Self::Values,
            None => panic!("{}: what is this?", block.place),
        }
    }
}

/// The blocks of YAML with their content. Each must be of a kind that is known.
fn yaml() -> Vec<(Block, Kind, Vec<Value>)> {
    let read = |block: Block| {
        let content = objects(&block.text, &[]);
        let kind = Kind::of(&block, &json!(content));
        (block, kind, content)
    };
    blocks("yaml").into_iter().map(read).collect()
}

/// A pod around a part of one.
fn pod(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "part"}, "spec": spec})
}

/// The objects of Kubernetes in this block; a part of one is completed.
fn manifests(kind: Kind, content: &[Value]) -> Vec<Value> {
    match kind {
        Kind::Manifests => content.to_vec(),
        Kind::PodSpec => vec![pod(&content[0])],
        Kind::ContainerPart => {
            let mut container = content[0].clone();
            container["name"] = "app".into();
            vec![pod(&json!({"containers": [container]}))]
        }
        Kind::Compose | Kind::Adapter | Kind::Values => Vec::new(),
    }
}

/// `spec` of the pods of an object.
fn pod_spec(object: &Value) -> Option<&Value> {
    match object["kind"].as_str().unwrap() {
        "Pod" => Some(&object["spec"]),
        "Deployment" | "Job" => Some(&object["spec"]["template"]["spec"]),
        _ => None,
    }
}

/// What `rpm-runtime --check` says in this environment.
struct Checked(String);

impl Checked {
    #[track_caller]
    fn of<'a>(place: &str, variables: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut runtime = Command::new(env!("CARGO_BIN_EXE_rpm-runtime"));
        runtime.args(["--check", "node", "server.js"]).env_clear();
        runtime.env("PATH", env::var_os("PATH").unwrap());
        for (name, value) in variables {
            // The file is in the container only.
            if name == "RPM_ENV_FILE" {
                let file = scratch("by-hand").join("env");
                fs::write(&file, "A=1\n").unwrap();
                runtime.env(name, file);
            } else {
                runtime.env(name, value);
            }
        }
        let output = run(&mut runtime, "");
        assert!(output.status.success(), "{place}: {output:?}");
        Self(text(&output))
    }

    /// The seconds that a stop needs; the role of tini needs what the program needs.
    fn stop(&self) -> u64 {
        let found = self.0.split_once("terminationGracePeriodSeconds: ");
        found.map_or(0, |(_, rest)| {
            rest.split(' ').next().unwrap().parse().unwrap()
        })
    }

    /// A time in whole seconds.
    #[track_caller]
    fn seconds(&self, name: &str) -> u64 {
        let line = self.0.lines().find(|line| line.starts_with(name)).unwrap();
        let value = line.split_whitespace().nth(1).unwrap();
        seconds(value)
    }
}

/// Whole seconds of `90s` or `2m`.
#[track_caller]
fn seconds(value: &str) -> u64 {
    let (number, unit) = value.split_at(value.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        _ => panic!("{value}"),
    };
    number.parse::<u64>().unwrap() * unit
}

fn check_container(place: &str, container: &Value) -> Checked {
    let none = Vec::new();
    let env = container["env"].as_array().unwrap_or(&none);
    Checked::of(
        place,
        env.iter().filter_map(|entry| {
            let (name, value) = (entry["name"].as_str()?, entry["value"].as_str()?);
            Some((name, value))
        }),
    )
}

/// The startup probe leaves room for two attempts and the stop between them, as docs/kubernetes.md says.
fn probe_is_patient(place: &str, probe: &Value, checked: &Checked) {
    if probe.is_null() {
        return;
    }
    let number = |name: &str, default: u64| probe[name].as_u64().unwrap_or(default);
    let granted = number("initialDelaySeconds", 0)
        + number("periodSeconds", 10) * number("failureThreshold", 3);
    let needed =
        2 * checked.seconds("RPM_READY_TIMEOUT") + checked.seconds("RPM_STOP_TIMEOUT") + 11;
    assert!(
        granted >= needed,
        "{place}: {granted} s of {needed} s to start"
    );
}

#[test]
fn every_manifest_of_a_document_is_one_that_kubernetes_takes() {
    let mut whole = 0;
    for (block, kind, content) in yaml() {
        let manifests = manifests(kind, &content);
        whole += usize::from(kind == Kind::Manifests);
        if manifests.is_empty() {
            continue;
        }
        println!("{}", block.place);
        let text: Vec<String> = manifests.iter().map(Value::to_string).collect();
        objects(&text.join("\n---\n"), &["newest"]);
    }
    assert!(whole >= 6, "only {whole} blocks of manifests");
}

#[test]
fn every_pod_of_a_document_grants_its_stop_and_its_start_the_time() {
    let mut pods = 0;
    for (block, kind, content) in yaml() {
        let place = &block.place;
        for object in manifests(kind, &content) {
            let Some(spec) = pod_spec(&object) else {
                continue;
            };
            pods += 1;
            let none = Vec::new();
            let list = |name: &str| spec[name].as_array().unwrap_or(&none).iter();
            let sidecars = list("initContainers").filter(|it| it["restartPolicy"] == "Always");
            let mut needed = 0;
            for container in list("containers") {
                let checked = check_container(place, container);
                probe_is_patient(place, &container["startupProbe"], &checked);
                needed = needed.max(checked.stop());
            }
            // A sidecar is told when the others have ended.
            for container in sidecars {
                let checked = check_container(place, container);
                probe_is_patient(place, &container["startupProbe"], &checked);
                needed += checked.stop();
            }
            let granted = spec["terminationGracePeriodSeconds"].as_u64();
            let granted = granted.unwrap_or(30);
            assert!(
                granted >= needed,
                "{place}: {granted} s of {needed} s to stop"
            );
        }
    }
    assert!(pods >= 6, "only {pods} pods");
}

#[test]
fn every_compose_file_of_a_document_is_valid_and_grants_its_stop_the_time() {
    let mut services = 0;
    for (block, kind, _) in yaml() {
        if kind != Kind::Compose {
            continue;
        }
        let place = &block.place;
        let file = scratch("compose").join("compose.yaml");
        fs::write(&file, &block.text).unwrap();
        let mut compose = Command::new("docker-compose");
        compose.arg("--file").arg(&file).args(["config"]);
        let resolved = text(&run(&mut compose, ""));
        let resolved = objects(&resolved, &[]).remove(0);
        for (name, service) in resolved["services"].as_object().unwrap() {
            let Some(variables) = service["environment"].as_object() else {
                continue;
            };
            if !variables.keys().any(|name| name.starts_with("RPM_")) {
                continue;
            }
            services += 1;
            let variables = variables.iter();
            let pairs =
                variables.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
            let needed = Checked::of(place, pairs).stop();
            let granted = service["stop_grace_period"].as_str().map_or(10, seconds);
            assert!(
                granted >= needed,
                "{place}: {name}: {granted} s of {needed} s"
            );
        }
    }
    assert!(services >= 2, "only {services} services");
}

#[test]
fn the_values_of_a_document_are_those_of_the_chart() {
    let mut values = json!({});
    let mut seen = 0;
    for (block, kind, content) in yaml() {
        if kind == Kind::Values {
            println!("{}", block.place);
            // Each block adds to those before it.
            let more = content[0].as_object().unwrap().clone();
            values.as_object_mut().unwrap().extend(more);
            let rendered = Render::with(&values.to_string()).objects();
            assert!(rendered.has("Deployment"));
            seen += 1;
        }
    }
    assert!(seen >= 2, "{seen}");
}

#[test]
fn every_unit_of_a_document_grants_its_stop_the_time() {
    for block in blocks("ini") {
        let place = &block.place;
        let value = |name: &str| {
            let mut found = block.text.lines().filter_map(|line| {
                let (key, value) = line.split_once('=')?;
                (key == name).then_some(value)
            });
            found.next().unwrap_or_else(|| panic!("{place}: no {name}"))
        };
        let variables = value("Environment").split(' ');
        let variables = variables.map(|word| word.split_once('=').unwrap());
        let needed = Checked::of(place, variables).stop();
        let number = |name: &str| value(name).parse::<u64>().unwrap();
        assert!(number("StopTimeout") >= needed, "{place}: {needed}");
        assert!(number("TimeoutStopSec") > number("StopTimeout"), "{place}");
        assert!(
            number("TimeoutStartSec") > seconds(value("HealthStartPeriod")),
            "{place}"
        );
    }
}

/// Instructions of a Dockerfile. Two columns, *before* and *after*, are two files.
fn dockerfiles(block: &Block) -> Vec<String> {
    let first = block.text.lines().next().unwrap();
    let Some(column) = first.find("# after") else {
        return vec![block.text.clone()];
    };
    let half = |left: bool| {
        let lines = block.text.lines().map(|line| {
            let at = column.min(line.len());
            let part = if left { &line[..at] } else { &line[at..] };
            part.trim_end()
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    vec![half(true), half(false)]
}

#[test]
fn every_dockerfile_of_a_document_says_what_docker_takes() {
    const KNOWN: [&str; 9] = [
        "FROM",
        "COPY",
        "RUN",
        "ENV",
        "WORKDIR",
        "ENTRYPOINT",
        "CMD",
        "HEALTHCHECK",
        "USER",
    ];
    let mut seen = 0;
    for block in blocks("dockerfile") {
        for file in dockerfiles(&block) {
            let joined = file.replace("\\\n", " ");
            let lines = joined.lines().map(str::trim);
            for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
                seen += 1;
                let place = &block.place;
                let (instruction, rest) = line.split_once(' ').unwrap();
                assert!(KNOWN.contains(&instruction), "{place}: {line}");
                // A list that is no JSON would be run by a shell, which few of these images have.
                if let Some(list) = rest.find('[').filter(|_| instruction != "RUN") {
                    let words: Result<Vec<String>, _> = serde_json::from_str(&rest[list..]);
                    assert!(words.is_ok(), "{place}: {line}");
                }
                // A comment is a line of its own.
                assert!(!rest.contains(" #"), "{place}: {line}");
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

/// The commands of a block: all of its lines, or those behind a prompt.
fn commands(block: &Block) -> String {
    if block.language == "sh" {
        return block.text.clone();
    }
    let prompts = ["$ ", "/ $ "];
    let lines = block
        .text
        .lines()
        .filter_map(|line| prompts.iter().find_map(|prompt| line.strip_prefix(prompt)));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn every_command_of_a_document_is_one_that_a_shell_reads() {
    let known = text(&run(Command::new("podman").args(["run", "--help"]), ""));
    let known: Vec<&str> = known.split_whitespace().collect();
    let mut runs = 0;
    for block in [blocks("sh"), blocks("console")].concat() {
        let commands = commands(&block);
        assert!(commands.trim() != "", "{}", block.place);
        let place = &block.place;
        let output = run(Command::new("sh").args(["-n", "-s"]), &commands);
        assert!(output.status.success(), "{place}: {output:?}");
        // podman has docker's options.
        for line in commands.replace("\\\n", " ").lines() {
            let words = shlex::split(line).unwrap();
            let begins = words.iter().map(String::as_str).take(2);
            if !begins.eq(["docker", "run"]) {
                continue;
            }
            runs += 1;
            let options = words.iter().filter(|word| word.starts_with("--"));
            for option in options.filter(|option| *option != "--check") {
                assert!(known.contains(&option.as_str()), "{place}: {option}");
            }
        }
    }
    assert!(runs >= 2, "{runs}");
}
