//! The command line.

use clap::{Parser, Subcommand};

/// Shows and steers a running rpm-runtime.
#[derive(Debug, Parser)]
#[command(
    name = "rpmctl",
    version,
    disable_help_subcommand = true,
    infer_subcommands = false,
    after_help = "Exit codes: 0 done; 1 it failed, or the runtime refused it; 64 wrong words.\n\n\
                  `rpmctl COMMAND --help` shows an example of each command."
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the version of rpmctl.
    #[command(after_help = "Example:\n  rpmctl version")]
    Version,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Args::command().get_subcommands() {
            let shown = command.get_after_help().map(ToString::to_string);
            let shown = shown.unwrap_or_default();
            let line = format!("\n  rpmctl {}", command.get_name());
            assert!(shown.contains(&line), "{}: {shown}", command.get_name());
        }
    }

    #[test]
    fn a_word_that_is_not_known_gets_the_nearest_one() {
        let error = Args::try_parse_from(["rpmctl", "versoin"]).unwrap_err();
        assert!(error.to_string().contains("'version'"), "{error}");
    }
}
