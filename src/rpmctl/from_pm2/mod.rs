//! `rpmctl from-pm2`: the variables for what pm2 or pm2-runtime ran.
//!
//! - `source` (`json`, `yaml`, `node`) reads a file to a [`value::Value`]; `words` reads a command line.
//! - `ecosystem` finds the apps, and `translate` translates one: `program`, `workers`, `life`, `reload`, `logs` and
//!   `environment` write their variables into a `translation`. They read keys through `app`, with the names of `keys`
//!   and the types of pm2. `check` gives the outcome to the configuration of the runtime.
//! - `output` prints it.
//!
//! All but `source` and `node` touch nothing: what they need to know of files is in the `context`.

mod app;
mod check;
mod context;
mod ecosystem;
mod environment;
mod fault;
mod json;
mod keys;
mod life;
mod logs;
mod node;
mod output;
mod program;
mod reload;
mod source;
#[cfg(test)]
mod tests;
mod times;
mod translate;
mod translation;
mod value;
mod words;
mod workers;
mod yaml;

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::exit::Failure;

use context::Context;
use ecosystem::Translated;
use value::{Value, get, set};

/// The words of `rpmctl from-pm2`.
#[derive(Debug, Args)]
pub struct FromPm2 {
    /// The ecosystem file: .json, .yaml, .yml, .js, .cjs or .mjs; `-` reads JSON from standard input.
    #[arg(value_name = "FILE", required_unless_present = "words")]
    file: Option<String>,

    /// Take the variables of `env_NAME` too, as `pm2-runtime --env NAME` does.
    #[arg(long, value_name = "NAME")]
    env: Option<String>,

    /// Only these apps, by their names, separated by commas.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,

    /// Write one file for each app into this directory, and print their names. Files that are there are not replaced.
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,

    /// A command line of pm2-runtime or of `pm2 start`.
    #[arg(last = true, value_name = "WORDS", conflicts_with = "file")]
    words: Vec<String>,
}

/// What to print.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
}

/// Translates. `json`: prints JSON. `home`: the home directory, for `~`.
pub fn run(args: &FromPm2, json: bool, home: Option<&str>) -> Result<Printed, Failure> {
    if json && args.dir.is_some() {
        return Err(Failure::unclear(
            "--json prints everything at once, and --dir writes files of variables: take one of them",
        ));
    }
    let words = match args.words.as_slice() {
        [] => None,
        words => Some(
            words::read(words)
                .map_err(|faults| Failure::unclear(listed("the command line", &faults)))?,
        ),
    };
    translated(args, words, json, home).map_err(Failure::failed)
}

/// Translates a file, or a command line.
fn translated(
    args: &FromPm2,
    words: Option<words::Words>,
    json: bool,
    home: Option<&str>,
) -> Result<Printed, String> {
    let (from, translated) = match words {
        Some(words) => of_words(args, words, home)?,
        None => of_file(args, home)?,
    };
    if json {
        return Ok(Printed {
            out: output::json(&translated, &from),
            err: String::new(),
        });
    }
    if let Some(dir) = &args.dir {
        return write(dir, &translated, &from);
    }
    let count = translated.apps.len();
    let err = if count > 1 {
        format!(
            "rpmctl: {count} apps, and each is a container with a file of its own: --dir DIRECTORY writes them, --only NAME prints one\n"
        )
    } else {
        String::new()
    };
    Ok(Printed {
        out: output::text(&translated, &from),
        err,
    })
}

fn context<'a>(
    env: Option<&'a str>,
    home: Option<&'a str>,
    format: Option<&'static str>,
) -> Context<'a> {
    Context {
        env,
        home,
        look: &source::look,
        format,
    }
}

/// All faults, each on a line.
fn listed(from: &str, faults: &[String]) -> String {
    let from = fault::one_line(from);
    match faults {
        [one] => format!("{from}: {one}"),
        all => format!("{from}: {} faults\n  {}", all.len(), all.join("\n  ")),
    }
}

fn of_file(args: &FromPm2, home: Option<&str>) -> Result<(String, Translated), String> {
    let file = args.file.as_deref().unwrap_or_default();
    let value = source::read(file)?;
    let from = if file == "-" { "standard input" } else { file };
    let context = context(args.env.as_deref(), home, None);
    let translated = ecosystem::read(&value, args.only.as_deref(), &context);
    let translated = translated.map_err(|faults| listed(from, &faults))?;
    Ok((from.to_owned(), translated))
}

/// A command line, with a script or with a file.
fn of_words(
    args: &FromPm2,
    mut words: words::Words,
    home: Option<&str>,
) -> Result<(String, Translated), String> {
    let mut from = "the command line".to_owned();
    let env = args.env.clone().or(words.env.take());
    let only = args.only.clone().or(words.only.take());
    let translated = if words::is_file(&words.target) {
        let mut value = source::read(&words.target)?;
        from.clone_from(&words.target);
        watch_all(&mut words, &mut value);
        for (key, _) in &words.app {
            let why = "is taken from the file, and not from the command line, by pm2-runtime too";
            words.dropped.push(translation::Dropped {
                key: format!("the option for {key}"),
                why: why.to_owned(),
            });
        }
        let context = context(env.as_deref(), home, words.format);
        ecosystem::read(&value, only.as_deref(), &context)
    } else {
        set(&mut words.app, "script", Value::Text(words.target.clone()));
        for (option, given) in [("--env", &env), ("--only", &only)] {
            if given.is_some() {
                words.dropped.push(translation::Dropped {
                    key: option.to_owned(),
                    why: "chooses from an ecosystem file, and this is a script".to_owned(),
                });
            }
        }
        let context = context(None, home, words.format);
        let app = Value::Map(std::mem::take(&mut words.app));
        ecosystem::read(&app, None, &context)
    };
    let mut translated = translated.map_err(|faults| listed(&from, &faults))?;
    match translated.apps.as_mut_slice() {
        [one] => one.dropped.append(&mut words.dropped),
        _ => translated.dropped.append(&mut words.dropped),
    }
    Ok((from, translated))
}

/// `--watch` is the only option for apps of a file: it holds for all that do not watch.
fn watch_all(words: &mut words::Words, file: &mut Value) {
    let Some(at) = words.app.iter().position(|(key, _)| key == "watch") else {
        return;
    };
    let (_, watch) = words.app.remove(at);
    ecosystem::each_app(file, &|app| {
        if !get(app, "watch").is_some_and(Value::is_truthy) {
            set(app, "watch", watch.clone());
        }
    });
}

/// Writes a file for each app. They may hold secrets, so they are for the user alone.
fn write(dir: &Path, translated: &Translated, from: &str) -> Result<Printed, String> {
    let failed = |path: &Path, error: std::io::Error| {
        let path = fault::quote(&path.to_string_lossy());
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            format!(
                "{path} is there already, and is not replaced: remove it, or name another directory"
            )
        } else {
            format!("{path} cannot be written: {error}")
        }
    };
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    let mut printed = Printed::default();
    for dropped in &translated.dropped {
        // A String takes everything.
        let _ = writeln!(printed.err, "rpmctl: {} {}", dropped.key, dropped.why);
    }
    for (at, app) in translated.apps.iter().enumerate() {
        let path = dir.join(output::file_name(translated, at));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed(&path, error))?;
        file.write_all(output::env_file(app, from).as_bytes())
            .map_err(|error| failed(&path, error))?;
        let _ = writeln!(printed.out, "{}", path.display());
    }
    Ok(printed)
}
