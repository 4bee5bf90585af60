//! RPM_LOG_* alone and in combination.

use super::*;
use crate::config::Source;
use crate::config::testing::{NEVER, good, line, told};

fn log(vars: &[(&str, &str)]) -> Logging {
    good(vars).config.log
}

#[test]
fn nothing_set_is_the_documented_default() {
    let expected = Logging {
        format: LogFormat::Raw,
        timestamp: Timestamp::None,
        stderr: LogStderr::Merge,
        overflow: Overflow::Block,
        buffer: 8 << 20,
        max_line: 256 << 10,
        multiline: None,
        files: Files::default(),
        rotation: Rotation {
            size: Some(Bytes(10 << 20)),
            every: Some(Every::Daily),
            retain: Some(14),
            compress: false,
        },
        rate: None,
        levels: Levels {
            default: Level::Info,
            targets: vec![],
        },
        own: Own {
            lines: OwnLines::Both,
            file: None,
        },
    };
    assert_eq!(log(&[]), expected);
}

#[test]
fn the_time_follows_from_the_format() {
    let table = [
        ("raw", Timestamp::None),
        ("prefix", Timestamp::Rfc3339),
        ("json", Timestamp::Rfc3339),
        ("inherit", Timestamp::None),
    ];
    for (format, timestamp) in table {
        assert_eq!(log(&[("RPM_LOG_FORMAT", format)]).timestamp, timestamp);
    }
    let none = log(&[("RPM_LOG_FORMAT", "json"), ("RPM_LOG_TIMESTAMP", "none")]);
    assert_eq!(none.timestamp, Timestamp::None);
}

#[test]
fn a_line_takes_a_sixteenth_of_the_buffer_at_most() {
    let line_of = |buffer| {
        let resolved = good(&[("RPM_LOG_BUFFER", buffer)]);
        let shown = line(&resolved, "RPM_LOG_MAX_LINE");
        (resolved.config.log.max_line, shown)
    };
    let why = || Some("a sixteenth of RPM_LOG_BUFFER".to_owned());
    assert_eq!(line_of("8Mi"), (256 << 10, ("256Ki".to_owned(), None)));
    assert_eq!(line_of("1Gi"), (256 << 10, ("256Ki".to_owned(), None)));
    assert_eq!(line_of("4Mi"), (256 << 10, ("256Ki".to_owned(), None)));
    assert_eq!(line_of("1Mi"), (64 << 10, ("64Ki".to_owned(), why())));
    assert_eq!(line_of("128Ki"), (8 << 10, ("8Ki".to_owned(), why())));
    assert_eq!(log(&[("RPM_LOG_MAX_LINE", "512Ki")]).max_line, 512 << 10);
    assert_eq!(
        told(&[("RPM_LOG_MAX_LINE", "513Ki")]),
        [
            "RPM_LOG_MAX_LINE=\"513Ki\": is more than a sixteenth of RPM_LOG_BUFFER (8Mi, its default); \
             accepted: at most 512Ki, or a larger RPM_LOG_BUFFER"
        ]
    );
    let both = [("RPM_LOG_MAX_LINE", "9Ki"), ("RPM_LOG_BUFFER", "128Ki")];
    assert_eq!(told(&both).len(), 1);
    assert!(told(&both)[0].contains("RPM_LOG_BUFFER (128Ki);"));
}

#[test]
fn rates() {
    let good = [
        (" OFF ", None),
        ("1000", Some((1000, 1000))),
        ("1000:1", Some((1000, 1))),
        (" 10 : 50 ", Some((10, 50))),
    ];
    for (text, expected) in good {
        let expected = expected.map(|(per_second, burst)| Rate { per_second, burst });
        assert_eq!(rate(text), Ok(expected), "{text}");
    }
    let bad = [
        ("0", "is below 1"),
        ("100/s", "is not a whole number"),
        ("10:0", "\"0\" is below 1"),
        (":5", "\"\" is not a whole number"),
        ("1:2:3", "\"2:3\" is not a whole number"),
        ("100000001", "is above 100000000"),
    ];
    for (text, complaint) in bad {
        assert_eq!(rate(text).unwrap_err().what, complaint, "{text}");
    }
}

#[test]
fn rotated_files_are_compressed_if_it_was_asked_for() {
    let compressed = |text| {
        log(&[("RPM_LOG_FILE", "x"), ("RPM_LOG_COMPRESS", text)])
            .rotation
            .compress
    };
    assert!(compressed("TRUE") && compressed("1"));
    assert!(!compressed("false") && !compressed("0"));
}

#[test]
fn the_names_of_files_are_no_names_of_value_files() {
    let resolved = good(&[("RPM_LOG_FILE", "a.log"), ("RPM_LOG_ERROR_FILE", "b.log")]);
    let files = resolved.config.log.files;
    let names = [files.out, files.error].map(|name| name.unwrap().to_string());
    assert_eq!(names, ["a.log", "b.log"]);
    assert_eq!(resolved.warnings, [""; 0]);
    let by_file = good(&[
        ("RPM_LOG_FILE_FILE", "/run/name"),
        ("RPM_LOG_ERROR_FILE_FILE", "/run/name"),
    ]);
    for name in ["RPM_LOG_FILE", "RPM_LOG_ERROR_FILE"] {
        let line = by_file.lines.iter().find(|line| line.name == name);
        let line = line.unwrap();
        assert_eq!(line.value, "/var/log/app.log");
        assert_eq!(line.source, Source::File("/run/name".into()));
    }
    let files = by_file.config.log.files;
    assert_eq!(files.out, files.error);
    // The intended variable is unknown.
    let odd = good(&[("RPM_LOG", "x"), ("RPM_LOG_ERROR", "x")]);
    assert_eq!(odd.warnings.len(), 2);
    let missing = told(&[("RPM_LOG_FILE_FILE", "/run/other")]);
    assert!(missing[0].starts_with("RPM_LOG_FILE_FILE=\"/run/other\": the file cannot be read"));
}

