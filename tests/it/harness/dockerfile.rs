//! Reads the Dockerfiles of `examples`: only what they use, and anything else is a fault.

use std::path::{Path, PathBuf};

/// One stage, from its `FROM`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stage {
    /// The name behind `AS`.
    pub name: String,
    pub base: String,
    /// WORKDIR.
    pub work: String,
    pub copies: Vec<Copy>,
    /// The lines of `RUN`.
    pub runs: Vec<String>,
    pub env: Vec<(String, String)>,
    pub exposed: Vec<u16>,
    pub user: String,
    /// The command of HEALTHCHECK.
    pub health: Vec<String>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
}

/// A `COPY`.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// The stage behind `--from`; none: the folder of the Dockerfile.
    pub from: Option<String>,
    pub sources: Vec<String>,
    /// An absolute path; it ends with `/` if it is a directory that the sources go into.
    pub target: String,
}

impl Copy {
    /// Where a source goes.
    pub fn place(&self, source: &str) -> PathBuf {
        if self.target.ends_with('/') {
            Path::new(&self.target).join(Path::new(source).file_name().unwrap())
        } else {
            self.target.clone().into()
        }
    }
}

/// The instructions, with their lines joined and without comments.
fn instructions(text: &str) -> Vec<(String, String)> {
    let mut whole = String::new();
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(part) = line.strip_suffix('\\') {
            whole += part;
            continue;
        }
        whole += line;
        let (name, rest) = whole.split_once(' ').unwrap();
        found.push((name.to_owned(), rest.trim().to_owned()));
        whole.clear();
    }
    assert!(whole.is_empty(), "the last line is not the end: {whole}");
    found
}

/// Words in the JSON form, which runs no shell.
fn words(text: &str) -> Vec<String> {
    serde_json::from_str(text)
        .unwrap_or_else(|error| panic!("not a list of words: {text}: {error}"))
}

fn variables(text: &str) -> impl Iterator<Item = (String, String)> {
    let pair = |word: &str| {
        let (name, value) = word.split_once('=').unwrap();
        assert!(!value.contains(['"', '$', '\'']), "not read here: {word}");
        (name.to_owned(), value.to_owned())
    };
    text.split_whitespace().map(pair)
}

fn copy(text: &str, work: &str) -> Copy {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let from = words[0].strip_prefix("--from=").map(str::to_owned);
    if from.is_some() {
        words.remove(0);
    }
    let target = words.pop().unwrap();
    let target = match target {
        "." | "./" => format!("{work}/"),
        _ if target.starts_with('/') => target.to_owned(),
        _ => format!("{work}/{}", target.trim_start_matches("./")),
    };
    assert!(words.len() == 1 || target.ends_with('/'), "{text}");
    Copy {
        from,
        sources: words.into_iter().map(str::to_owned).collect(),
        target,
    }
}

/// The stages of a Dockerfile. At least one instruction stands in each.
#[track_caller]
pub fn stages(text: &str) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for (name, rest) in instructions(text) {
        if name == "ARG" && stages.is_empty() {
            continue;
        }
        if name == "FROM" {
            let (base, alias) = rest.split_once(" AS ").unwrap_or((&rest, ""));
            stages.push(Stage {
                name: alias.to_owned(),
                base: base.to_owned(),
                ..Stage::default()
            });
            continue;
        }
        let stage = stages
            .last_mut()
            .unwrap_or_else(|| panic!("{name} before FROM"));
        match name.as_str() {
            "WORKDIR" => stage.work = rest,
            "COPY" => stage.copies.push(copy(&rest, &stage.work)),
            "RUN" => stage.runs.push(rest),
            "ENV" => stage.env.extend(variables(&rest)),
            "EXPOSE" => stage
                .exposed
                .extend(rest.split(' ').map(|port| port.parse::<u16>().unwrap())),
            "USER" => stage.user = rest,
            "HEALTHCHECK" => stage.health = words(rest.split_once("CMD ").unwrap().1),
            "ENTRYPOINT" => stage.entrypoint = words(&rest),
            "CMD" => stage.command = words(&rest),
            _ => panic!("not read here: {name}"),
        }
    }
    stages
}

/// The stages of the Dockerfile of a folder.
#[track_caller]
pub fn stages_of(folder: &Path) -> Vec<Stage> {
    let path = folder.join("Dockerfile");
    let text = std::fs::read_to_string(&path);
    stages(&text.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}
