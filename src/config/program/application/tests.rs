//! The name, the version and the revision: what is set, what stands for it, what is found.

use super::*;
use crate::config::testing::{in_directory, line};
use crate::model::{Checkout, Package};

fn what<T: std::fmt::Debug>(result: Result<T, Wrong>) -> String {
    result.unwrap_err().what
}

fn found() -> Found {
    Found {
        package: Some(Package {
            file: "/app/package.json".to_owned(),
            name: Some("@acme/shop".to_owned()),
            version: Some("1.2.3".to_owned()),
        }),
        checkout: Some(Checkout {
            place: "/app/.git".to_owned(),
            revision: Some("aaaa".to_owned()),
            branch: Some("main".to_owned()),
            fault: None,
        }),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with options")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn application_names() {
    assert_eq!(app_name(" web 1 "), Ok("web 1".to_owned()));
    assert_eq!(what(app_name(" ")), "is blank");
    assert_eq!(what(app_name(&"x".repeat(65))), "is 65 bytes long");
    for text in ["a\nb", "a\u{7f}b", "a\u{2028}b", "a\u{1b}[31m"] {
        assert_eq!(
            what(app_name(text)),
            "holds a control character or a line break"
        );
    }
}

#[test]
fn the_name_of_a_node_application_is_that_of_its_package() {
    let name = |program: &str, found: &Found| {
        let resolved = in_directory(&[program, "app.js"], &[], found);
        (
            resolved.config.program.app_name.clone(),
            line(&resolved, "RPM_APP_NAME").1,
        )
    };
    for program in ["node", "/usr/bin/nodejs", "npm"] {
        let note = some("name in /app/package.json");
        assert_eq!(name(program, &found()), ("@acme/shop".to_owned(), note));
        assert_ne!(name(program, &Found::default()).0, "@acme/shop");
    }
    assert_eq!(name("gunicorn", &found()), ("gunicorn".to_owned(), None));
    assert_eq!(name("./node.sh", &found()), ("node.sh".to_owned(), None));
    let mut long = found();
    long.package.as_mut().unwrap().name = some(&"\u{fc}".repeat(100));
    assert_eq!(name("node", &long).0.len(), 64);
    let set = [("RPM_APP_NAME", "web")];
    let set = in_directory(&["node", "app.js"], &set, &found());
    assert_eq!(set.config.program.app_name, "web");
}

#[test]
fn what_is_set_wins_over_what_is_found() {
    let app = |vars: &[(&str, &str)]| {
        let resolved = in_directory(&["true"], vars, &found());
        let program = &resolved.config.program;
        let info = program.app(&program.found);
        let shown = |name| line(&resolved, name).0;
        let version = info.version.unwrap_or_default();
        assert_eq!(shown("RPM_APP_VERSION"), version);
        let revision = info.revision.unwrap_or_default();
        assert_eq!(shown("RPM_APP_REVISION"), revision);
        (version, revision, info.branch)
    };
    let is = |version: &str, revision: &str, branch: Option<&str>| {
        let branch = branch.map(str::to_owned);
        (version.to_owned(), revision.to_owned(), branch)
    };
    assert_eq!(app(&[]), is("1.2.3", "aaaa", Some("main")));
    assert_eq!(
        app(&[("RPM_APP_VERSION", "dev"), ("APP_VERSION", "9")]),
        is("dev", "aaaa", Some("main"))
    );
    // The branch is that of another commit.
    assert_eq!(
        app(&[("RPM_APP_REVISION", "r17"), ("GIT_COMMIT", "abcdef0")]),
        is("1.2.3", "r17", None)
    );
    let version = ("org.opencontainers.image.version", "v2");
    assert_eq!(
        app(&[("APP_VERSION", "1"), version, ("VCS_REF", "abcdef0-dirty")]),
        is("v2", "abcdef0-dirty", None)
    );
}

#[test]
fn what_images_hold_that_do_not_know_their_commit_does_not_count() {
    for text in [
        "",
        "unknown",
        "dev",
        "desconocido",
        "Docker doesn't know",
        "vcs",
        "main",
        "_1",
        "${GIT_COMMIT}",
        "deadbee_f",
        "abc",
        "v1.2.3",
        "a\nb",
    ] {
        assert!(!is_commit(text), "{text}");
    }
    let long = "a".repeat(65);
    assert!(!is_commit(&long));
    for text in [
        "abcdef0",
        &long[1..],
        "ABCDEF01-dirty",
        "abcdef0+",
        "1234567.m",
    ] {
        assert!(is_commit(text), "{text}");
    }
    let vars = [
        ("GIT_COMMIT", "unknown"),
        ("COMMIT_SHA", "abcdef1"),
        ("GIT_SHA", ""),
        ("APP_VERSION", "dev"),
    ];
    let resolved = in_directory(&["true"], &vars, &found());
    assert_eq!(
        line(&resolved, "RPM_APP_REVISION"),
        ("abcdef1".to_owned(), some("from COMMIT_SHA"))
    );
    assert_eq!(
        line(&resolved, "RPM_APP_VERSION"),
        ("1.2.3".to_owned(), some("version in /app/package.json"))
    );
}

#[test]
fn the_check_says_where_a_revision_comes_from_and_why_there_is_none() {
    let note = |found: &Found| line(&in_directory(&["true"], &[], found), "RPM_APP_REVISION");
    assert_eq!(
        note(&found()),
        ("aaaa".to_owned(), some("from /app/.git, branch main"))
    );
    let mut broken = found();
    let checkout = broken.checkout.as_mut().unwrap();
    (checkout.revision, checkout.fault) = (None, some("refs/heads/main has no commit yet"));
    assert_eq!(
        note(&broken),
        (
            "-".to_owned(),
            some("from /app/.git, branch main: refs/heads/main has no commit yet")
        )
    );
    assert_eq!(note(&Found::default()), ("-".to_owned(), None));
}
