//! Writes translations: as files of variables, and as JSON.

use std::fmt::Write as _;

use super::ecosystem::Translated;
use super::fault::one_line;
use super::translation::{Translation, Variable};

/// The file of variables of one app. `from`: what was translated, as the first line names it.
pub fn env_file(app: &Translation, from: &str) -> String {
    let mut out = String::new();
    comment(
        &mut out,
        &format!("{} of {from}, for rpm-runtime", app.name),
    );
    comment(
        &mut out,
        "for: docker run --env-file, podman run --env-file, or the environment of the pod",
    );
    let words: Vec<serde_json::Value> = app.argv.iter().map(|word| word.as_str().into()).collect();
    let words = serde_json::Value::from(words);
    comment(
        &mut out,
        &format!(
            "the command as CMD of an image, or as args of a pod, in the place of RPM_COMMAND: {words}"
        ),
    );
    for note in &app.notes {
        comment(&mut out, note);
    }
    for variable in &app.settings {
        assignment(&mut out, variable);
    }
    if !app.program.is_empty() {
        out.push('\n');
        comment(&mut out, "of the program");
    }
    for variable in &app.program {
        assignment(&mut out, variable);
    }
    if !app.dropped.is_empty() {
        out.push('\n');
        comment(&mut out, "not translated:");
    }
    for dropped in &app.dropped {
        comment(&mut out, &format!("- {} {}", dropped.key, dropped.why));
    }
    if !app.same.is_empty() {
        out.push('\n');
        let keys = app.same.join(", ");
        comment(
            &mut out,
            &format!("the same here without a variable: {keys}"),
        );
    }
    out
}

fn comment(out: &mut String, text: &str) {
    let text = one_line(text);
    let _ = writeln!(out, "# {}", text.trim_end()); // a String takes everything
}

fn assignment(out: &mut String, variable: &Variable) {
    let mut notes: Vec<String> = variable.notes.clone();
    let value = match plain(&variable.value) {
        Ok(value) => {
            if value.contains('$') || value.contains(" #") {
                notes.push("docker compose changes $ and # in an env_file: write the value in single quotes there".to_owned());
            }
            value.to_owned()
        }
        Err(quoted) => {
            notes.push("docker run and podman run take the quotes as part of the value: give them this one with --env".to_owned());
            quoted
        }
    };
    for note in notes {
        comment(out, &note);
    }
    let _ = writeln!(out, "{}={value}", variable.name); // a String takes everything
}

/// The value as every reader of such files takes it, or in quotes if there is no such form.
fn plain(value: &str) -> Result<&str, String> {
    let trims = value.trim() != value || value.trim_ascii() != value;
    let breaks = value.contains(['\n', '\r']);
    if !trims && !breaks && !value.starts_with(['"', '\'']) {
        return Ok(value);
    }
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' | '\\' | '$' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out.push('"');
    Err(out)
}

/// All apps on one stream, each with its header if there are several.
pub fn text(translated: &Translated, from: &str) -> String {
    let mut out = String::new();
    for dropped in &translated.dropped {
        comment(&mut out, &format!("{} {}", dropped.key, dropped.why));
    }
    if !translated.dropped.is_empty() {
        out.push('\n');
    }
    for (at, app) in translated.apps.iter().enumerate() {
        if translated.apps.len() > 1 {
            out.push_str(if at == 0 { "" } else { "\n" });
            comment(
                &mut out,
                &format!("---- {} ----", file_name(translated, at)),
            );
        }
        out.push_str(&env_file(app, from));
    }
    out
}

/// The name of the file of an app: its name without what file names should not have, and a number if two are equal.
pub fn file_name(translated: &Translated, at: usize) -> String {
    let base = |app: &Translation| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let name: String = app
            .name
            .chars()
            .map(|c| if plain(c) { c } else { '-' })
            .collect();
        match name.trim_start_matches('.') {
            "" => "app".to_owned(),
            name => name.to_owned(),
        }
    };
    let names: Vec<String> = translated.apps.iter().map(base).collect();
    let name = names.get(at).cloned().unwrap_or_default();
    let before = names
        .iter()
        .take(at)
        .filter(|other| **other == name)
        .count();
    if before == 0 {
        format!("{name}.env")
    } else {
        format!("{name}-{}.env", before + 1)
    }
}

/// Everything as JSON.
pub fn json(translated: &Translated, from: &str) -> String {
    let dropped = |dropped: &super::translation::Dropped| serde_json::json!({"key": dropped.key, "why": dropped.why});
    let variable = |variable: &Variable| {
        serde_json::json!({
            "name": variable.name,
            "value": variable.value,
            "key": variable.key,
            "notes": variable.notes,
        })
    };
    let apps: Vec<serde_json::Value> = translated
        .apps
        .iter()
        .enumerate()
        .map(|(at, app)| {
            serde_json::json!({
                "name": app.name,
                "file": file_name(translated, at),
                "command": app.argv,
                "workdir": app.workdir,
                "settings": app.settings.iter().map(variable).collect::<Vec<_>>(),
                "program": app.program.iter().map(variable).collect::<Vec<_>>(),
                "notes": app.notes,
                "dropped": app.dropped.iter().map(dropped).collect::<Vec<_>>(),
                "same": app.same,
            })
        })
        .collect();
    let all = serde_json::json!({
        "from": from,
        "apps": apps,
        "dropped": translated.dropped.iter().map(dropped).collect::<Vec<_>>(),
    });
    format!("{all:#}\n")
}

#[cfg(test)]
mod tests {
    use rpm_runtime::config;

    use super::*;

    #[test]
    fn no_text_of_the_file_begins_a_line_of_its_own() {
        let mut out = Translation {
            name: "a\nRPM_COMMAND=rm".to_owned(),
            argv: vec!["x\ny".to_owned()],
            ..Translation::default()
        };
        out.set("k\nRPM_A=1", "RPM_APP_NAME", "v\nRPM_B=2")
            .note("n\rRPM_C=3");
        out.drop("d\nRPM_D=4", "w\u{2028}RPM_E=5");
        out.note("n\nRPM_F=6");
        out.same("s\nRPM_G=7");
        let text = env_file(&out, "f\nRPM_H=8");
        let read = config::env_file(text.as_bytes()).unwrap();
        assert_eq!(
            read,
            [("RPM_APP_NAME".into(), "v\nRPM_B=2".into())],
            "{text}"
        );
    }

    #[test]
    fn files_have_plain_names_and_each_its_own() {
        let apps = ["api", "../etc/x", "api", "", "söme app", "..."];
        let translated = Translated {
            apps: apps
                .map(|name| Translation {
                    name: name.to_owned(),
                    ..Translation::default()
                })
                .to_vec(),
            dropped: Vec::new(),
        };
        let names: Vec<String> = (0..apps.len())
            .map(|at| file_name(&translated, at))
            .collect();
        assert_eq!(
            names,
            [
                "api.env",
                "-etc-x.env",
                "api-2.env",
                "app.env",
                "s-me-app.env",
                "app-2.env"
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn every_value_is_read_again_as_it_was(value in "[^\0]{0,30}|[\"'\\\\$#\n\r\t na]{0,20}") {
            let mut out = Translation::default();
            out.give("env", "A", value.clone());
            out.give("env", "B", "b");
            let read = config::env_file(env_file(&out, "x").as_bytes()).unwrap();
            let expected: Vec<(std::ffi::OsString, std::ffi::OsString)> =
                vec![("A".into(), value.into()), ("B".into(), "b".into())];
            proptest::prop_assert_eq!(read, expected);
        }
    }
}
