//! Calls helm, and reads what it rendered.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::harness::deployed::folders;
use crate::harness::source;
use serde_json::Value;

pub const CHART: &str = "charts/rpm-runtime";

/// The least that must be said.
pub const MINIMAL: &str = "charts/rpm-runtime/ci/minimal-values.yaml";

/// The names of the files of values in `ci`, sorted.
pub fn ci_files() -> Vec<String> {
    let entries = fs::read_dir(source(CHART).join("ci")).unwrap();
    let path = |entry: fs::DirEntry| format!("{CHART}/ci/{}", entry.file_name().to_str().unwrap());
    let mut files: Vec<_> = entries.map(|entry| path(entry.unwrap())).collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    files
}

/// Those of `ci`, and those of the folders of `examples`.
pub fn all_files() -> Vec<String> {
    let examples = folders()
        .into_iter()
        .map(|name| format!("examples/{name}/values.yaml"));
    let there = examples.filter(|file| source(file).exists());
    ci_files().into_iter().chain(there).collect()
}

fn installed(path: &str) -> PathBuf {
    let place = source("target").join(path);
    assert!(place.exists(), "{path} is missing; run scripts/test-deps");
    place
}

/// A command with this input. Its output is returned even if it fails.
pub fn run(command: &mut Command, input: &str) -> Output {
    let piped = command
        .current_dir(source(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A program that fails early does not read everything; its own words say why.
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        child.wait_with_output().unwrap()
    })
}

/// The standard output of a command that must have succeeded.
#[track_caller]
pub fn text(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// helm, without a look at the home of who runs the tests.
pub fn helm(words: &[&str]) -> Command {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
    let mut helm = Command::new(installed("chart/helm/helm"));
    helm.args(words)
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"))
        .env_remove("KUBECONFIG");
    helm
}

/// Python with PyYAML and the schemas of Kubernetes.
pub fn python(words: &[&str]) -> Command {
    let mut python = Command::new("python3");
    python
        .args(words)
        .env("PYTHONPATH", installed("kubernetes-validate"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// Manifests as JSON. `versions` of Kubernetes must take each of them.
#[track_caller]
pub fn objects(manifests: &str, versions: &[&str]) -> Vec<Value> {
    let words = [&["tests/payloads/chart/objects.py"], versions].concat();
    let json = text(&run(&mut python(&words), manifests));
    serde_json::from_str(&json).unwrap()
}

/// How many custom resources of these objects their published schemas take; all must be.
#[track_caller]
pub fn custom(objects: &[Value]) -> usize {
    let mut node = Command::new("node");
    node.args(["tests/payloads/chart/custom.mjs"])
        .arg(installed("chart"));
    let seen = text(&run(&mut node, &serde_json::to_string(objects).unwrap()));
    seen.trim().parse().unwrap()
}

/// `helm template` for one set of values.
#[derive(Clone, Debug, Default)]
pub struct Render {
    files: Vec<String>,
    values: String,
    kubernetes: Option<&'static str>,
}

impl Render {
    /// With the values of this file.
    pub fn of(file: &str) -> Self {
        Self {
            files: vec![file.to_owned()],
            ..Self::default()
        }
    }

    /// With the least values and these, in YAML.
    pub fn with(values: &str) -> Self {
        Self::of(MINIMAL).and(values)
    }

    /// These values win over the others.
    pub fn and(mut self, values: &str) -> Self {
        values.clone_into(&mut self.values);
        self
    }

    /// For a cluster of this version.
    pub fn for_kubernetes(mut self, version: &'static str) -> Self {
        self.kubernetes = Some(version);
        self
    }

    fn output(&self) -> Output {
        let mut helm = helm(&["template", "rel", CHART, "--namespace", "shop"]);
        for file in &self.files {
            helm.args(["--values", file]);
        }
        if let Some(version) = self.kubernetes {
            helm.args(["--kube-version", version]);
        }
        run(helm.args(["--values", "-"]), &self.values)
    }

    /// The manifests.
    #[track_caller]
    pub fn manifests(&self) -> String {
        text(&self.output())
    }

    /// The objects.
    #[track_caller]
    pub fn objects(&self) -> Objects {
        Objects(objects(&self.manifests(), &[]))
    }

    /// What helm says when it refuses these values.
    #[track_caller]
    pub fn refused(&self) -> String {
        let output = self.output();
        assert!(!output.status.success(), "it was rendered: {}", self.values);
        assert!(
            output.stdout.is_empty(),
            "something was rendered: {}",
            self.values
        );
        String::from_utf8(output.stderr).unwrap()
    }
}

/// What was rendered.
#[derive(Debug)]
pub struct Objects(pub Vec<Value>);

impl Objects {
    /// The objects of this kind and name; a name begins with `rel-rpm-runtime`, which is left out.
    pub fn get(&self, kind: &str, suffix: &str) -> Option<&Value> {
        let name = format!("rel-rpm-runtime{suffix}");
        let named = |object: &&Value| object["metadata"]["name"] == name.as_str();
        let mut found = self
            .0
            .iter()
            .filter(|object| object["kind"] == kind)
            .filter(named);
        let first = found.next();
        assert!(found.next().is_none(), "two objects {kind} {name}");
        first
    }

    /// The one object of this kind.
    #[track_caller]
    pub fn one(&self, kind: &str) -> &Value {
        let mut found = self.0.iter().filter(|object| object["kind"] == kind);
        let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(found.next().is_none(), "two of {kind}");
        first
    }

    /// Whether there is an object of this kind.
    pub fn has(&self, kind: &str) -> bool {
        self.0.iter().any(|object| object["kind"] == kind)
    }

    /// `spec` of the pods of the Deployment.
    #[track_caller]
    pub fn pod(&self) -> &Value {
        &self.one("Deployment")["spec"]["template"]["spec"]
    }

    /// The container of the program.
    #[track_caller]
    pub fn app(&self) -> &Value {
        let app = &self.pod()["containers"][0];
        assert_eq!(app["name"], "app");
        app
    }

    /// The value of a variable of the program's container.
    #[track_caller]
    pub fn variable(&self, name: &str) -> Option<&str> {
        let env = self.app()["env"].as_array().unwrap();
        let mut found = env.iter().filter(|entry| entry["name"] == name);
        let first = found.next()?;
        assert!(found.next().is_none(), "{name} is set twice");
        Some(first["value"].as_str().unwrap())
    }
}
