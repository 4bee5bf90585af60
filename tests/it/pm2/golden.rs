//! Whole files, and the exact output beside them.
//!
//! `UPDATE_SNAPSHOTS=1 cargo nextest run pm2::golden` writes the output anew; review the difference before committing it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::process::Command;

use rpm_runtime::config::{Input, resolve};
use rpm_runtime::model::Found;
use rpm_runtime::policy::CpuBudget;

use super::{fixture, printed, rpmctl, variables};

/// The name of the output, the words, and the names of the apps.
const TABLE: [(&str, &[&str], &[&str]); 16] = [
    ("simple", &["simple.json"], &["simple"]),
    (
        "cluster_max",
        &["cluster_max.config.js", "--env", "production"],
        &["api"],
    ),
    ("cluster_max_plain", &["cluster_max.config.js"], &["api"]),
    ("several", &["several.json"], &["api", "jobs", "py"]),
    (
        "several_only",
        &["several.json", "--only", "jobs"],
        &["jobs"],
    ),
    ("services", &["services.yaml"], &["web", "ws"]),
    (
        "production",
        &["production.config.cjs", "--env", "production"],
        &["shop-production"],
    ),
    ("production_plain", &["production.config.cjs"], &["shop"]),
    ("module", &["module.config.mjs"], &["esm"]),
    ("watch", &["watch.json"], &["watching"]),
    ("weird_types", &["weird_types.json"], &["weird"]),
    ("everything", &["everything.json"], &["everything"]),
    (
        "shell",
        &["shell.json"],
        &["npm", "sentence", "shell", "forks"],
    ),
    (
        "words",
        &[
            "--",
            "pm2-runtime",
            "start",
            "app.js",
            "-i",
            "4",
            "--name",
            "web",
            "--max-memory-restart",
            "300M",
            "--web",
            "80",
            "--",
            "--port",
            "80",
        ],
        &["web"],
    ),
    (
        "words_short",
        &[
            "--",
            "app.js",
            "-i",
            "max",
            "-n",
            "web",
            "--no-autorestart",
            "--json",
        ],
        &["web"],
    ),
    (
        "words_file",
        &[
            "--",
            "production.config.cjs",
            "--env",
            "staging",
            "--watch",
            "-i",
            "4",
        ],
        &["shop-staging"],
    ),
];

#[test]
fn what_is_printed_is_as_it_was_reviewed() {
    let mut differ = Vec::new();
    for (name, words, _) in TABLE {
        let output = rpmctl(&fixture(""), words).output().unwrap();
        let text = printed(&output);
        let file = fixture(&format!("{name}.env"));
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let stored = fs::read_to_string(&file).unwrap_or_default();
        if stored != text {
            differ.push(format!(
                "{name}: {words:?} prints\n{text}\nand not\n{stored}"
            ));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// The configuration of the runtime takes each file, and warns of nothing.
#[test]
fn what_is_printed_is_a_good_configuration_without_a_warning() {
    for (name, words, apps) in TABLE {
        for app in apps {
            let text = one_app(words, app);
            let vars = variables(&text);
            let name = format!("{name} {app}");
            let resolved = resolve(&Input {
                vars: vars.clone(),
                args: Vec::new(),
                cpus: CpuBudget {
                    quota_milli: Some(3000),
                    cpuset: None,
                    hidden: false,
                    affinity: Some(4),
                    online: Some(4),
                },
                memory: None,
                read_file: &|_| Err(io::Error::from(io::ErrorKind::NotFound)),
                found: &Found::default,
            });
            let resolved = resolved.unwrap_or_else(|faults| panic!("{name}: {faults}\n{text}"));
            assert_eq!(resolved.warnings, Vec::<String>::new(), "{name}\n{text}");
            assert_eq!(resolved.config.program.app_name, *app, "{name}");
            checks(&name, &vars);
        }
    }
}

/// `rpm-runtime --check` says the same. It looks for the program, and that of the file is not here.
#[track_caller]
fn checks(name: &str, vars: &[(OsString, OsString)]) {
    let output = Command::new(env!("CARGO_BIN_EXE_rpm-runtime"))
        .args(["--check", "node", "app.js"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(
            vars.iter()
                .filter(|(name, _)| name != "RPM_COMMAND")
                .cloned(),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{name}: {said}");
    let table = String::from_utf8_lossy(&output.stdout);
    for (variable, _) in vars
        .iter()
        .filter(|(name, _)| name.to_string_lossy().starts_with("RPM_") && name != "RPM_COMMAND")
    {
        let variable = variable.to_string_lossy();
        let line = table
            .lines()
            .find(|line| line.starts_with(&*format!("{variable} ")));
        let line = line.unwrap_or_else(|| panic!("{name}: no {variable} in\n{table}"));
        assert!(line.contains("environment"), "{name}: {line}");
    }
}

/// The output for one app.
fn one_app(words: &[&str], app: &str) -> String {
    let behind = words.iter().position(|word| *word == "--");
    let mut all = words.to_vec();
    // --only takes the name in the file, without the environment behind it.
    let name = app
        .trim_end_matches("-production")
        .trim_end_matches("-staging");
    if behind.is_none() && !words.contains(&"--only") {
        all.extend(["--only", name]);
    }
    printed(&rpmctl(&fixture(""), &all).output().unwrap())
}
