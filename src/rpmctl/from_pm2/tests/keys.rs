//! The keys that become variables of the runtime.

use super::super::keys::KEYS;
use super::{app, beside, dropped, file, notes, whole};

#[test]
fn each_key_becomes_its_variables() {
    let table: [(&str, &[&str]); 44] = [
        (
            "instance_var: 'INSTANCE_ID'",
            &["RPM_INSTANCE_VAR=INSTANCE_ID"],
        ),
        ("instance_var: 'NODE_APP_INSTANCE'", &[]),
        (
            "increment_var: 'PORT', env: {PORT: 3000}",
            &["RPM_INCREMENT_VAR=PORT", "PORT=3000"],
        ),
        ("autorestart: false", &["RPM_RESTART=never"]),
        ("autorestart: true", &[]),
        ("stop_exit_codes: [0, '3']", &["RPM_STOP_EXIT_CODES=0,3"]),
        ("stop_exit_codes: 7", &["RPM_STOP_EXIT_CODES=7"]),
        ("min_uptime: '10s'", &["RPM_MIN_UPTIME=10s"]),
        ("min_uptime: 5000", &["RPM_MIN_UPTIME=5s"]),
        ("min_uptime: '5000'", &["RPM_MIN_UPTIME=5s"]),
        ("max_restarts: 10", &["RPM_MAX_RESTARTS=10"]),
        ("max_restarts: 0", &[]),
        (
            "restart_delay: 3000",
            &["RPM_BACKOFF_MIN=3s", "RPM_BACKOFF_MAX=3s"],
        ),
        ("restart_delay: 0", &[]),
        ("exp_backoff_restart_delay: 100", &["RPM_BACKOFF_MIN=100ms"]),
        (
            "exp_backoff_restart_delay: 20000",
            &["RPM_BACKOFF_MIN=20s", "RPM_BACKOFF_MAX=20s"],
        ),
        ("wait_ready: true", &["RPM_READY=message"]),
        ("wait_ready: false", &[]),
        ("listen_timeout: 10000", &["RPM_READY_TIMEOUT=10s"]),
        ("listenTimeout: '1500'", &["RPM_READY_TIMEOUT=1500ms"]),
        ("kill_timeout: 5000", &["RPM_STOP_TIMEOUT=5s"]),
        ("kill_timeout: 1600", &["RPM_STOP_TIMEOUT=1600ms"]),
        ("shutdown_with_message: true", &["RPM_STOP_MESSAGE=true"]),
        ("max_memory_restart: '300M'", &["RPM_MAX_MEMORY=300Mi"]),
        ("max_memory_restart: '1G'", &["RPM_MAX_MEMORY=1Gi"]),
        ("max_memory_restart: 314572800", &["RPM_MAX_MEMORY=300Mi"]),
        ("cron_restart: '0 4 * * *'", &["RPM_CRON_RELOAD=0 4 * * *"]),
        ("cron: '0 0 4 * * *'", &["RPM_CRON_RELOAD=0 4 * * *"]),
        ("cron_restart: '0'", &[]),
        (
            "watch: true",
            &["RPM_WATCH=.", "RPM_WATCH_IGNORE=.*,node_modules"],
        ),
        (
            "watch: []",
            &["RPM_WATCH=.", "RPM_WATCH_IGNORE=.*,node_modules"],
        ),
        (
            "watch: ['src', '~/conf'], ignore_watch: 'logs tmp', watch_delay: 500",
            &[
                "RPM_WATCH=src,/home/u/conf",
                "RPM_WATCH_IGNORE=logs,tmp",
                "RPM_WATCH_DELAY=500ms",
            ],
        ),
        (
            "watch: 'src/**/*.js', ignore_watch: ['*.log']",
            &["RPM_WATCH=src", "RPM_WATCH_IGNORE=*.log"],
        ),
        ("watch: false", &[]),
        ("log_type: 'json'", &["RPM_LOG_FORMAT=json"]),
        (
            "time: true",
            &[
                "RPM_LOG_FORMAT=prefix",
                "RPM_LOG_TIMESTAMP=%Y-%m-%dT%H:%M:%S",
            ],
        ),
        (
            "log_date_format: 'YYYY-MM-DD HH:mm Z', log_type: 'json'",
            &[
                "RPM_LOG_FORMAT=json",
                "RPM_LOG_TIMESTAMP=%Y-%m-%d %H:%M %:z",
            ],
        ),
        (
            "source_map_support: true",
            &["NODE_OPTIONS=--enable-source-maps"],
        ),
        (
            "source_map_support: true, env: {NODE_OPTIONS: '--max-old-space-size=512'}",
            &["NODE_OPTIONS=--max-old-space-size=512 --enable-source-maps"],
        ),
        ("port: 3000", &["PORT=3000"]),
        ("out_file: '/dev/null', error_file: 'NULL'", &[]),
        ("treekill: false", &[]),
        ("namespace: 'x'", &[]),
        ("exec_mode: 'fork'", &[]),
    ];
    for (keys, variables) in table {
        assert_eq!(beside(&app(keys)), variables, "{keys}");
    }
}

