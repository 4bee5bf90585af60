//! The command of an app: script, interpreter and arguments.

use std::path::Path;

use rpm_runtime::policy::node::{Program as Kind, program as kind_of};

use super::app::App;
use super::context::{Context, File};
use super::translation::Translation;

/// The interpreter that pm2 takes for a script with this extension.
const BY_EXTENSION: [(&str, &str); 10] = [
    ("js", "node"),
    ("cjs", "node"),
    ("mjs", "node"),
    ("sh", "bash"),
    ("py", "python3"),
    ("rb", "ruby"),
    ("php", "php"),
    ("pl", "perl"),
    ("ts", "bun"),
    ("tsx", "bun"),
];

/// Programs that are files of machine code, so that pm2 runs them without an interpreter.
const MACHINE_CODE: [&str; 14] = [
    "node", "nodejs", "bun", "deno", "bash", "sh", "java", "ruby", "php", "perl", "dotnet", "go",
    "env", "nginx",
];

/// What only a shell understands, in a script of several words.
const SHELL_SIGNS: &str = "|&;<>()$`*?[]#~{}!\n";

/// Words that a shell handles itself.
const SHELL_WORDS: [&str; 11] = [
    "cd", "exec", "export", "source", ".", "if", "for", "while", "ulimit", "umask", "set",
];

/// What is known of the command beside its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Whether pm2 sees Node or Bun, which it can run in cluster mode.
    pub clusters: bool,
    /// How the command gets Node's channel.
    pub channel: Channel,
    /// Whether the program is a child of what is started (npm, a shell).
    pub is_behind: bool,
}

/// How a command gets Node's channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// By itself.
    Own,
    /// With `RPM_NODE=on`: a shell passes it on.
    Asked,
    /// Not, for this reason.
    None(&'static str),
}

/// Writes the command.
pub fn translate(app: &mut App<'_>, out: &mut Translation, context: &Context<'_>) -> Command {
    let script = ["script", "cmd", "command"]
        .into_iter()
        .find_map(|key| app.text(key).map(|text| (app.written(key), text)));
    workdir(app, out, context);
    let Some((key, script)) = script else {
        app.fault("script is missing: pm2 has nothing to start".to_owned());
        return Command {
            clusters: false,
            channel: Channel::Own,
            is_behind: false,
        };
    };
    if script == "serve" {
        app.fault(
            "script \"serve\" is the file server of pm2, and there is none here: name a web server, or `npx serve DIRECTORY`"
                .to_owned(),
        );
    }
    let node = |argv: &[String]| {
        let words: Vec<&[u8]> = argv.iter().map(String::as_bytes).collect();
        kind_of(&words, None)
    };
    let (argv, clusters) = if script.contains(' ') {
        (sentence(app, out, &key, &script), false)
    } else {
        file(app, out, context, &key, &script)
    };
    let shell = argv.first().is_some_and(|first| is_shell(first));
    let tool = argv
        .first()
        .is_some_and(|first| first.contains("node_modules/.bin/"));
    let kind = node(&argv);
    let channel = match kind.why_no_channel() {
        None => Channel::Own,
        Some(_) if shell => Channel::Asked,
        // A script with a `#!` line for Node, which the runtime will see.
        Some(_) if kind == Kind::Other && tool => Channel::Own,
        Some(why) => Channel::None(why),
    };
    let is_behind = shell || kind == Kind::Wrapper;
    out.argv = argv;
    Command {
        clusters,
        channel,
        is_behind,
    }
}

fn workdir(app: &mut App<'_>, out: &mut Translation, context: &Context<'_>) {
    let Some(cwd) = app.text("cwd") else {
        return;
    };
    let cwd = context.home_of(&cwd, out, "cwd");
    out.drop(
        "cwd",
        format!("is `WORKDIR {cwd}` of the image, workingDir of the pod; relative paths here start there"),
    );
    out.workdir = Some(cwd);
}

