//! The command and the name of the application.

use super::*;
use crate::config::testing::with_args;

/// Only the error text.
fn what<T: std::fmt::Debug>(result: Result<T, Wrong>) -> String {
    result.unwrap_err().what
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
fn the_command_and_its_name() {
    let config = |vars| with_args(&[], vars).unwrap().config.program;
    let split = config(&[("RPM_COMMAND", "./bin/app 'a b' \"c\"")]);
    assert_eq!(split.argv, ["./bin/app", "a b", "c"]);
    assert_eq!(split.app_name, "app");
    assert_eq!(config(&[("RPM_COMMAND", "/")]).app_name, "/");
    let long = format!("/bin/{}", "\u{fc}".repeat(40));
    assert_eq!(config(&[("RPM_COMMAND", &long)]).app_name.len(), 64);
    let both = with_args(&["true"], &[("RPM_COMMAND", "'")]).unwrap();
    assert_eq!(
        both.warnings,
        ["RPM_COMMAND is not used: the command line names the program"]
    );
    let shell = with_args(&[], &[("RPM_COMMAND", "a && b")]).unwrap();
    assert!(shell.warnings[0].starts_with("RPM_COMMAND is not run by a shell: \"&&\""));
    let empty = with_args(&["", "x"], &[]).unwrap_err().faults;
    assert_eq!(empty[0].what, "the program's name is empty");
}