#[test]
fn number_and_mode_are_what_pm2_makes_of_them() {
    // The keys, the number, and whether pm2 forks.
    let table: [(&str, Option<&str>, bool); 15] = [
        ("", None, true),
        ("instances: 1", Some("1"), false),
        ("instances: 4", Some("4"), false),
        ("instances: '4'", Some("4"), false),
        ("instances: 'max'", Some("max"), false),
        ("instances: 0", Some("max"), false),
        ("instances: -1", Some("max-1"), false),
        ("instances: '-1'", Some("max-1"), false),
        // pm2 clusters for 0, -1 and what is above.
        ("instances: -2", Some("max-2"), true),
        ("instances: 2.9", Some("2"), false),
        ("instances: 'many'", Some("max"), false),
        ("instances: 9999", Some("512"), false),
        ("exec_mode: 'cluster'", None, false),
        ("exec_mode: 'fork', instances: 2", Some("2"), true),
        ("execute_command: true, instances: 2", Some("2"), true),
    ];
    for (keys, number, forks) in table {
        let app = app(keys);
        assert_eq!(app.setting("RPM_INSTANCES"), number, "{keys}");
        let mode = forks.then_some("fork");
        assert_eq!(app.setting("RPM_EXEC_MODE"), mode, "{keys}");
    }
    assert!(notes(&app(""), "RPM_EXEC_MODE").contains("pm2 forks without `instances`"));
    let fork = app("exec_mode: 'fork_mode', instances: 2");
    assert!(notes(&fork, "RPM_EXEC_MODE").contains("a port of its own"));
}

#[test]
fn where_a_variable_differs_from_pm2_it_is_said() {
    let table = [
        ("", "RPM_STOP_SIGNAL", "SIGINT"),
        ("instances: 'max'", "RPM_INSTANCES", "CPUs of the container"),
        ("instances: 'many'", "RPM_INSTANCES", "this word as 0"),
        ("instances: 1000", "RPM_INSTANCES", "not possible"),
        ("wait_ready: true", "RPM_READY", "as if it were ready"),
        ("listen_timeout: 3000", "RPM_READY_TIMEOUT", "slowest start"),
        (
            "kill_timeout: 3000, instances: 2",
            "RPM_STOP_TIMEOUT",
            "RPM_DRAIN_TIMEOUT",
        ),
        ("max_restarts: 3", "RPM_MAX_RESTARTS", "the runtime ends"),
        (
            "restart_delay: 5",
            "RPM_BACKOFF_MIN",
            "at once the first time",
        ),
        (
            "exp_backoff_restart_delay: 5",
            "RPM_BACKOFF_MIN",
            "twice as long",
        ),
        (
            "shutdown_with_message: true",
            "RPM_STOP_MESSAGE",
            "the stop signal follows",
        ),
        ("max_memory_restart: '1G'", "RPM_MAX_MEMORY", "PSS"),
        ("cron_restart: '@daily'", "RPM_CRON_RELOAD", "in UTC"),
        ("watch: true", "RPM_WATCH", "one by one"),
        ("watch: ['a/*.js']", "RPM_WATCH", "patterns are not watched"),
        ("autorestart: false", "RPM_RESTART", "exit code"),
        ("time: true", "RPM_LOG_TIMESTAMP", "in UTC"),
        ("log_type: 'json'", "RPM_LOG_FORMAT", "not pm2's"),
    ];
    for (keys, variable, said) in table {
        let notes = notes(&app(keys), variable);
        assert!(notes.contains(said), "{keys}: {notes}");
    }
}

#[test]
fn each_key_without_a_counterpart_is_named_with_its_reason() {
    for key in KEYS {
        if key.dropped.is_none() {
            continue;
        }
        for name in [key.name, key.aliases.first().copied().unwrap_or(key.name)] {
            let app = app(&format!("{name}: true"));
            let found = app.dropped.iter().find(|dropped| dropped.key == name);
            let why = &found.unwrap_or_else(|| panic!("{name}")).why;
            assert!(
                why.starts_with("is ") || why.starts_with("are ") || why.contains(' '),
                "{name}: {why}"
            );
        }
    }
    let app = app(
        "max_memory: 5, colour: 'red', args: 'x', instanceVar: 'A', instance_var: 'B', nothing: null",
    );
    let why = |key: &str| {
        let found = app.dropped.iter().find(|dropped| dropped.key == key);
        found.map_or("", |dropped| &dropped.why)
    };
    assert!(why("colour").contains("is no key of pm2"));
    assert_eq!(app.setting("RPM_INSTANCE_VAR"), Some("B"));
    assert_eq!(dropped(&app).len(), 2, "{:?}", app.dropped);
    let misspelt = super::app("max_memory_restrat: '1G'");
    let why = &misspelt.dropped.first().unwrap().why;
    assert!(why.contains("did you mean max_memory_restart?"), "{why}");
}

