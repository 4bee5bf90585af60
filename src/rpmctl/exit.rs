//! How rpmctl ends: the exit codes, and what is said before.

use std::io::Write;
use std::process::ExitCode;

/// It failed, or the runtime refused it.
const FAILED: u8 = 1;
/// Wrong words on the command line (sysexits.h, EX_USAGE), as rpm-runtime has it.
const USAGE: u8 = 64;

/// Why a command did not succeed.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    /// Whole lines, as they are printed.
    text: String,
}

impl Failure {
    /// The command was understood and did not succeed.
    pub fn failed(why: impl AsRef<str>) -> Self {
        Self {
            code: FAILED,
            text: format!("rpmctl: {}\n", why.as_ref()),
        }
    }

    /// What clap found. `--help` and `--version` are such an outcome too, with exit code 0.
    pub fn of_words(error: &clap::Error) -> Self {
        Self {
            code: if error.use_stderr() { USAGE } else { 0 },
            text: error.to_string(),
        }
    }

    /// Prints it and gives the exit code. Errors of printing are ignored: there is no other place to report to.
    pub fn tell(&self) -> ExitCode {
        let text = self.text.as_bytes();
        let _ = match self.code {
            0 => std::io::stdout().write_all(text),
            _ => std::io::stderr().write_all(text),
        };
        ExitCode::from(self.code)
    }
}
