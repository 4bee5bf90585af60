//! Log files and the form of lines.

use super::app::App;
use super::context::Context;
use super::translation::Translation;
use super::value::Value;

/// Writes files and form.
pub fn translate(app: &mut App<'_>, out: &mut Translation, context: &Context<'_>) {
    files(app, out, context);
    form(app, out, context);
    let maps = app.flag("source_map_support");
    let written = app.written("source_map_support");
    match maps {
        Some(true) => {
            out.give(written, "NODE_OPTIONS", "--enable-source-maps");
        }
        Some(false) => out.same(written),
        None => {}
    }
}

/// A file that pm2 writes.
struct Target {
    key: String,
    path: String,
}

fn target(
    app: &mut App<'_>,
    out: &mut Translation,
    context: &Context<'_>,
    name: &'static str,
) -> Option<Target> {
    let (key, value) = app.raw(name)?;
    let path = match value {
        Value::Text(path) => path.clone(),
        Value::Bool(true) if name == "log_file" => {
            out.drop(
                key,
                "names no path; RPM_LOG_FILE does, and stdout gets all lines",
            );
            return None;
        }
        Value::Bool(false) if name == "log_file" => return None,
        _ => {
            app.refused(&key, value, "a path");
            return None;
        }
    };
    if path == "/dev/null" || path == "NULL" {
        out.same(key);
        return None;
    }
    let devices = [
        "/dev/stdout",
        "/dev/stderr",
        "/dev/fd/",
        "/proc/self/fd/",
        "/proc/1/fd/",
    ];
    if devices.iter().any(|device| path.starts_with(device)) {
        out.drop(
            key,
            "is not needed: stdout gets all lines; RPM_LOG_STDERR=split keeps stderr apart",
        );
        return None;
    }
    let path = context.home_of(&path, out, &key);
    if path.contains(['{', '}']) {
        out.drop(key, "holds a brace, and here only {slot} may");
        return None;
    }
    Some(Target { key, path })
}

fn files(app: &mut App<'_>, out: &mut Translation, context: &Context<'_>) {
    let off = app.flag("disable_logs") == Some(true);
    let stdout = target(app, out, context, "out_file");
    let stderr = target(app, out, context, "error_file");
    let both = target(app, out, context, "log_file");
    let merges = app.flag("merge_logs");
    let merge_key = app.raw("merge_logs").map(|(written, _)| written);
    let any = stdout.is_some() || stderr.is_some() || both.is_some();
    if off {
        let written = app.written("disable_logs");
        for target in [stdout, stderr, both].into_iter().flatten() {
            out.drop(target.key, format!("is not written, because of {written}"));
        }
        out.same(written);
        out.same.extend(merge_key);
        return;
    }
    if app.raw("disable_logs").is_some() {
        let written = app.written("disable_logs");
        out.same(written);
    }
    out.same.extend(merge_key);
    if !any {
        return;
    }
    let many = out
        .setting("RPM_INSTANCES")
        .is_some_and(|number| number != "1");
    let apart = many && merges != Some(true);
    let place = |path: &str| {
        if apart {
            with_slot(path)
        } else {
            path.to_owned()
        }
    };
    let (first, second) = match (stdout, stderr, both) {
        (Some(stdout), Some(stderr), both) => {
            if let Some(both) = both {
                let why = "is one file more than is possible here: the lines go to the two others";
                out.drop(both.key, why);
            }
            (Some(stdout), Some(stderr))
        }
        (None, stderr, Some(both)) => (Some(both), stderr),
        (Some(stdout), None, Some(both)) => {
            let why = format!("is not written: {} gets both streams", both.key);
            out.drop(stdout.key, why);
            (Some(both), None)
        }
        (stdout, stderr, None) => (stdout, stderr),
    };
    let alone = second.is_none();
    if let Some(first) = first {
        let value = place(&first.path);
        let variable = out.set(first.key, "RPM_LOG_FILE", value);
        variable.note("beside stdout, which gets every line; rotated daily and at 10Mi (RPM_LOG_ROTATE_SIZE and its neighbours)");
        if apart {
            variable.note("{slot} is the number of the worker, as pm2 adds it without merge_logs");
        }
        if alone {
            variable.note("stderr is in it too");
        }
    }
    if let Some(second) = second {
        let value = place(&second.path);
        // One file for both streams is RPM_LOG_FILE.
        if out.setting("RPM_LOG_FILE") != Some(value.as_str()) {
            out.set(second.key, "RPM_LOG_ERROR_FILE", value);
        }
    }
}

/// pm2 writes `out.log` of worker 2 as `out-2.log`, and changes no other name.
fn with_slot(path: &str) -> String {
    let Some(stem) = path.strip_suffix(".log") else {
        return path.to_owned();
    };
    let base = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let stem = if base.len() < stem.len() {
        base.strip_suffix('-').unwrap_or(stem)
    } else {
        stem
    };
    format!("{stem}-{{slot}}.log")
}

fn form(app: &mut App<'_>, out: &mut Translation, context: &Context<'_>) {
    let log_type = app.text("log_type");
    let json = log_type.as_deref() == Some("json") || context.format == Some("json");
    let timed = app.flag("time");
    let pattern = if timed == Some(true) {
        if app.raw("log_date_format").is_some() {
            let written = app.written("log_date_format");
            out.drop(written, "is not used by pm2 either, beside time");
        }
        Some(("time".to_owned(), "YYYY-MM-DDTHH:mm:ss".to_owned()))
    } else {
        let pattern = app.text("log_date_format");
        pattern.map(|pattern| (app.written("log_date_format"), pattern))
    };
    if timed == Some(false) {
        out.same("time");
    }
    if log_type.is_some() && !json {
        let written = app.written("log_type");
        out.same(written);
    }
    let key = if log_type.is_some() {
        app.written("log_type")
    } else {
        "the command line".to_owned()
    };
    if json {
        out.set(key, "RPM_LOG_FORMAT", "json").note(
            "one object a line, also on stdout; the members are those of docs/logging.md, not pm2's",
        );
    } else if context.format.is_some() {
        out.set(key, "RPM_LOG_FORMAT", "prefix");
    }
    let Some((key, pattern)) = pattern else {
        return;
    };
    let Some(same) = rpm_runtime::config::from_dayjs(&pattern) else {
        let shown = super::fault::quote(&pattern);
        out.drop(
            key,
            format!(
                "{shown} has no pattern of strftime that is the same; RPM_LOG_TIMESTAMP takes one"
            ),
        );
        return;
    };
    if out.setting("RPM_LOG_FORMAT").is_none() {
        out.set(key.clone(), "RPM_LOG_FORMAT", "prefix")
            .note("each line begins with the time and [NAME:SLOT]");
    }
    out.set(key, "RPM_LOG_TIMESTAMP", same)
        .note("in UTC; pm2 takes the time zone of the container");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_get_the_slot_where_pm2_puts_the_number() {
        for (path, name) in [
            ("logs/out.log", "logs/out-{slot}.log"),
            ("logs/out-0.log", "logs/out-{slot}.log"),
            ("logs/out0.log", "logs/out0-{slot}.log"),
            ("logs/out", "logs/out"),
            ("logs/err.txt", "logs/err.txt"),
        ] {
            assert_eq!(with_slot(path), name);
        }
    }
}
