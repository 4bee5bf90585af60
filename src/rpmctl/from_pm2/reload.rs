//! What causes reloads: memory, times, changed files.

use super::app::App;
use super::check;
use super::context::Context;
use super::fault::quote;
use super::life::set_time;
use super::times::{bytes, size};
use super::translation::Translation;
use super::value::Value;

/// Writes what causes reloads.
pub fn translate(app: &mut App<'_>, out: &mut Translation, context: &Context<'_>) {
    memory(app, out);
    cron(app, out);
    watch(app, out, context);
}

fn memory(app: &mut App<'_>, out: &mut Translation) {
    let Some(limit) = size(app, "max_memory_restart") else {
        return;
    };
    let written = app.written("max_memory_restart");
    out.set(written, "RPM_MAX_MEMORY", bytes(limit)).note(
        "pages that workers share count by parts (PSS), so the figure is below the RSS that pm2 compares; pm2's K, M and G are powers of 1024",
    );
}

fn cron(app: &mut App<'_>, out: &mut Translation) {
    let Some((written, value)) = app.raw("cron_restart") else {
        return;
    };
    let Value::Text(text) = value else {
        app.refused(&written, value, "a text");
        return;
    };
    let text = text.trim();
    if text == "0" {
        out.same(written);
        return;
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let fields = match fields.as_slice() {
        // pm2 also takes a field of seconds, first.
        ["0" | "00", five @ ..] if five.len() == 5 => five.to_vec(),
        [second, five @ ..] if five.len() == 5 => {
            let second = quote(second);
            out.drop(
                written,
                format!("has a field of seconds, {second}; schedules here have none: write five fields into RPM_CRON_RELOAD"),
            );
            return;
        }
        _ => fields,
    };
    let schedule = fields.join(" ");
    match check::value("RPM_CRON_RELOAD", &schedule) {
        Ok(()) => {
            let never = out.setting("RPM_RESTART") == Some("never");
            let variable = out.set(written, "RPM_CRON_RELOAD", schedule);
            variable.note(
                "in UTC; pm2 takes the time zone of the container. The workers are reloaded one by one; pm2 restarts all at once",
            );
            if never {
                variable.note("a program that has ended is not started at these times, because of RPM_RESTART=never: a job that comes and goes is a CronJob");
            }
        }
        Err(why) => out.drop(written, why),
    }
}

fn watch(app: &mut App<'_>, out: &mut Translation, context: &Context<'_>) {
    let found = match app.raw("watch") {
        None | Some((_, Value::Bool(false))) => None,
        Some((_, Value::Bool(true))) => Some(vec![".".to_owned()]),
        Some((_, Value::Text(path))) => Some(vec![path.clone()]),
        Some((_, Value::List(paths))) if paths.is_empty() => Some(vec![".".to_owned()]),
        Some((_, Value::List(paths))) => Some(paths.iter().map(Value::text).collect()),
        Some((written, value)) => {
            app.refused(&written, value, "true, false, a path or an array");
            None
        }
    };
    let written = app.written("watch");
    let watches = if let Some(paths) = found {
        set_paths(out, context, &written, &paths)
    } else {
        if app.raw("watch").is_some() {
            out.same(written);
        }
        false
    };
    let ignored = app.words("ignore_watch");
    let delay = app.milliseconds("watch_delay");
    for (key, is_set) in [
        ("ignore_watch", ignored.is_some()),
        ("watch_delay", delay.is_some()),
    ] {
        if is_set && !watches {
            let written = app.written(key);
            out.drop(written, "has no effect without watch");
        }
    }
    if !watches {
        return;
    }
    if let Some(entries) = ignored {
        let written = app.written("ignore_watch");
        ignore(out, &written, &entries);
    } else {
        out.set("watch", "RPM_WATCH_IGNORE", ".*,node_modules")
            .note("what pm2 ignores by itself: names that begin with a dot, and node_modules");
    }
    if let Some(delay) = delay {
        let written = app.written("watch_delay");
        set_time(out, &written, "RPM_WATCH_DELAY", delay);
    }
}

/// Returns whether any path is watched.
fn set_paths(out: &mut Translation, context: &Context<'_>, key: &str, paths: &[String]) -> bool {
    let mut taken: Vec<String> = Vec::new();
    let mut cut = Vec::new();
    for path in paths {
        let path = context.home_of(path, out, key);
        if path.starts_with('!') || path.contains(',') {
            let path = quote(&path);
            out.drop(key, format!("holds {path}, which is no path here; RPM_WATCH_IGNORE names what does not count"));
            continue;
        }
        let plain = before_glob(&path);
        if plain != path {
            cut.push(quote(&path));
        }
        if !taken.contains(&plain) {
            taken.push(plain);
        }
    }
    if taken.is_empty() {
        return false;
    }
    let variable = out.set(key, "RPM_WATCH", taken.join(","));
    variable.note("a change reloads the workers one by one; pm2 restarts all at once");
    if !cut.is_empty() {
        variable.note(format!(
            "patterns are not watched, but the whole directory: {}",
            cut.join(", ")
        ));
    }
    true
}

/// The directory before the first name with a pattern.
fn before_glob(path: &str) -> String {
    if !path.contains(['*', '?', '[', '{']) {
        return path.to_owned();
    }
    let names = path.split('/');
    let plain: Vec<&str> = names
        .take_while(|name| !name.contains(['*', '?', '[', '{']))
        .collect();
    match plain.join("/") {
        none if none.is_empty() && path.starts_with('/') => "/".to_owned(),
        none if none.is_empty() => ".".to_owned(),
        some => some,
    }
}

fn ignore(out: &mut Translation, key: &str, entries: &[String]) {
    let mut taken = Vec::new();
    for entry in entries {
        if entry.contains(',') {
            let entry = quote(entry);
            out.drop(
                key,
                format!("holds {entry}: a comma separates entries here"),
            );
            continue;
        }
        match check::value("RPM_WATCH_IGNORE", entry) {
            Ok(()) => taken.push(entry.clone()),
            Err(why) => out.drop(
                key,
                format!("holds an entry that has no counterpart: {why}"),
            ),
        }
    }
    if !taken.is_empty() {
        out.set(key, "RPM_WATCH_IGNORE", taken.join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_cut_to_its_directory() {
        for (path, directory) in [
            ("src", "src"),
            ("./src/**/*.js", "./src"),
            ("*.js", "."),
            ("/*", "/"),
            ("/srv/{a,b}", "/srv"),
        ] {
            assert_eq!(before_glob(path), directory);
        }
    }
}
