//! RPM_LOG_* variables in combination.

use crate::config::log::LogFormat;
use crate::config::testing::{NEVER, good, told};
use crate::model::Word;

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
fn a_file_of_the_runtimes_own_lines_is_no_file_of_workers() {
    let own = |file| ("RPM_LOG_OWN_FILE", file);
    for theirs in [("RPM_LOG_FILE", "a"), ("RPM_LOG_ERROR_FILE", "a{slot}")] {
        good(&[own("b"), theirs]);
    }
    for (file, theirs, what) in [
        ("./a", ("RPM_LOG_FILE", "a"), "is RPM_LOG_FILE too"),
        (
            "a7",
            ("RPM_LOG_ERROR_FILE", "a{slot}"),
            "is RPM_LOG_ERROR_FILE of slot 7 too",
        ),
    ] {
        let told = told(&[own(file), theirs]);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("RPM_LOG_OWN_FILE="), "{told:?}");
        assert!(told[0].contains(what), "{told:?}");
    }
}

#[test]
fn own_lines_need_a_file_to_go_to() {
    let own = |words| ("RPM_LOG_OWN", words);
    let file = ("RPM_LOG_OWN_FILE", "/l/own.log");
    for words in ["both", "file"] {
        let resolved = good(&[own(words), file]);
        assert_eq!(resolved.warnings, [""; 0]);
        let got = resolved.config.log.own;
        assert_eq!(got.lines.word(), words);
        assert_eq!(got.file.unwrap().template(), "/l/own.log");
    }
    assert_eq!(
        good(&[own("both")]).warnings,
        ["RPM_LOG_OWN has no effect without RPM_LOG_OWN_FILE"]
    );
    assert_eq!(
        told(&[own("file")]),
        [
            "RPM_LOG_OWN=\"file\": has no file to go to: RPM_LOG_OWN_FILE is not set; accepted: both, or a RPM_LOG_OWN_FILE"
        ]
    );
    // Lines of workers need not pass through the runtime for it.
    let resolved = good(&[NEVER, file]);
    assert_eq!(resolved.config.log.format, LogFormat::Inherit);
    // The name of a file can be in a file itself.
    let by_file = good(&[("RPM_LOG_OWN_FILE_FILE", "/run/name")]);
    let name = by_file.config.log.own.file.unwrap();
    assert_eq!(name.template(), "/var/log/app.log");
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
        let own = ("RPM_LOG_OWN_FILE", "own.log");
        if row.0 == "RPM_LOG_ROTATE_EVERY" {
            let text =
                "RPM_LOG_ROTATE_EVERY has no effect without RPM_LOG_FILE or RPM_LOG_ERROR_FILE";
            assert_eq!(warnings(&[row]), [text]);
            let text = format!("{text}: the file of RPM_LOG_OWN_FILE is rotated daily");
            assert_eq!(warnings(&[row, own]), [text]);
        } else {
            let text = format!(
                "{} has no effect without RPM_LOG_FILE, RPM_LOG_ERROR_FILE or RPM_LOG_OWN_FILE",
                row.0
            );
            assert_eq!(warnings(&[row]), [text]);
            assert_eq!(warnings(&[row, own]), [""; 0]);
        }
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
