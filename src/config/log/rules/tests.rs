//! RPM_LOG_* variables in combination.

use crate::config::testing::{NEVER, good, told};

#[test]
fn two_names_that_meet_in_one_slot_are_told() {
    let both = |out, error| [("RPM_LOG_FILE", out), ("RPM_LOG_ERROR_FILE", error)];
    for (out, error) in [
        ("a", "a"),
        ("./a", "a"),
        ("{slot}", "{slot}"),
        ("a{slot}.log", "b{slot}.log"),
        ("{slot}/a", "{slot}/b"),
        ("a512", "a{slot}"),
    ] {
        good(&both(out, error));
    }
    for (out, error, what) in [
        (
            "/l/{slot}.log",
            "/l/0.log",
            "the file is RPM_LOG_FILE of slot 0 too",
        ),
        ("a7", "a{slot}", "the file of slot 7 is RPM_LOG_FILE too"),
        (
            "a{slot}",
            "a1{slot}",
            "the file of slot 0 is RPM_LOG_FILE of slot 10 too",
        ),
    ] {
        let told = told(&both(out, error));
        assert_eq!(told.len(), 1);
        assert!(told[0].contains(what), "{told:?}");
    }
}

#[test]
fn where_workers_write_themselves_nothing_can_be_asked_of_lines() {
    let inherit = ("RPM_LOG_FORMAT", "inherit");
    for more in [
        ("RPM_LOG_TIMESTAMP", "%H"),
        ("RPM_LOG_MULTILINE", "^x"),
        ("RPM_LOG_RATE", "5"),
        ("RPM_LOG_FILE", "x"),
        ("RPM_LOG_ERROR_FILE", "x"),
    ] {
        let told = told(&[inherit, more]);
        assert_eq!(told.len(), 1);
        let start = format!("{}={:?}: never gets a line", more.0, more.1);
        assert!(told[0].starts_with(&start), "{told:?}");
    }
    for more in [("RPM_LOG_TIMESTAMP", "none"), ("RPM_LOG_RATE", "off")] {
        assert_eq!(good(&[inherit, more]).warnings, [""; 0]);
    }
    for more in [
        ("RPM_LOG_STDERR", "split"),
        ("RPM_LOG_OVERFLOW", "drop"),
        ("RPM_LOG_BUFFER", "1Mi"),
        ("RPM_LOG_MAX_LINE", "1Ki"),
    ] {
        let warnings = good(&[inherit, more]).warnings;
        assert_eq!(warnings.len(), 1);
        let start = format!("{} has no effect with RPM_LOG_FORMAT=inherit", more.0);
        assert!(warnings[0].starts_with(&start), "{warnings:?}");
    }
}

#[test]
fn raw_lines_have_no_time() {
    let time = ("RPM_LOG_TIMESTAMP", "rfc3339");
    let what = "RPM_LOG_TIMESTAMP=\"rfc3339\": has no place in lines that pass byte for byte (RPM_LOG_FORMAT is raw";
    for (vars, said) in [
        (&[time][..], ", its default)"),
        (&[time, ("RPM_LOG_FORMAT", "raw")], ")"),
        (&[time, NEVER], ", its default)"),
    ] {
        let accepted = "; accepted: none, or RPM_LOG_FORMAT=prefix or json";
        assert_eq!(told(vars), [format!("{what}{said}{accepted}")]);
    }
    good(&[time, ("RPM_LOG_FORMAT", "prefix")]);
}

#[test]
fn what_has_no_effect_on_files_is_told() {
    let warnings = |vars: &[(&str, &str)]| good(vars).warnings;
    let rows = [
        ("RPM_LOG_ROTATE_SIZE", "1Mi"),
        ("RPM_LOG_ROTATE_EVERY", "hourly"),
        ("RPM_LOG_RETAIN", "3"),
        ("RPM_LOG_COMPRESS", "true"),
    ];
    for row in rows {
        let text = format!(
            "{} has no effect without RPM_LOG_FILE or RPM_LOG_ERROR_FILE",
            row.0
        );
        assert_eq!(warnings(&[row]), [text]);
        assert_eq!(warnings(&[row, ("RPM_LOG_FILE", "x")]), [""; 0]);
        assert_eq!(warnings(&[row, ("RPM_LOG_ERROR_FILE", "x")]), [""; 0]);
    }
    let file = ("RPM_LOG_FILE", "x");
    let off = [
        file,
        ("RPM_LOG_ROTATE_SIZE", "off"),
        ("RPM_LOG_ROTATE_EVERY", "off"),
    ];
    let both = [&off[..], &rows[2..]].concat();
    assert_eq!(
        warnings(&both),
        ["RPM_LOG_RETAIN", "RPM_LOG_COMPRESS"].map(|name| format!(
            "{name} has no effect while RPM_LOG_ROTATE_SIZE and RPM_LOG_ROTATE_EVERY are both off"
        ))
    );
    assert_eq!(
        warnings(&[file, ("RPM_LOG_RETAIN", "0"), ("RPM_LOG_COMPRESS", "true")]),
        ["RPM_LOG_COMPRESS has no effect with RPM_LOG_RETAIN=0"]
    );
}
