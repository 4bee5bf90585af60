//! The command, and the name that it gives.

use crate::config::testing::with_args;

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
