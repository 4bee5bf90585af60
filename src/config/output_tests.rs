//! RPM_LOG_* by themselves and together.

use std::ffi::OsString;
use std::io;

use super::*;
use crate::config::{Faults, Input, Levels, Resolved, Source, resolve, show};
use crate::policy::CpuBudget;

pub(in crate::config) const NEVER: (&str, &str) = ("RPM_RESTART", "never");

pub(in crate::config) fn with(vars: &[(&str, &str)]) -> Result<Resolved, Faults> {
    resolve(&Input {
        vars: vars
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        args: vec![OsString::from("true")],
        cpus: CpuBudget::default(),
        memory: None,
        read_file: &|path| match path.to_str() {
            Some("/run/name") => Ok(b"/var/log/app.log\n".to_vec()),
            _ => Err(io::Error::from_raw_os_error(2)),
        },
    })
}

pub(in crate::config) fn good(vars: &[(&str, &str)]) -> Resolved {
    with(vars).unwrap()
}

fn log(vars: &[(&str, &str)]) -> Logging {
    good(vars).config.log
}

pub(in crate::config) fn told(vars: &[(&str, &str)]) -> Vec<String> {
    let faults = with(vars).unwrap_err().faults;
    faults.iter().map(ToString::to_string).collect()
}

fn line(resolved: &Resolved, name: &str) -> (String, Option<String>) {
    let line = resolved.lines.iter().find(|line| line.name == name);
    let line = line.unwrap().clone();
    (line.value, line.note)
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
fn files_are_rotated_by_the_calendar_by_a_period_or_by_a_schedule() {
    let good = [
        ("Off", "off"),
        ("HOURLY", "hourly"),
        ("daily", "daily"),
        ("weekly", "weekly"),
        ("monthly", "monthly"),
        (" 12h ", "12h"),
        ("1000ms", "1s"),
        ("0  4 * * MON", "0 4 * * MON"),
        ("@Hourly", "@Hourly"),
    ];
    for (text, shown) in good {
        let parsed = every(text).unwrap();
        let got = parsed.as_ref().map_or("off".to_owned(), Every::to_string);
        assert_eq!(got, shown);
        assert_eq!(every(shown), Ok(parsed), "{shown}");
    }
    let bad = [
        ("yearly", "is not one of the known words"),
        ("999ms", "is below 1s"),
        ("0", "is below 1s"),
        ("12", "needs a unit"),
        ("25h", "is above the limit of 24h"),
        ("0 0 4 * * *", "has 6 fields, not five"),
        ("60 4 * * *", "the minute \"60\" is not of 0-59"),
        ("@reboot", "names a moment that no schedule has"),
        ("", "is blank"),
    ];
    for (text, complaint) in bad {
        let wrong = every(text).unwrap_err();
        assert_eq!(wrong.what, complaint, "{text}");
        assert_eq!(wrong.accepted, EVERY);
    }
}

#[test]
fn sizes_and_numbers_of_files() {
    assert_eq!(size("1Ki"), Ok(Some(Bytes(1 << 10))));
    assert_eq!(size("off"), Ok(None));
    assert_eq!(
        size("10").unwrap_err().what,
        "is below 1Ki; the unit is missing"
    );
    assert_eq!(retain("0"), Ok(Some(0)));
    assert_eq!(retain(" All "), Ok(None));
    assert_eq!(retain("-1").unwrap_err().what, "is negative");
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
    // What they would have been of is unknown.
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
    // What goes without, or means nothing by itself.
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
    let levels = |vars: &[(&str, &str)]| log(vars).levels.to_string();
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
