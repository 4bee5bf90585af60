//! Variables of the program.

use super::{app, beside, dropped, file, notes};

/// Compared with what a program finds under pm2 6.0.14.
#[test]
fn values_are_texts_as_pm2_makes_them() {
    let app = app(
        "env: {A: 'x', B: 5, C: true, D: null, E: {a: 1}, F: [1, 2], G: 1e21, H: '', I: ' y ', J: 'a\\nb'}",
    );
    assert_eq!(
        beside(&app),
        [
            "A=x",
            "B=5",
            "C=true",
            "D=null",
            "E={\"a\":1}",
            "F=[1,2]",
            "G=1e+21",
            "H=",
            "I= y ",
            "J=a\nb"
        ]
    );
    assert!(notes(&app, "D").contains("the text null"));
}

#[test]
fn the_chosen_block_counts_more_than_env_and_port() {
    let text = "{deploy: {production: {env: {A: 'deploy', B: 'deploy', C: 'deploy'}}}, apps: [{script: 'app.js', port: 80, env: {A: 'env', B: 'env', \
                PORT: 1}, env_production: {A: 'production', PORT: 8080, O: {x: 1}, N: null}, env_staging: {A: 's'}}, {script: 'b.js'}]}";
    let apps = file(text, Some("production"), None).unwrap().apps;
    let first = apps.first().unwrap();
    assert_eq!(
        beside(first),
        ["C=deploy", "B=env", "A=production", "PORT=8080"]
    );
    assert_eq!(
        dropped(first),
        ["env_production.O", "env_production.N", "env_staging"]
    );
    let second = apps.get(1).unwrap();
    assert!(
        second.notes.join(" ").contains("no env_production"),
        "{:?}",
        second.notes
    );
    let plain = file(text, None, Some("app")).unwrap().apps;
    assert_eq!(
        beside(plain.first().unwrap()),
        ["A=env", "B=env", "PORT=80"]
    );
}

#[test]
fn watch_inside_a_block_is_a_variable() {
    let text = "{script: 'app.js', env: {watch: false}, env_production: {watch: true, kill_timeout: 5, NODE_ENV: 'production'}}";
    let apps = file(text, Some("production"), None).unwrap().apps;
    let app = apps.first().unwrap();
    assert_eq!(
        beside(app),
        ["watch=true", "kill_timeout=5", "NODE_ENV=production"]
    );
    assert!(notes(app, "watch").contains("watches nothing here"));
    assert!(notes(app, "kill_timeout").contains("obeys it"));
    assert_eq!(app.setting("RPM_WATCH"), None);
}

#[test]
fn an_environment_that_nobody_has_is_a_fault() {
    let text = "[{script: 'a.js', env_production: {}}, {script: 'b.js', env_staging: {}}]";
    let faults = file(text, Some("prod"), None).unwrap_err();
    assert_eq!(
        faults,
        ["--env \"prod\": no app has env_prod; the file has production, staging"]
    );
    let faults = file("{script: 'a.js'}", Some("x"), None).unwrap_err();
    assert!(faults[0].contains("has no env_NAME at all"), "{faults:?}");
}

#[test]
fn names_that_no_file_of_variables_can_hold_are_dropped() {
    let app = app(
        "env: {'A B': 1, 'C=D': 1, '': 1, '#E': 1, 'F\\n': 1, 'g.h': 1, 'Ö': 1, RPM_STOP_SIGNAL: 'TERM', Z: 'x\\0y'}",
    );
    assert_eq!(beside(&app), ["g.h=1", "Ö=1"]);
    assert_eq!(app.dropped.len(), 7, "{:?}", app.dropped);
    assert_eq!(app.setting("RPM_STOP_SIGNAL"), Some("INT"));
}

#[test]
fn an_environment_that_is_no_object_is_dropped_or_refused() {
    assert_eq!(dropped(&app("env: 'A=1'")), ["env"]);
    let faults = file("{script: 'a.js', env: 5}", None, None).unwrap_err();
    assert!(faults[0].contains("env is 5"), "{faults:?}");
}
