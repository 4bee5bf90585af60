//! Name, number and mode of the workers.

use rpm_runtime::config::MAX_INSTANCES;

use super::app::{App, whole};
use super::context::Context;
use super::program::Command;
use super::translation::Translation;
use super::value::{Value, number_of};

/// Writes the name. Without one, pm2 takes that of the script without its extension.
pub fn name(app: &mut App<'_>, out: &mut Translation, context: &Context<'_>) {
    let given = app.text("name").filter(|name| !name.is_empty());
    let script = ["script", "cmd", "command"]
        .into_iter()
        .find_map(|key| app.text(key))
        .unwrap_or_default();
    let mut name = given.clone().unwrap_or_else(|| of_script(&script));
    if app.flag("append_env_to_name") == Some(true) {
        if let Some(env) = context.env {
            name = format!("{name}-{env}");
        } else {
            let written = app.written("append_env_to_name");
            out.same(written);
        }
    }
    out.name.clone_from(&name);
    let key = if given.is_some() { "name" } else { "script" };
    out.set(key, "RPM_APP_NAME", name);
}

fn of_script(script: &str) -> String {
    let base = script.rsplit('/').next().unwrap_or(script);
    match base.rfind('.') {
        Some(dot) if dot > 0 => base.get(..dot).unwrap_or(base).to_owned(),
        _ => base.to_owned(),
    }
}

/// Writes number, mode, and the variables that differ between workers.
pub fn translate(app: &mut App<'_>, out: &mut Translation, command: Command) {
    let instances = instances(app);
    let number = instances.map(|(number, _)| number);
    if let Some((number, raw)) = instances {
        let written = app.written("instances");
        set_number(out, &written, number, raw);
    }
    mode(app, out, command, number);
    if let Some(name) = app.text("instance_var") {
        let written = app.written("instance_var");
        if name == "NODE_APP_INSTANCE" {
            out.same(written);
        } else {
            out.set(written, "RPM_INSTANCE_VAR", name);
        }
    }
    if let Some(name) = app.text("increment_var") {
        let written = app.written("increment_var");
        out.set(written, "RPM_INCREMENT_VAR", name);
    }
}

/// The number, as pm2 takes it, and whether it was a word that pm2 takes as 0.
fn instances(app: &mut App<'_>) -> Option<(i64, bool)> {
    let (written, value) = app.raw("instances")?;
    let number = match value {
        Value::Number(number) => Some(*number),
        Value::Text(text) if text == "max" => Some(0.0),
        Value::Text(text) => {
            return Some(parse_int(text).map_or((0, true), |number| (number, false)));
        }
        _ => None,
    };
    if number.is_none() {
        app.refused(&written, value, "a number or max");
    }
    number.map(|number| {
        let size = whole(number.abs()).unwrap_or(u64::MAX);
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        (if number < 0.0 { -size } else { size }, false)
    })
}

/// The number at the beginning of a text.
fn parse_int(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let sign = text.len() - text.trim_start_matches(['-', '+']).len();
    let digits = text
        .get(sign..)?
        .find(|c: char| !c.is_ascii_digit())
        .map_or(text.len(), |end| sign + end);
    let number = number_of(text.get(..digits)?)?;
    let size = i64::try_from(whole(number.abs())?).ok()?;
    Some(if number < 0.0 { -size } else { size })
}

fn set_number(out: &mut Translation, key: &str, number: i64, was_word: bool) {
    let most = i64::from(MAX_INSTANCES);
    let value = match number {
        0 => "max".to_owned(),
        _ if number < 0 => format!("max-{}", number.unsigned_abs().min(MAX_INSTANCES.into())),
        _ => number.min(most).to_string(),
    };
    let variable = out.set(key, "RPM_INSTANCES", value);
    if was_word {
        variable.note("pm2 takes this word as 0, which is max");
    }
    if number <= 0 {
        variable.note("max is the CPUs of the container here, those of the machine with pm2");
    }
    if number > most {
        variable.note(format!("more than {most} workers are not possible"));
    }
}

/// The mode. pm2 clusters if it is told to, or if there are instances and the interpreter is Node or Bun.
fn mode(app: &mut App<'_>, out: &mut Translation, command: Command, number: Option<i64>) {
    let told = app.text("exec_mode");
    let told = match told.as_deref() {
        Some("cluster" | "cluster_mode") => Some(true),
        Some("fork" | "fork_mode") => Some(false),
        Some(_) => {
            if let Some((written, value)) = app.raw("exec_mode") {
                app.refused(&written, value, "cluster or fork");
            }
            None
        }
        None => None,
    };
    let executes = app.flag("execute_command") == Some(true);
    let counted = number.is_some_and(|number| number >= -1);
    let clusters = !executes && told.unwrap_or(counted && command.clusters);
    let key = if executes {
        app.written("execute_command")
    } else if told.is_some() {
        app.written("exec_mode")
    } else if number.is_some() {
        app.written("instances")
    } else {
        "instances".to_owned()
    };
    if clusters {
        if told.is_some() {
            out.same(key);
        }
        return;
    }
    let many = number.is_some_and(|number| number != 1);
    let variable = out.set(key, "RPM_EXEC_MODE", "fork");
    if told.is_none() && number.is_none() {
        variable.note("pm2 forks without `instances`");
    } else if told.is_none() {
        variable.note("pm2 forks here: it clusters Node and Bun only");
    }
    variable.note(if many {
        "each worker binds a port of its own. Take the line out, and they share one port, and a reload has no gap"
    } else {
        "a reload stops the worker first, as with pm2. Take the line out, and a reload has no gap"
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_script_is_pm2s() {
        for (script, name) in [
            ("dist/main.js", "main"),
            ("app", "app"),
            ("python3 app.py", "python3 app"),
            (".hidden", ".hidden"),
            ("a.b.js", "a.b"),
        ] {
            assert_eq!(of_script(script), name);
        }
    }

    #[test]
    fn numbers_in_texts_are_read_as_javascript_reads_them() {
        for (text, number) in [
            ("4", Some(4)),
            ("-1", Some(-1)),
            ("2 workers", Some(2)),
            ("many", None),
            ("", None),
        ] {
            assert_eq!(parse_int(text), number, "{text}");
        }
    }
}
