//! Script, interpreter, arguments, and what depends on the program.

use super::{app, dropped, notes, whole};

#[test]
fn the_command_is_what_pm2_would_run() {
    let table = [
        ("{script: 'app.js'}", "node app.js"),
        (
            "{script: './dist/main.mjs', args: 'start --port 80'}",
            "node ./dist/main.mjs start --port 80",
        ),
        (
            "{script: 'app.js', args: ['a b', 5]}",
            "node app.js 'a b' 5",
        ),
        (
            "{script: 'app.js', node_args: '--max-old-space-size=512'}",
            "node --max-old-space-size=512 app.js",
        ),
        (
            "{script: 'app.js', interpreter_args: ['-r', 'x']}",
            "node -r x app.js",
        ),
        ("{script: 'app.py'}", "python3 app.py"),
        (
            "{script: 'app.py', interpreter: '~/venv/bin/python'}",
            "/home/u/venv/bin/python app.py",
        ),
        ("{script: 'run.sh', args: 'x'}", "bash run.sh x"),
        ("{script: 'a.ts'}", "bun a.ts"),
        (
            "{script: 'a.ts', interpreter: 'node', interpreterArgs: '--import tsx'}",
            "node --import tsx a.ts",
        ),
        ("{script: 'npm', args: 'run start'}", "npm run start"),
        ("{script: 'python3', args: ['-m', 'app']}", "python3 -m app"),
        ("{script: 'app', interpreter: 'none'}", "app"),
        ("{script: './server', args: '-p 80'}", "./server -p 80"),
        ("{script: 'bin/www'}", "node bin/www"),
        ("{script: './www', cwd: '/srv/app/bin'}", "node ./www"),
        (
            "{script: '/usr/local/bin/gunicorn', args: 'app:app'}",
            "/usr/local/bin/gunicorn app:app",
        ),
        (
            "{script: 'node_modules/.bin/next', args: 'start'}",
            "node_modules/.bin/next start",
        ),
        ("{script: '~/app.js'}", "node /home/u/app.js"),
        ("{cmd: 'app.js'}", "node app.js"),
        ("{command: 'python3 app.py --x'}", "python3 app.py --x"),
        ("{script: 'npm run start'}", "npm run start"),
        (
            "{script: 'node app.js && echo done'}",
            "bash -c 'node app.js && echo done'",
        ),
        (
            "{script: 'NODE_ENV=x node app.js'}",
            "bash -c 'NODE_ENV=x node app.js'",
        ),
        (
            "{script: 'cd /srv; node app.js'}",
            "bash -c 'cd /srv; node app.js'",
        ),
        (
            "{script: 'app.js', interpreter: 'node@20.1.0'}",
            "node app.js",
        ),
    ];
    for (text, command) in table {
        assert_eq!(whole(text).setting("RPM_COMMAND"), Some(command), "{text}");
    }
}

#[test]
fn python_is_not_buffered() {
    let app = whole("{script: 'app.py', env: {PYTHONUNBUFFERED: '0', A: 1}}");
    let given: Vec<(&str, &str)> = app
        .program
        .iter()
        .map(|variable| (variable.name.as_str(), variable.value.as_str()))
        .collect();
    assert_eq!(given, [("PYTHONUNBUFFERED", "1"), ("A", "1")]);
}

#[test]
fn only_node_and_bun_are_clustered() {
    let table = [
        ("{script: 'app.js', instances: 2}", false),
        ("{script: 'a.ts', instances: 2}", false),
        ("{script: 'npm', args: 'start', instances: 2}", false),
        ("{script: 'app.py', instances: 2}", true),
        ("{script: 'python3', args: 'app.py', instances: 2}", true),
        ("{script: 'node', args: 'app.js', instances: 2}", true),
        ("{script: 'node app.js', instances: 2}", true),
        ("{script: './server', instances: 2}", true),
        (
            "{script: 'app.py', instances: 2, exec_mode: 'cluster'}",
            false,
        ),
    ];
    for (text, forks) in table {
        let mode = forks.then_some("fork");
        assert_eq!(whole(text).setting("RPM_EXEC_MODE"), mode, "{text}");
    }
}

#[test]
fn messages_need_a_program_that_gets_them() {
    let ready = |text: &str| {
        let app = whole(text);
        let ready = app.setting("RPM_READY").map(str::to_owned);
        let node = app.setting("RPM_NODE").map(str::to_owned);
        (ready, node, dropped(&app).contains(&"wait_ready"))
    };
    let message = || Some("message".to_owned());
    assert_eq!(
        ready("{script: 'a.js', wait_ready: true}"),
        (message(), None, false)
    );
    assert_eq!(
        ready("{script: 'node_modules/.bin/my-server', wait_ready: true}"),
        (message(), None, false)
    );
    assert_eq!(
        ready("{script: 'sleep 1; node a.js', wait_ready: true}"),
        (message(), Some("on".to_owned()), false)
    );
    for text in [
        "{script: 'npm', args: 'start', wait_ready: true}",
        "{script: 'a.py', wait_ready: true}",
    ] {
        assert_eq!(ready(text), (None, None, true), "{text}");
    }
    let npm = whole("{script: 'npm start', shutdown_with_message: true}");
    assert_eq!(npm.setting("RPM_STOP_MESSAGE"), None);
    assert_eq!(dropped(&npm), ["shutdown_with_message"]);
}

#[test]
fn programs_behind_a_shell_or_npm_get_the_signal_too() {
    for (text, group) in [
        ("{script: 'npm', args: 'start'}", true),
        ("{script: 'a.js; true'}", false),
        ("{script: 'node a.js; true'}", true),
        ("{script: 'npm', args: 'start', treekill: false}", false),
        ("{script: 'app.js'}", false),
    ] {
        let scope = group.then_some("group");
        let text = text.replace("'a.js; true'", "'app.js'");
        assert_eq!(whole(&text).setting("RPM_SIGNAL_SCOPE"), scope, "{text}");
    }
}

#[test]
fn a_home_directory_and_a_working_directory_are_told() {
    let app = app("cwd: '~/srv/app'");
    assert_eq!(app.workdir.as_deref(), Some("/home/u/srv/app"));
    assert!(
        app.dropped
            .first()
            .unwrap()
            .why
            .contains("WORKDIR /home/u/srv/app")
    );
    assert!(notes(&whole("{script: 'a.py'}"), "PYTHONUNBUFFERED").contains("Python"));
    let node = whole("{script: 'app.js', interpreter: '~/.nvm/bin/node@18'}");
    assert!(node.notes.join(" ").contains("Node 18"), "{:?}", node.notes);
    let absent = whole("{script: './unknown/www'}");
    assert!(
        absent
            .notes
            .join(" ")
            .contains("is not here to be looked at")
    );
}

#[test]
fn words_that_a_shell_would_not_get_are_named() {
    let app = whole("{script: 'node app.js', args: 'x', interpreter: 'node', node_args: '-r y'}");
    assert_eq!(app.setting("RPM_COMMAND"), Some("node app.js"));
    assert_eq!(dropped(&app), ["args", "interpreter", "node_args"]);
}
