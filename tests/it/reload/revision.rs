//! Which version and commit of the application is shown, from its files.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::shared_port::{stop, wait_ready};
use crate::harness::status::wait_reload_ends;
use crate::harness::{Builder, Runtime, Signal, scratch};

/// A program that serves nothing, and does not come up if there is a file `bad` in its directory.
fn service(directory: &Path) -> Builder {
    Runtime::builder()
        .directory(directory)
        .env("RPM_EXEC_MODE", "fork")
        .env("RPM_READY", "delay:10ms")
        .env("RPM_MIN_READY", "0")
        .program(["/bin/sh", "-c", "[ ! -e bad ] && exec sleep 1000"])
}

fn git(directory: &Path, words: &str) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(words.split(' '))
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap_or_else(|error| panic!("git: {error}; run scripts/test-deps"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {words}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a commit with this version in package.json. Returns its name.
fn commit(directory: &Path, version: &str) -> String {
    let package = format!(r#"{{"name":"@acme/shop","version":"{version}"}}"#);
    fs::write(directory.join("package.json"), package).unwrap();
    git(directory, "add package.json");
    git(directory, "commit -q -m next");
    git(directory, "rev-parse HEAD")
}

/// Reloads, and returns how it ended.
fn reload(runtime: &Runtime) -> String {
    let mark = runtime.mark();
    runtime.signal(Signal::SIGHUP);
    wait_reload_ends(runtime, mark)
}

#[track_caller]
fn shows(runtime: &Runtime, version: &str, revision: &str) {
    let app = &runtime.get("/status").json()["app"];
    let shown = [&app["version"], &app["revision"], &app["branch"]];
    assert_eq!(shown, [version, revision, "main"]);
    let series = format!(
        "rpm_app_info{{branch=\"main\",name=\"sh\",revision=\"{revision}\",version=\"{version}\"}}"
    );
    assert_eq!(runtime.metric(&series), Some(1.0));
    let page = runtime.get("/metrics").text();
    assert_eq!(page.matches("\nrpm_app_info{").count(), 1, "{page}");
}

#[test]
fn a_reload_shows_the_revision_of_the_new_workers_and_one_that_failed_that_of_the_old() {
    let directory = scratch("revision");
    git(&directory, "init -q -b main .");
    let first = commit(&directory, "1.0.0");
    let runtime = service(&directory).start();
    wait_ready(&runtime, 1);
    shows(&runtime, "1.0.0", &first);
    let line = runtime.wait_for_line(|line| line.contains("starting"));
    for part in [
        "app=sh",
        "app_version=1.0.0",
        &format!("app_revision={first}"),
        "app_branch=main",
    ] {
        assert!(line.contains(part), "{line}");
    }
    commit(&directory, "1.1.0");
    fs::write(directory.join("bad"), "").unwrap();
    let end = reload(&runtime);
    assert!(end.contains("failure"), "{end}");
    shows(&runtime, "1.0.0", &first);
    fs::remove_file(directory.join("bad")).unwrap();
    let second = commit(&directory, "2.0.0");
    let end = reload(&runtime);
    assert!(end.contains("success"), "{end}");
    let changed = |line: &str| line.contains("the application has changed");
    let line = runtime.wait_for_line(changed);
    assert!(
        line.contains("app_version=2.0.0") && line.contains(&second),
        "{line}"
    );
    shows(&runtime, "2.0.0", &second);
    let end = reload(&runtime);
    assert!(end.contains("success"), "{end}");
    let lines = runtime.texts();
    assert_eq!(lines.iter().filter(|line| changed(line)).count(), 1);
    stop(runtime);
}

#[test]
fn a_repository_of_pipes_without_a_writer_holds_up_neither_start_nor_reload() {
    let directory = scratch("revision-pipes");
    fs::create_dir(directory.join(".git")).unwrap();
    for name in ["package.json", ".git/HEAD", ".git/packed-refs"] {
        mkfifo(&directory.join(name), Mode::S_IRWXU).unwrap();
    }
    let runtime = service(&directory).start();
    wait_ready(&runtime, 1);
    for _ in 0..2 {
        let end = reload(&runtime);
        assert!(end.contains("success"), "{end}");
    }
    let app = &runtime.get("/status").json()["app"];
    assert!(
        app["version"].is_null() && app["revision"].is_null(),
        "{app}"
    );
    stop(runtime);
}

/// As git does it. A bind mount of a home directory, or an automounter above, is none of the application's business.
#[test]
fn the_search_ends_at_the_border_of_a_file_system() {
    let directory = scratch("revision-border");
    git(&directory, "init -q -b main .");
    let revision = commit(&directory, "1.0.0");
    fs::create_dir(directory.join("disk")).unwrap();
    let seen = |mount: &str| {
        let script = format!("{mount} && cd disk && exec \"$1\" --check true");
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
            .args([&script, "sh", env!("CARGO_BIN_EXE_rpm-runtime")])
            .current_dir(&directory)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let table = String::from_utf8(output.stdout).unwrap();
        (table.contains(&revision), table.contains("1.0.0"))
    };
    assert_eq!(seen("true"), (true, true));
    assert_eq!(seen("mount -t tmpfs none disk"), (false, false));
}

#[test]
fn check_tells_where_the_application_is_known_from() {
    let directory = scratch("revision-check");
    git(&directory, "init -q -b main .");
    let revision = commit(&directory, "1.0.0");
    let check = |command: &str, variables: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rpm-runtime"))
            .args(["--check", command])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(variables.iter().copied())
            .current_dir(&directory)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let row = |table: &str, name: &str| {
        let row = table.lines().find(|line| line.starts_with(name));
        let row = row.unwrap_or_else(|| panic!("{table}"));
        row.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    };
    let file = directory.join("package.json");
    let table = check("node", &[]);
    let name = row(&table, "RPM_APP_NAME");
    assert!(
        name.contains("@acme/shop") && name.contains(&format!("name in {}", file.display())),
        "{name}"
    );
    let shown = row(&table, "RPM_APP_REVISION");
    let from = format!("from {}, branch main", directory.join(".git").display());
    assert!(
        shown.contains(&revision) && shown.contains(&from),
        "{shown}"
    );
    let table = check(
        "true",
        &[("GIT_COMMIT", "abcdef0"), ("RPM_APP_VERSION", "7")],
    );
    let shown = row(&table, "RPM_APP_REVISION");
    assert!(
        shown.contains("abcdef0") && shown.contains("from GIT_COMMIT"),
        "{shown}"
    );
    assert!(row(&table, "RPM_APP_VERSION").contains(" 7 "), "{table}");
    assert!(row(&table, "RPM_APP_NAME").contains(" true "), "{table}");
}