fn is_shell(program: &str) -> bool {
    ["bash", "sh", "dash", "zsh"].contains(&base_name(program))
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A script of several words, which pm2 gives to a shell.
fn sentence(app: &mut App<'_>, out: &mut Translation, key: &str, script: &str) -> Vec<String> {
    for unused in ["args", "exec_interpreter", "node_args"] {
        if app.raw(unused).is_some() {
            let written = app.written(unused);
            let why =
                format!("is not used by pm2 either: {key} has several words, so a shell runs it");
            out.drop(written, why);
        }
    }
    let words = shlex::split(script).unwrap_or_default();
    let first = words.first().map_or("", String::as_str);
    let needs_shell = words.is_empty()
        || script.contains(|c| SHELL_SIGNS.contains(c))
        || first.contains('=')
        || SHELL_WORDS.contains(&first);
    if needs_shell {
        return ["bash", "-c", script].map(str::to_owned).to_vec();
    }
    out.note(format!(
        "pm2 gives {key} to bash; it needs no shell, so the program is started itself"
    ));
    words
}

/// A script of one word, with its interpreter and arguments.
fn file(
    app: &mut App<'_>,
    out: &mut Translation,
    context: &Context<'_>,
    key: &str,
    script: &str,
) -> (Vec<String>, bool) {
    let script = context.home_of(script, out, key);
    let given = app.text("exec_interpreter");
    let given = given.map(|given| context.home_of(&given, out, "interpreter"));
    let interpreter = match given.as_deref() {
        Some("none") => None,
        Some(named) => Some(named.to_owned()),
        None => by_file(&script, out, context),
    };
    let interpreter = interpreter.map(|named| match named.split_once('@') {
        Some((node, version)) if base_name(node) == "node" => {
            out.note(format!(
                "pm2 takes Node {version} from nvm; here it is the Node of the image"
            ));
            "node".to_owned()
        }
        _ => named,
    });
    if extension(&script) == Some("ts") && given.is_none() {
        out.note("pm2 runs .ts files with bun");
    }
    let clusters = if let Some(named) = interpreter.as_deref() {
        let base = base_name(named);
        ["node", "bun"].iter().any(|end| base.ends_with(end))
    } else {
        // npm and its like are files that Node reads, so pm2 sees Node.
        let binary = context.file(&script, out.workdir.as_deref()) == File::Binary;
        given.is_none() && !is_machine_code(&script) && !binary
    };
    let mut argv = Vec::new();
    let options = app.words("node_args");
    match (&interpreter, options) {
        (Some(named), options) => {
            argv.push(named.clone());
            argv.extend(options.unwrap_or_default());
            if named.contains("python") {
                out.give("interpreter", "PYTHONUNBUFFERED", "1")
                    .note("as pm2 sets it for Python");
            }
        }
        (None, Some(_)) => {
            let written = app.written("node_args");
            out.drop(
                written,
                "has no effect without an interpreter, with pm2 too",
            );
        }
        (None, None) => {}
    }
    argv.push(script);
    argv.extend(app.words("args").unwrap_or_default());
    (argv, clusters)
}

fn extension(script: &str) -> Option<&str> {
    Path::new(script).extension().and_then(|end| end.to_str())
}

/// Whether a program that is named alone, such as `python3`, is a file of machine code.
fn is_machine_code(name: &str) -> bool {
    let base = base_name(name);
    MACHINE_CODE.contains(&base) || base.starts_with("python") || base.starts_with("pypy")
}

/// The interpreter that pm2 takes by itself; `None`: the file runs by itself.
fn by_file(script: &str, out: &mut Translation, context: &Context<'_>) -> Option<String> {
    let extension = extension(script);
    if let Some((_, interpreter)) = BY_EXTENSION.iter().find(|(end, _)| extension == Some(*end)) {
        return Some((*interpreter).to_owned());
    }
    if script.contains("node_modules/.bin/") {
        return None;
    }
    let is_path = script.contains('/');
    match context.file(script, out.workdir.as_deref()) {
        File::Binary => None,
        File::Text => Some("node".to_owned()),
        // A word alone is a program of the search path.
        File::Absent if !is_path => None,
        File::Absent
            if ["/usr/", "/bin/", "/opt/"]
                .iter()
                .any(|dir| script.starts_with(dir)) =>
        {
            None
        }
        File::Absent => {
            out.note(format!(
                "{script} is not here to be looked at: pm2 runs it with Node unless it is machine code; then take the word node out"
            ));
            Some("node".to_owned())
        }
    }
}
