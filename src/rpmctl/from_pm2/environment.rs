//! The variables of the program: `env`, `env_NAME`, `port`.

use super::app::App;
use super::context::Context;
use super::keys;
use super::translation::Translation;
use super::value::{Map, Value, get};

/// Writes the variables of the program. `deployed`: `deploy.NAME.env` of the file, which counts least.
pub fn translate(
    app: &mut App<'_>,
    out: &mut Translation,
    context: &Context<'_>,
    deployed: Option<&Map>,
) {
    // What the translation set already, such as NODE_OPTIONS.
    let before = std::mem::take(&mut out.program);
    for (name, value) in deployed.into_iter().flatten() {
        give(out, "deploy", name, value, false);
    }
    let env = app.raw("env");
    match env {
        Some((key, Value::Map(map))) => {
            for (name, value) in map {
                give(out, &key, name, value, true);
            }
        }
        Some((key, Value::Text(_))) => {
            out.drop(
                key,
                "is a text, of which pm2 makes no variables: it takes an object",
            );
        }
        Some((key, value)) => app.refused(&key, value, "an object"),
        None => {}
    }
    if let Some((key, value)) = app.raw("port") {
        match value {
            Value::Number(_) | Value::Text(_) if value.is_truthy() => {
                out.give(key, "PORT", value.text());
            }
            Value::Number(_) | Value::Text(_) => out.same(key),
            _ => app.refused(&key, value, "a number"),
        }
    }
    if let Some(chosen) = context.env {
        chosen_env(app, out, chosen);
    }
    for variable in before {
        merge(out, variable);
    }
}

/// The variables of `env_NAME`.
fn chosen_env(app: &mut App<'_>, out: &mut Translation, chosen: &str) {
    let key = format!("env_{chosen}");
    match app.other(&key) {
        Some(Value::Map(map)) => {
            for (name, value) in map {
                give(out, &key, name, value, false);
            }
        }
        Some(value) => {
            let kind = value.kind();
            out.drop(
                key,
                format!("is {kind}, of which pm2 makes no variables: it takes an object"),
            );
        }
        None => out.note(format!("this app has no {key}; pm2 warns and goes on")),
    }
}

/// One variable. pm2 writes objects of `env` as JSON, and passes none of the others on.
fn give(out: &mut Translation, key: &str, name: &str, value: &Value, as_json: bool) {
    let written = format!("{key}.{name}");
    let is_object = matches!(value, Value::Null | Value::List(_) | Value::Map(_));
    if is_object && !as_json {
        let kind = value.kind();
        out.drop(
            written,
            format!("is {kind}, which pm2 passes on from env alone"),
        );
        return;
    }
    if let Err(why) = is_name(name) {
        out.drop(written, why);
        return;
    }
    let text = value.text();
    if text.contains('\0') {
        out.drop(written, "holds a NUL byte, which no variable can hold");
        return;
    }
    if out.setting(name).is_some() {
        out.drop(written, "is translated from another key of the app already");
        return;
    }
    let variable = out.give(written, name, text);
    if *value == Value::Null {
        variable.note("null is the text null with pm2 too");
    }
    if name == "watch" {
        variable.note(format!(
            "watch in {key} is a variable of the program and watches nothing here; pm2 6 also obeys it. RPM_WATCH=. watches"
        ));
    } else if keys::of_name(name).is_some_and(|known| acts(known.name)) {
        variable.note(format!(
            "a variable of the program here; pm2 6 also obeys it as its key {name}"
        ));
    }
}

/// Whether pm2's manager reads this key from among the variables.
fn acts(key: &str) -> bool {
    [
        "autorestart",
        "cron_restart",
        "exp_backoff_restart_delay",
        "kill_timeout",
        "listen_timeout",
        "max_memory_restart",
        "max_restarts",
        "merge_logs",
        "min_uptime",
        "restart_delay",
        "shutdown_with_message",
        "stop_exit_codes",
        "treekill",
        "wait_ready",
        "watch",
    ]
    .contains(&key)
}

fn is_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("has no name")
    } else if name.contains('=') || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Err("is no name of a variable")
    } else if name.starts_with('#') {
        Err("begins with #, as comments do in a file of variables")
    } else {
        Ok(())
    }
}

/// A variable that the translation sets by itself: the program's own value stays, and options of Node are added.
fn merge(out: &mut Translation, variable: super::translation::Variable) {
    let own = out.program.iter_mut().find(|own| own.name == variable.name);
    match own {
        None => out.program.push(variable),
        Some(own) if own.name == "NODE_OPTIONS" && !own.value.contains(&variable.value) => {
            let both = [own.value.as_str(), &variable.value];
            let (key, option) = (&variable.key, &variable.value);
            let note = format!("{key} adds {option}");
            own.value = both.join(" ");
            own.note(note);
        }
        // pm2 overwrites it.
        Some(own) if own.name == "PYTHONUNBUFFERED" => *own = variable,
        Some(_) => {}
    }
}

/// The names of the blocks `env_NAME` of an app.
pub fn blocks(app: &Map) -> impl Iterator<Item = &str> {
    app.iter()
        .filter(|(_, value)| *value != Value::Null)
        .filter_map(|(key, _)| key.strip_prefix("env_"))
        .filter(|name| !name.is_empty())
}

/// `deploy.NAME.env`.
pub fn deployed<'a>(file: &'a Map, name: &str) -> Option<&'a Map> {
    let of = |map: &'a Map, key: &str| match get(map, key) {
        Some(Value::Map(map)) => Some(map),
        _ => None,
    };
    of(of(of(file, "deploy")?, name)?, "env")
}
