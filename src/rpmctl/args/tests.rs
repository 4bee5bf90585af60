use clap::CommandFactory;

use super::*;

#[test]
fn the_definitions_are_sound() {
    Args::command().debug_assert();
}

/// The words of an example, without what the shell does with its output.
fn words(example: &str) -> Vec<String> {
    let words = shlex::split(example).unwrap();
    let own = words.iter();
    let own = own.take_while(|word| !matches!(word.as_str(), ">" | "|" | "&&"));
    own.cloned().collect()
}

#[test]
fn every_command_has_an_example_that_is_right() {
    for command in Args::command().get_subcommands() {
        let name = command.get_name();
        let shown = command.get_after_help().map(ToString::to_string);
        let shown = shown.unwrap_or_default();
        let examples = shown.lines().filter_map(|line| line.strip_prefix("  "));
        let examples: Vec<Vec<String>> = examples.map(words).collect();
        let has_own = examples.iter().any(|words| words[..2] == ["rpmctl", name]);
        assert!(has_own, "{name}: {shown}");
        for words in examples {
            let outcome = Args::try_parse_from(&words);
            assert!(outcome.is_ok(), "{words:?}: {outcome:?}");
        }
    }
}

#[test]
fn every_command_explains_itself() {
    for command in Args::command().get_subcommands() {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name}");
        let help = Args::try_parse_from(["rpmctl", name, "--help"]).unwrap_err();
        assert!(!help.use_stderr(), "{name}");
        assert!(help.to_string().contains("\n  rpmctl "), "{name}: {help}");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{name} {argument}");
        }
    }
}

#[test]
fn a_word_that_is_not_known_gets_the_nearest_one() {
    let table = [
        (["rpmctl", "versoin"], "'version'"),
        (["rpmctl", "lst"], "'list'"),
        (["rpmctl", "--jsn"], "'--json'"),
    ];
    for (words, nearest) in table {
        let error = Args::try_parse_from(words).unwrap_err();
        assert!(error.to_string().contains(nearest), "{error}");
    }
}

#[test]
fn options_of_all_commands_may_stand_behind_the_command() {
    let args = Args::try_parse_from(["rpmctl", "list", "--json", "--home", "/x", "--pid", "1"]);
    let globals = args.unwrap().globals;
    assert!(globals.json);
    assert_eq!(globals.home, Some(PathBuf::from("/x")));
    assert_eq!(globals.pid, Some(1));
}

#[test]
fn numbers_of_workers_have_a_sign_if_they_are_relative() {
    let table = [
        ("4", Some(Number::To(4))),
        ("+1", Some(Number::By(1))),
        ("-2", Some(Number::By(-2))),
        ("", None),
        ("four", None),
        ("-", None),
    ];
    for (text, expected) in table {
        assert_eq!(number(text).ok(), expected, "{text}");
    }
    let args = Args::try_parse_from(["rpmctl", "scale", "-1", "--wait"]).unwrap();
    let Command::Scale { number, waiting } = args.command else {
        panic!("{args:?}");
    };
    assert_eq!(number, Number::By(-1));
    assert!(waiting.wait);
}

#[test]
fn a_target_is_a_slot_or_all() {
    assert_eq!(target("all"), Ok(Target::All));
    assert_eq!(target("3"), Ok(Target::Slot(3)));
    assert!(target("-1").is_err());
    assert!(target("some").is_err());
    let error = Args::try_parse_from(["rpmctl", "restart"]).unwrap_err();
    assert!(error.use_stderr());
}

#[test]
fn a_message_is_json_of_bounded_length() {
    assert_eq!(message("null"), Ok(serde_json::Value::Null));
    assert_eq!(message("-1"), Ok(serde_json::json!(-1)));
    assert!(message("refresh").unwrap_err().contains("needs its quotes"));
    assert!(message("1 2").is_err());
    let long = format!("\"{}\"", "x".repeat(LONGEST));
    assert!(message(&long).unwrap_err().contains("at most"));
}

#[test]
fn times_are_written_as_in_variables() {
    assert_eq!(time("2m"), Ok(Duration::from_mins(2)));
    assert!(time("2").unwrap_err().contains("needs a unit"));
}
