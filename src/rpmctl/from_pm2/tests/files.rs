//! Log files, and what a file holds beside its apps.

use super::{app, beside, dropped, file, notes};

#[test]
fn log_files_are_two_at_most_and_one_for_each_worker_without_merge_logs() {
    let table: [(&str, &[&str], &[&str]); 12] = [
        (
            "out_file: 'o.log', error_file: 'e.log'",
            &["RPM_LOG_FILE=o.log", "RPM_LOG_ERROR_FILE=e.log"],
            &[],
        ),
        (
            "output: '~/logs/o.log'",
            &["RPM_LOG_FILE=/home/u/logs/o.log"],
            &[],
        ),
        ("error: 'e.log'", &["RPM_LOG_ERROR_FILE=e.log"], &[]),
        ("log_file: 'c.log'", &["RPM_LOG_FILE=c.log"], &[]),
        (
            "out_file: 'o.log', error_file: 'e.log', log_file: 'c.log'",
            &["RPM_LOG_FILE=o.log", "RPM_LOG_ERROR_FILE=e.log"],
            &["log_file"],
        ),
        (
            "out_file: 'o.log', log: 'c.log'",
            &["RPM_LOG_FILE=c.log"],
            &["out_file"],
        ),
        (
            "out_file: 'o.log', error_file: 'o.log'",
            &["RPM_LOG_FILE=o.log"],
            &[],
        ),
        (
            "out_file: 'o.log', instances: 2, merge_logs: true",
            &["RPM_INSTANCES=2", "RPM_LOG_FILE=o.log"],
            &[],
        ),
        (
            "out_file: 'o.log', error_file: 'e-0.log', instances: 2",
            &[
                "RPM_INSTANCES=2",
                "RPM_LOG_FILE=o-{slot}.log",
                "RPM_LOG_ERROR_FILE=e-{slot}.log",
            ],
            &[],
        ),
        (
            "out_file: '/dev/stdout', error_file: '/proc/1/fd/2'",
            &[],
            &["out_file", "error_file"],
        ),
        ("out_file: 'o.log', disable_logs: true", &[], &["out_file"]),
        ("log_file: true", &[], &["log_file"]),
    ];
    for (keys, variables, without) in table {
        let app = app(keys);
        assert_eq!(beside(&app), variables, "{keys}");
        assert_eq!(dropped(&app), without, "{keys}");
    }
    assert!(notes(&app("out: 'o.log'"), "RPM_LOG_FILE").contains("stderr is in it too"));
}

#[test]
fn a_file_is_an_object_an_array_or_one_app() {
    for (text, names) in [
        (
            "{apps: [{script: 'a.js'}, {script: 'b.js'}]}",
            &["a", "b"][..],
        ),
        ("{apps: {script: 'a.js'}}", &["a"]),
        (
            "{pm2: [{script: 'a.js'}], name: 'package', version: '1'}",
            &["a"],
        ),
        ("[{script: 'a.js'}, {script: 'x/c.js'}]", &["a", "c"]),
        ("{script: 'a.js'}", &["a"]),
    ] {
        let translated = file(text, None, None).unwrap();
        let found: Vec<&str> = translated
            .apps
            .iter()
            .map(|app| app.name.as_str())
            .collect();
        assert_eq!(found, names, "{text}");
    }
    for (text, said) in [
        ("[]", "apps is empty"),
        ("{apps: [3]}", "app 1 is a number"),
        ("'x'", "app 1 is a text"),
        ("{}", "script is missing"),
        ("null", "app 1 is null"),
    ] {
        let faults = file(text, None, None).unwrap_err().join("\n");
        assert!(faults.contains(said), "{text}: {faults}");
    }
}

#[test]
fn what_stands_beside_the_apps_is_named() {
    let translated = file(
        "{apps: [{script: 'a.js'}], deploy: {production: {}}, static: [{port: 80}], more: 1, none: null}",
        None,
        None,
    );
    let keys: Vec<String> = translated
        .unwrap()
        .dropped
        .into_iter()
        .map(|dropped| dropped.key)
        .collect();
    assert_eq!(keys, ["deploy", "static", "more"]);
}

#[test]
fn only_chooses_by_name() {
    let text = "[{script: 'a.js', name: 'api'}, {script: 'b.js', name: 'jobs'}, {script: 'c.js', kill_timeout: 'x', name: 'broken'}]";
    let names = |only: &str| {
        let apps = file(text, None, Some(only)).unwrap().apps;
        apps.iter().map(|app| app.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("jobs"), ["jobs"]);
    assert_eq!(names("jobs,api"), ["api", "jobs"]);
    // The fault of the third app is told only if it is asked for.
    assert!(file(text, None, None).is_err());
    let faults = file(text, None, Some("web")).unwrap_err();
    assert_eq!(
        faults,
        ["no app is named \"web\"; the file has \"api\", \"jobs\", \"broken\""]
    );
}

#[test]
fn the_name_gets_the_environment_if_it_is_asked_for() {
    let text = "{script: 'a.js', name: 'api', append_env_to_name: true, env_production: {}}";
    let name = |env| file(text, env, None).unwrap().apps[0].name.clone();
    assert_eq!(name(Some("production")), "api-production");
    assert_eq!(name(None), "api");
}
