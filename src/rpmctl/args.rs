//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Arguments, Parser, Subcommand};
use rpm_runtime::config::parse_duration;

use crate::from_pm2::FromPm2;

/// Shows and steers a running rpm-runtime.
#[derive(Debug, Parser)]
#[command(
    name = "rpmctl",
    version,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done; 1 it failed, or the runtime refused it; 2 the time of --timeout is over; 64 wrong words, or \
                  several runtimes and none chosen; 69 no runtime; 77 this user may not.\n\n\
                  `rpmctl COMMAND --help` shows an example of each command."
)]
pub struct Args {
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Arguments)]
pub struct Globals {
    /// The RPM_HOME of the runtime; without it, the variable RPM_HOME and then the usual directories
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// The process of the runtime, if there are several
    #[arg(long, global = true, value_name = "PID")]
    pub pid: Option<u32>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the workers as a table.
    #[command(
        visible_alias = "ls",
        after_help = "CPU is a share of one CPU over the life of the process. A slot has a second line while a new worker starts in it or \
                      an old one leaves it.\n\nExample:\n  rpmctl list\n  rpmctl list --json"
    )]
    List,
    /// Show the state in short; exit code 0 if the service is ready.
    #[command(after_help = "Example:\n  rpmctl health")]
    Health,
    /// Show the resolved configuration, as `rpm-runtime --check` does.
    #[command(after_help = "Example:\n  rpmctl env")]
    Env,
    /// Wait until the service is ready. It also waits for the runtime itself to start.
    #[command(after_help = "Example:\n  rpmctl wait --started --timeout 2m && run-the-tests")]
    Wait(Wait),
    /// Translate an ecosystem file of pm2, or a command line of pm2-runtime, to variables of rpm-runtime.
    #[command(
        after_help = "Examples:\n  rpmctl from-pm2 ecosystem.config.js --env production --only api > api.env\n  \
                            rpmctl from-pm2 ecosystem.config.js --dir env\n  \
                            rpmctl from-pm2 -- app.js -i 4 --name web"
    )]
    FromPm2(FromPm2),
    /// Show the versions of rpmctl and of the runtime, if one runs.
    #[command(after_help = "Example:\n  rpmctl version")]
    Version,
}

/// What to wait for.
#[derive(Debug, Arguments)]
pub struct Wait {
    /// Until a worker is ready (the default)
    #[arg(long, conflicts_with = "started")]
    pub ready: bool,
    /// Until all workers have been ready once
    #[arg(long)]
    pub started: bool,
    /// How long at most: 500ms, 30s, 2m
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "60s")]
    pub timeout: Duration,
}

/// A duration as in a variable.
fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|wrong| format!("it {}; accepted: {}", wrong.what, wrong.accepted))
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
    fn times_are_written_as_in_variables() {
        assert_eq!(time("2m"), Ok(Duration::from_mins(2)));
        assert!(time("2").unwrap_err().contains("needs a unit"));
    }
}
