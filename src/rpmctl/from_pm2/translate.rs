//! From one app to its variables.

use rpm_runtime::config::nearest;

use super::app::App;
use super::context::Context;
use super::fault::quote;
use super::translation::Translation;
use super::value::{Map, Value};
use super::{check, environment, keys, life, logs, program, reload, workers};

/// Translates one app, or returns what pm2 refuses in it. `deployed`: `deploy.NAME.env` of the file.
pub fn translate(
    map: &Map,
    deployed: Option<&Map>,
    context: &Context<'_>,
) -> Result<Translation, Vec<String>> {
    let mut app = App::new(map);
    let mut out = Translation::default();
    let command = program::translate(&mut app, &mut out, context);
    let argv = out.argv.clone();
    match line(&argv) {
        Ok(line) => {
            out.set("script", "RPM_COMMAND", line);
        }
        Err(_) => app.fault("the command holds a NUL byte".to_owned()),
    }
    workers::name(&mut app, &mut out, context);
    workers::translate(&mut app, &mut out, command);
    life::translate(&mut app, &mut out, command);
    reload::translate(&mut app, &mut out, context);
    logs::translate(&mut app, &mut out, context);
    environment::translate(&mut app, &mut out, context, deployed);
    left(&app, &mut out);
    for key in std::mem::take(&mut app.unset) {
        out.same(key);
    }
    if app.faults.is_empty() {
        app.faults = check::settle(&mut out);
    }
    if app.faults.is_empty() {
        Ok(out)
    } else {
        let name = quote(&out.name);
        let named = |fault: &String| format!("app {name}: {fault}");
        Err(app.faults.iter().map(named).collect())
    }
}

/// The words as RPM_COMMAND splits them, with quotes only where they are needed.
fn line(argv: &[String]) -> Result<String, shlex::QuoteError> {
    let is_plain = |word: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+~".contains(c);
        !word.is_empty() && word.chars().all(plain)
    };
    let mut words = Vec::new();
    for word in argv {
        words.push(if is_plain(word) {
            word.clone()
        } else {
            shlex::try_quote(word)?.into_owned()
        });
    }
    Ok(words.join(" "))
}

/// Keys that were not translated.
fn left(app: &App<'_>, out: &mut Translation) {
    for (name, value) in app.left() {
        if let Some(key) = keys::of_name(name) {
            match key.dropped {
                Some(why) => out.drop(name, why),
                // Another name of a key whose value came from the first one.
                None => out.drop(
                    name,
                    format!("is another name of {}, which counts", key.name),
                ),
            }
        } else if let Some(block) = name.strip_prefix("env_") {
            out.drop(name, format!("was not asked for: --env {block} takes it"));
        } else if *value != Value::Null {
            let known = keys::KEYS.iter().map(|key| key.name);
            let hint = nearest(name, known)
                .map_or_else(String::new, |near| format!("; did you mean {near}?"));
            out.drop(name, format!("is no key of pm2, which ignores it{hint}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn words_are_split_again_as_they_were(argv in proptest::collection::vec("[^\0]{0,8}|[a-z~=#'\" ]{0,8}", 1..5)) {
            proptest::prop_assert_eq!(shlex::split(&line(&argv).unwrap()), Some(argv));
        }
    }
}