#[test]
fn values_that_cannot_be_taken_are_dropped_with_their_key() {
    let table = [
        (
            "cron_restart: '30 0 4 * * *'",
            "cron_restart",
            "field of seconds, \"30\"",
        ),
        ("cron_restart: 'soon'", "cron_restart", "has 1 field"),
        (
            "max_memory_restart: '300K'",
            "max_memory_restart",
            "less than any program needs",
        ),
        ("kill_timeout: 100000000", "kill_timeout", "above 24h"),
        ("stop_exit_codes: [0, 300]", "stop_exit_codes", "\"300\""),
        ("watch: ['a,b', 'c']", "watch", "\"a,b\""),
        (
            "watch: true, ignore_watch: ['/abs', 'ok']",
            "ignore_watch",
            "\"/abs\"",
        ),
        ("ignore_watch: ['x']", "ignore_watch", "without watch"),
        ("watch_delay: 5", "watch_delay", "without watch"),
        ("log_date_format: 'Qo'", "log_date_format", "\"Qo\""),
        ("instance_var: 'RPM_X'", "instance_var", "begins with RPM_"),
        (
            "increment_var: 'PORT', env: {PORT: 'a'}",
            "increment_var",
            "cannot be counted up",
        ),
        (
            "exp_backoff_restart_delay: 5, restart_delay: 6",
            "restart_delay",
            "not used by pm2 either",
        ),
        (
            "interpreter: 'none', node_args: '--x'",
            "node_args",
            "without an interpreter",
        ),
        ("env_staging: {A: 1}", "env_staging", "--env staging"),
    ];
    for (keys, key, why) in table {
        let app = app(keys);
        let found = app.dropped.iter().find(|dropped| dropped.key == key);
        let told = &found
            .unwrap_or_else(|| panic!("{keys}: {:?}", app.dropped))
            .why;
        assert!(told.contains(why), "{keys}: {told}");
    }
}

#[test]
fn what_pm2_refuses_is_refused_with_all_faults() {
    let faults = file(
        "[{script: 'a.js', name: 'a', kill_timeout: '3s', min_uptime: 50, exec_mode: 'banana'}, {name: 'b', max_memory_restart: '300MB', args: 5, \
          watch: 3, cron_restart: 4}, {script: 'serve', name: 'c'}]",
        None,
        None,
    );
    let faults = faults.unwrap_err().join("\n");
    for said in [
        "app \"a\": kill_timeout is \"3s\"",
        "app \"a\": min_uptime is 50",
        "app \"a\": exec_mode is \"banana\"",
        "app \"b\": script is missing",
        "app \"b\": max_memory_restart is \"300MB\"",
        "app \"b\": watch is 3",
        "app \"b\": cron_restart is 4",
        "app \"c\": script \"serve\"",
    ] {
        assert!(faults.contains(said), "{said}\n{faults}");
    }
}

#[test]
fn a_long_uptime_of_a_fork_does_not_keep_it_from_being_ready() {
    let long = app("min_uptime: '60s', listen_timeout: 3000");
    assert_eq!(long.setting("RPM_READY_TIMEOUT"), Some("61s"));
    assert!(notes(&long, "RPM_READY_TIMEOUT").contains("must be longer"));
    let cluster = app("min_uptime: '60s', instances: 2");
    assert_eq!(cluster.setting("RPM_READY_TIMEOUT"), None);
    let longest = app("min_uptime: '24h'");
    assert_eq!(longest.setting("RPM_MIN_UPTIME"), None);
    assert_eq!(dropped(&longest), ["min_uptime"]);
}

#[test]
fn no_key_is_lost() {
    let app = whole(
        "{script: 'app.js', name: 'x', watch: false, vizion: false, merge_logs: true, wait_ready: false, kill_timeout: 0, env: {}, nonsense: 1}",
    );
    assert_eq!(dropped(&app), ["vizion", "nonsense"]);
    assert_eq!(
        app.same,
        ["watch", "merge_logs", "wait_ready", "kill_timeout"]
    );
}
