//! The words of `rpmctl from-pm2`: files, standard input, several apps, JSON, and what is refused.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use super::{fixture, printed, refused, rpmctl, variables};
use crate::harness::scratch;

fn run(directory: &Path, words: &[&str]) -> Output {
    rpmctl(directory, words).output().unwrap()
}

/// A file of this content, translated.
fn of(directory: &Path, name: &str, content: &str) -> Output {
    fs::write(directory.join(name), content).unwrap();
    run(directory, &[name])
}

#[test]
fn an_app_of_several_is_told_apart_and_each_gets_its_file() {
    let directory = scratch("from-pm2-dir");
    let file = fixture("several.json");
    let file = file.to_str().unwrap();
    let all = run(&directory, &[file]);
    let said = String::from_utf8_lossy(&all.stderr);
    assert!(
        said.contains("3 apps") && said.contains("--dir DIRECTORY"),
        "{said}"
    );
    assert_eq!(printed(&all).matches("# ---- ").count(), 3);
    let written = printed(&run(&directory, &[file, "--dir", "env"]));
    assert_eq!(written, "env/api.env\nenv/jobs.env\nenv/py.env\n");
    for (name, app) in [("api", "api"), ("jobs", "jobs"), ("py", "py")] {
        let path = directory.join(format!("env/{name}.env"));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let vars = variables(&fs::read_to_string(path).unwrap());
        assert!(
            vars.contains(&("RPM_APP_NAME".into(), app.into())),
            "{vars:?}"
        );
    }
    let again = refused(&run(&directory, &[file, "--dir", "env"]), 1);
    assert!(
        again.contains("is there already, and is not replaced"),
        "{again}"
    );
}

#[test]
fn standard_input_takes_what_node_prints() {
    let directory = scratch("from-pm2-input");
    let file = fixture("cluster_max.config.js");
    let command = format!("JSON.stringify(require({:?}))", file.to_str().unwrap());
    let node = std::process::Command::new("node")
        .args(["-p", &command])
        .output()
        .unwrap();
    let mut child = rpmctl(&directory, &["-", "--env", "production"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&node.stdout).unwrap();
    let piped = printed(&child.wait_with_output().unwrap());
    let direct = run(&directory, &[file.to_str().unwrap(), "--env", "production"]);
    assert_eq!(variables(&piped), variables(&printed(&direct)));
}

#[test]
fn json_holds_everything() {
    let output = run(&fixture(""), &["everything.json", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&printed(&output)).unwrap();
    let app = &all["apps"][0];
    assert_eq!(app["name"], "everything");
    assert_eq!(app["workdir"], "/home/u/app");
    assert_eq!(app["command"][0], "node");
    let names = |list: &str, key: &str| -> Vec<String> {
        let list = app[list].as_array().unwrap().iter();
        list.map(|item| item[key].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(names("settings", "name").contains(&"RPM_CRON_RELOAD".to_owned()));
    assert!(names("program", "name").contains(&"NODE_OPTIONS".to_owned()));
    assert!(names("dropped", "key").contains(&"watch_options".to_owned()));
    // Each key of the file is a variable, is dropped, or is the same here.
    let text = fs::read_to_string(fixture("everything.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let printed = app.to_string();
    for key in file[0].as_object().unwrap().keys() {
        // These stand in the command.
        let in_command = ["args", "interpreter", "interpreter_args"];
        assert!(
            in_command.contains(&key.as_str())
                || printed.contains(&format!("{key:?}"))
                || printed.contains(&format!("{key} adds "))
                || key == "env",
            "{key}: {printed}"
        );
    }
}

#[test]
fn without_node_the_one_command_is_named() {
    let directory = scratch("from-pm2-no-node");
    fs::write(directory.join("ecosystem.config.js"), "module.exports = {}").unwrap();
    let output = rpmctl(&directory, &["ecosystem.config.js"])
        .env("PATH", directory.as_os_str())
        .output()
        .unwrap();
    let said = refused(&output, 1);
    assert!(
        said.contains("node -p 'JSON.stringify(require(\"./ecosystem.config.js\"))'"),
        "{said}"
    );
    assert!(said.contains("rpmctl from-pm2 -"), "{said}");
}

#[test]
fn a_wrong_file_is_told_with_line_and_column() {
    let directory = scratch("from-pm2-wrong");
    let table = [
        (
            "a.json",
            "{\n  apps: [{\n    name: process.env.X,\n",
            "a.json: line 3, column 11: ",
        ),
        (
            "b.yaml",
            "apps:\n  - name: a\n   script: b\n",
            "b.yaml: line 3, column ",
        ),
        (
            "c.config.js",
            "module.exports = {\n  apps: [\n};\n",
            "c.config.js:3: SyntaxError: ",
        ),
        (
            "d.config.cjs",
            "\nrequire('./gone');\n",
            "Cannot find module './gone'",
        ),
        ("e.json", "{\"apps\": []}", "apps is empty"),
        (
            "f.json",
            "{\"script\": \"a.js\", \"kill_timeout\": \"3s\"}",
            "kill_timeout is \"3s\"",
        ),
        ("g", "x", "read as JSON"),
    ];
    for (name, content, words) in table {
        let said = refused(&of(&directory, name, content), 1);
        assert!(said.starts_with("rpmctl: "), "{said}");
        assert!(said.contains(words), "{name}: {said}");
    }
    fs::write(directory.join("h.json"), b"{\"a\": \"\xff\"}").unwrap();
    let said = refused(&run(&directory, &["h.json"]), 1);
    assert!(said.contains("is not UTF-8 text from byte 7"), "{said}");
    fs::write(directory.join("i.json"), " ".repeat(2 << 20)).unwrap();
    let said = refused(&run(&directory, &["i.json"]), 1);
    assert!(said.contains("more than 1 MiB"), "{said}");
    let said = refused(&run(&directory, &["gone.config.js"]), 1);
    assert!(said.contains("cannot be read: No such file"), "{said}");
    let said = refused(&run(&directory, &["."]), 1);
    assert!(said.contains("is a directory"), "{said}");
}

#[test]
fn wrong_words_are_told_with_their_usage() {
    let directory = scratch("from-pm2-words");
    for (words, said) in [
        (&[][..], "FILE"),
        (&["a.json", "--evn", "x"], "unexpected argument '--evn'"),
        (&["a.json", "--", "app.js"], "cannot be used with"),
        (&["a.json", "--json", "--dir", "x"], "take one of them"),
    ] {
        let told = refused(&run(&directory, words), 64);
        assert!(told.contains(said), "{words:?}: {told}");
    }
    let said = refused(&run(&directory, &["--", "--name", "web"]), 64);
    assert!(said.contains("names no script"), "{said}");
    let said = refused(&run(&directory, &["--", "app.js", "-i"]), 64);
    assert!(said.contains("-i needs a value"), "{said}");
}

#[test]
fn an_environment_or_a_name_that_is_not_there_names_those_that_are() {
    let directory = fixture("");
    let said = refused(
        &run(&directory, &["production.config.cjs", "--env", "prod"]),
        1,
    );
    assert!(said.contains("the file has production, staging"), "{said}");
    let said = refused(&run(&directory, &["several.json", "--only", "web"]), 1);
    assert!(
        said.contains("the file has \"api\", \"jobs\", \"py\""),
        "{said}"
    );
}
