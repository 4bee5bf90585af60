//! The apps of a file.

use super::context::Context;
use super::environment::{blocks, deployed};
use super::fault::quote;
use super::translate::translate;
use super::translation::{Dropped, Translation};
use super::value::{Map, Value, get};

/// What becomes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translated {
    /// One for each app, in the order of the file.
    pub apps: Vec<Translation>,
    /// Keys beside the apps that have no counterpart.
    pub dropped: Vec<Dropped>,
}

/// Translates the apps of a file. `only`: their names, separated by commas; empty: all. Returns all faults.
pub fn read(
    file: &Value,
    only: Option<&str>,
    context: &Context<'_>,
) -> Result<Translated, Vec<String>> {
    let apps = apps(file)?;
    let beside: Map = match file {
        Value::Map(map) if is_file(map) => map.clone(),
        _ => Map::new(),
    };
    if let Some(env) = context.env {
        known_env(env, &apps, &beside)?;
    }
    let deployed = context.env.and_then(|env| deployed(&beside, env));
    let mut out = Translated {
        apps: Vec::new(),
        dropped: left(&beside, context.env),
    };
    let mut faults = Vec::new();
    let wanted: Vec<&str> = only
        .map(|only| {
            only.split([',', ' '])
                .filter(|name| !name.is_empty())
                .collect()
        })
        .unwrap_or_default();
    let mut names = Vec::new();
    for app in apps {
        let translated = translate(app, deployed, context);
        let name = name_of(app, &translated);
        names.push(quote(&name));
        if only.is_some() && !wanted.contains(&name.as_str()) {
            continue;
        }
        match translated {
            Ok(translation) => out.apps.push(translation),
            Err(more) => faults.extend(more),
        }
    }
    if out.apps.is_empty() && faults.is_empty() {
        faults.push(format!(
            "no app is named {}; the file has {}",
            quote(only.unwrap_or_default()),
            names.join(", ")
        ));
    }
    if faults.is_empty() {
        Ok(out)
    } else {
        Err(faults)
    }
}

/// The name that `--only` compares.
fn name_of(app: &Map, translated: &Result<Translation, Vec<String>>) -> String {
    match (translated, get(app, "name")) {
        (Ok(translation), None) => translation.name.clone(),
        (_, Some(Value::Text(name))) => name.clone(),
        _ => String::new(),
    }
}

/// Whether this object holds apps, and is none itself.
fn is_file(map: &Map) -> bool {
    ["apps", "pm2"]
        .iter()
        .any(|key| get(map, key).is_some_and(Value::is_truthy))
}

fn apps(file: &Value) -> Result<Vec<&Map>, Vec<String>> {
    let found = match file {
        Value::Map(map) => {
            let of = |key| get(map, key).filter(|value| value.is_truthy());
            of("apps").or_else(|| of("pm2")).unwrap_or(file)
        }
        _ => file,
    };
    let several = match found {
        Value::List(apps) => apps.as_slice(),
        one => std::slice::from_ref(one),
    };
    if several.is_empty() {
        return Err(vec![
            "apps is empty: there is nothing to translate".to_owned(),
        ]);
    }
    let mut maps = Vec::new();
    let mut faults = Vec::new();
    for (at, app) in several.iter().enumerate() {
        match app {
            Value::Map(map) => maps.push(map),
            other => faults.push(format!(
                "app {} is {}, and an app is an object such as {{\"script\": \"app.js\"}}",
                at + 1,
                other.kind()
            )),
        }
    }
    if faults.is_empty() {
        Ok(maps)
    } else {
        Err(faults)
    }
}

/// Changes every app of a file.
pub fn each_app(file: &mut Value, change: &dyn Fn(&mut Map)) {
    let change_all = |found: &mut Value| match found {
        Value::List(apps) => {
            for app in apps {
                if let Value::Map(app) = app {
                    change(app);
                }
            }
        }
        Value::Map(app) => change(app),
        _ => {}
    };
    if let Value::Map(map) = file {
        for key in ["apps", "pm2"] {
            let found = map.iter_mut().find(|(name, _)| name == key);
            if let Some((_, found)) = found.filter(|(_, found)| found.is_truthy()) {
                change_all(found);
                return;
            }
        }
    }
    change_all(file);
}

/// Whether any app knows this environment. pm2 only warns; here a slip would print the variables of another one.
fn known_env(env: &str, apps: &[&Map], beside: &Map) -> Result<(), Vec<String>> {
    let mut known: Vec<&str> = apps.iter().flat_map(|app| blocks(app)).collect();
    if known.contains(&env) || deployed(beside, env).is_some() {
        return Ok(());
    }
    known.sort_unstable();
    known.dedup();
    let known = match known.as_slice() {
        [] => "the file has no env_NAME at all; leave --env out".to_owned(),
        some => format!("the file has {}", some.join(", ")),
    };
    Err(vec![format!(
        "--env {}: no app has env_{env}; {known}",
        quote(env)
    )])
}

/// Keys beside the apps.
fn left(file: &Map, env: Option<&str>) -> Vec<Dropped> {
    let mut dropped = Vec::new();
    for (key, value) in file {
        if *value == Value::Null {
            continue;
        }
        let why = match key.as_str() {
            "apps" | "pm2" => continue,
            "deploy" if env.is_some_and(|env| deployed(file, env).is_some()) => {
                "is pm2's deployment by ssh; only its env was taken"
            }
            "deploy" => "is pm2's deployment by ssh; here a new image is the deployment",
            "static" => {
                "are file servers of pm2, and there is none here: run a web server in a container of its own"
            }
            "module_conf" => "belongs to modules of pm2",
            _ => "is not read by pm2 beside apps",
        };
        dropped.push(Dropped {
            key: super::fault::one_line(key),
            why: why.to_owned(),
        });
    }
    dropped
}
