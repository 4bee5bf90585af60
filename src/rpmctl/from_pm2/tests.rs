//! Whole apps, from their keys to their variables.

mod environment;
mod files;
mod keys;
mod programs;

use super::context::{Context, File};
use super::ecosystem::{self, Translated};
use super::json;
use super::translation::Translation;

/// The files that the tests look at.
fn look(path: &str) -> File {
    match path {
        "bin/www" | "/srv/app/bin/www" => File::Text,
        "./server" | "bin/tool" => File::Binary,
        _ => File::Absent,
    }
}

fn context(env: Option<&'static str>) -> Context<'static> {
    Context {
        env,
        home: Some("/home/u"),
        look: &look,
        format: None,
    }
}

fn file(
    text: &str,
    env: Option<&'static str>,
    only: Option<&str>,
) -> Result<Translated, Vec<String>> {
    ecosystem::read(&json::read(text).unwrap(), only, &context(env))
}

/// One app with a script of Node, and these keys.
fn app(keys: &str) -> Translation {
    whole(&format!("{{script: 'app.js', {keys}}}"))
}

fn whole(text: &str) -> Translation {
    let mut apps = file(text, None, None)
        .unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
        .apps;
    assert_eq!(apps.len(), 1);
    apps.remove(0)
}

/// The variables beside those that every app with a script has.
fn beside(app: &Translation) -> Vec<String> {
    let usual = [
        "RPM_COMMAND=node app.js",
        "RPM_APP_NAME=app",
        "RPM_EXEC_MODE=fork",
        "RPM_STOP_SIGNAL=INT",
    ];
    all(app)
        .into_iter()
        .filter(|line| !usual.contains(&line.as_str()))
        .collect()
}

fn all(app: &Translation) -> Vec<String> {
    app.variables()
        .map(|variable| format!("{}={}", variable.name, variable.value))
        .collect()
}

fn dropped(app: &Translation) -> Vec<&str> {
    app.dropped
        .iter()
        .map(|dropped| dropped.key.as_str())
        .collect()
}

/// What is said of the variable with this name.
fn notes(app: &Translation, name: &str) -> String {
    let variable = app.variables().find(|variable| variable.name == name);
    variable
        .unwrap_or_else(|| panic!("no {name}"))
        .notes
        .join("; ")
}
