//! The number of workers and their variables.

use super::*;
use crate::config::testing::{good, told};

/// Only the error text.
fn what<T: std::fmt::Debug>(result: Result<T, Wrong>) -> String {
    result.unwrap_err().what
}

#[test]
fn nothing_set_is_the_documented_default() {
    let expected = Program {
        argv: vec!["/usr/bin/node".into(), "app.js".into()],
        app_name: "node".to_owned(),
        app_version: None,
        app_revision: None,
        found: Found::default(),
        instances: NonZeroU16::MIN,
        exec_mode: ExecMode::Cluster,
        instance_var: "NODE_APP_INSTANCE".to_owned(),
        increment: None,
        env_file: None,
    };
    assert_eq!(good(&[]).config.program, expected);
}

#[test]
fn instance_counts() {
    let max = |less| Ok(Instances::Max { less });
    assert_eq!(instances("MAX"), max(0));
    assert_eq!(instances("max-2"), max(2));
    assert_eq!(
        instances("512"),
        Ok(Instances::Count(NonZeroU16::new(512).unwrap()))
    );
    for text in ["max-", "max+1", "max-512", "max--1", "max-+1", "maximum"] {
        assert_eq!(
            what(instances(text)),
            "max is not followed by - and a number below 512",
            "{text}"
        );
    }
    assert_eq!(what(instances("0")), "is below 1");
    assert_eq!(what(instances("513")), "is above 512");
    assert_eq!(what(instances("ma\u{df}")), "is not a whole number");
}

#[test]
fn variable_names() {
    assert_eq!(variable("_PORT1"), Ok("_PORT1".to_owned()));
    for text in ["", "1PORT", "PO RT", "PO-RT", "P\u{d6}RT", "A=B"] {
        assert_eq!(
            what(variable(text)),
            "is not the name of a variable",
            "{text}"
        );
    }
    assert_eq!(
        what(variable("RPM_X")),
        "begins with RPM_, which is the runtime's own"
    );
    assert_eq!(
        what(variable("pm_id")),
        "is a variable that the runtime sets by itself"
    );
    for var in worker_vars::ALL {
        let message = what(variable(var.name));
        let ours = var.name.starts_with("RPM_") && message.starts_with("begins with RPM_");
        let taken = message == "is a variable that the runtime sets by itself";
        assert!(ours || taken, "{}: {message}", var.name);
    }
}

#[test]
fn counting_up_starts_at_what_the_variable_holds() {
    let increment = |vars: &[(&str, &str)]| {
        let mut all = vec![("RPM_INCREMENT_VAR", "PORT"), ("RPM_INSTANCES", "4")];
        all.extend(vars);
        good(&all).config.program.increment
    };
    assert_eq!(
        increment(&[("PORT", "3000")]),
        Some(("PORT".to_owned(), 3000))
    );
    assert_eq!(increment(&[]), Some(("PORT".to_owned(), 0)));
    assert_eq!(increment(&[("PORT", "")]), Some(("PORT".to_owned(), 0)));
    let most = u64::MAX.to_string();
    let bad = [
        ("RPM_INCREMENT_VAR", "N"),
        ("N", &most),
        ("RPM_INSTANCES", "2"),
    ];
    assert_eq!(told(&bad).len(), 1);
}

#[test]
fn a_value_that_gives_way_to_the_slot_number_is_told() {
    let warnings = |vars: &[(&str, &str)]| good(vars).warnings;
    let told = warnings(&[("NODE_APP_INSTANCE", "blue")]);
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("NODE_APP_INSTANCE is \"blue\" here and the slot number"));
    let other = ("RPM_INSTANCE_VAR", "SLOT");
    assert_eq!(warnings(&[("SLOT", "x"), other]).len(), 1);
    // pm2 or an outer runtime set a number.
    for value in ["", "0", "17"] {
        assert_eq!(warnings(&[("NODE_APP_INSTANCE", value)]), [""; 0]);
    }
    assert_eq!(warnings(&[("NODE_APP_INSTANCE", "blue"), other]), [""; 0]);
}

#[test]
fn one_variable_cannot_hold_both() {
    let both = [("RPM_INSTANCE_VAR", "N"), ("RPM_INCREMENT_VAR", "N")];
    assert_eq!(told(&both).len(), 1);
}

#[test]
fn an_environment_file_is_read_at_the_start() {
    let file = |name| ("RPM_ENV_FILE", name);
    let resolved = good(&[file("good")]);
    assert_eq!(resolved.config.program.env_file, Some("good".into()));
    assert_eq!(resolved.warnings.len(), 1);
    assert!(resolved.warnings[0].starts_with("RPM_INSTANCES, RPM_X in good does not concern"));
    assert_eq!(resolved.config.program.instances.get(), 1);
    let bad = told(&[file("bad")]);
    assert_eq!(bad.len(), 1);
    let start = "RPM_ENV_FILE=\"bad\": line 1: there is no =, line 2: there is no =, ";
    assert!(bad[0].starts_with(start), "{}", bad[0]);
    assert!(bad[0].contains(", and 2 lines more;"), "{}", bad[0]);
    assert!(told(&[file("missing")])[0].contains("the file cannot be read: No such file"));
}