#[test]
fn in_the_role_of_tini_lines_pass_through_us_if_something_needs_it() {
    let format = |more: &[(&str, &str)]| {
        let mut vars = vec![NEVER];
        vars.extend(more);
        let resolved = good(&vars);
        let note = line(&resolved, "RPM_LOG_FORMAT").1;
        (resolved.config.log.format, note)
    };
    for more in [
        ("RPM_LOG_FILE", "x"),
        ("RPM_LOG_ERROR_FILE", "x"),
        ("RPM_LOG_MULTILINE", "^x"),
        ("RPM_LOG_RATE", "5"),
        ("RPM_LOG_STDERR", "merge"),
        ("RPM_LOG_OVERFLOW", "drop"),
    ] {
        let name = more.0;
        let why = format!("not inherit, since {name} is for lines that pass through the runtime");
        assert_eq!(format(&[more]), (LogFormat::Raw, Some(why)));
        assert_eq!(good(&[more]).config.log.format, LogFormat::Raw);
    }
    // Variables that have no effect by themselves.
    for more in [
        ("RPM_LOG_TIMESTAMP", "none"),
        ("RPM_LOG_RATE", "off"),
        ("RPM_LOG_STDERR", "split"),
        ("RPM_LOG_OVERFLOW", "block"),
        ("RPM_LOG_BUFFER", "1Mi"),
        ("RPM_LOG_MAX_LINE", "1Ki"),
        ("RPM_LOG_ROTATE_SIZE", "1Mi"),
    ] {
        assert_eq!(format(&[more]), (LogFormat::Inherit, None), "{more:?}");
    }
    let said = format(&[("RPM_LOG_FORMAT", "json"), ("RPM_LOG_FILE", "x")]);
    assert_eq!(said, (LogFormat::Json, None));
}

#[test]
fn the_level_of_the_rest_stays_what_it_would_be() {
    let levels = |vars: &[(&str, &str)]| line(&good(vars), "RPM_LOG_LEVEL").0;
    let port = ("RPM_LOG_LEVEL", "rpm_runtime::config=debug");
    assert_eq!(levels(&[port]), "info,rpm_runtime::config=debug");
    assert_eq!(levels(&[port, NEVER]), "warn,rpm_runtime::config=debug");
    assert_eq!(levels(&[NEVER]), "warn");
    assert_eq!(levels(&[NEVER, ("RPM_LOG_LEVEL", "Trace")]), "trace");
}

#[test]
fn what_check_shows_can_be_given_again() {
    let environments: [&[(&str, &str)]; 3] = [
        &[
            ("RPM_LOG_FORMAT", "JSON"),
            ("RPM_LOG_TIMESTAMP", " %d/%b/%Y:%T%.3f \"%z\" "),
            ("RPM_LOG_STDERR", "split"),
            ("RPM_LOG_OVERFLOW", "drop"),
            ("RPM_LOG_BUFFER", "1000K"),
            ("RPM_LOG_MAX_LINE", "2000"),
            ("RPM_LOG_MULTILINE", r#"^[\d" ]+,{2}\\ "#),
            ("RPM_LOG_RATE", "100:500"),
            ("RPM_LOG_FILE", "./logs//{slot}.log"),
            ("RPM_LOG_ERROR_FILE", "/var/log/errors, all"),
            ("RPM_LOG_ROTATE_SIZE", "off"),
            ("RPM_LOG_ROTATE_EVERY", "0  */2 * *  *"),
            ("RPM_LOG_RETAIN", "all"),
            ("RPM_LOG_COMPRESS", "1"),
            ("RPM_LOG_OWN_FILE", "./logs/own.log"),
            ("RPM_LOG_OWN", "FILE"),
            ("RPM_LOG_LEVEL", "rpm_runtime::config=DEBUG, warn"),
            ("RPM_SIGNALS", "USR1=forward,USR2=reopen"),
        ],
        &[
            ("RPM_LOG_FORMAT", "prefix"),
            ("RPM_LOG_RATE", "5"),
            ("RPM_LOG_FILE", "x"),
            ("RPM_LOG_ROTATE_SIZE", "3000000"),
            ("RPM_LOG_ROTATE_EVERY", "90m"),
        ],
        &[("RPM_RESTART", "never"), ("RPM_LOG_ROTATE_EVERY", "off")],
    ];
    for vars in environments {
        let first = good(vars);
        let again: Vec<(&str, &str)> = first
            .lines
            .iter()
            .filter(|line| {
                vars.iter().any(|(name, _)| *name == line.name) || line.name.starts_with("RPM_LOG_")
            })
            .filter(|line| line.value != show::NOTHING)
            .map(|line| (line.name, line.value.as_str()))
            .collect();
        assert!(again.len() >= vars.len());
        let second = good(&again);
        assert_eq!(second.config.log, first.config.log);
        assert_eq!(second.config.signals, first.config.signals);
    }
}
