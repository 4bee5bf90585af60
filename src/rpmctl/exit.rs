//! How rpmctl ends: the exit codes, and what is said before.

use std::io::Write;
use std::process::ExitCode;

use rpm_runtime::control::protocol::{Kind, Refusal};

use super::plain::{lines, plain};

/// It failed, or the runtime refused it.
const FAILED: u8 = 1;
/// The time of `--timeout` is over.
const LATE: u8 = 2;
/// Wrong words on the command line, or a choice is missing (sysexits.h, EX_USAGE), as rpm-runtime has it.
const USAGE: u8 = 64;
/// No runtime can be reached (EX_UNAVAILABLE).
const NONE: u8 = 69;
/// The runtime serves other users (EX_NOPERM).
const NOT_ALLOWED: u8 = 77;

/// Why a command did not succeed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    code: u8,
    /// Whole lines, as they are printed.
    text: String,
    /// The same question may succeed later.
    passes: bool,
}

impl Failure {
    fn new(code: u8, why: impl AsRef<str>) -> Self {
        Self {
            code,
            text: format!("rpmctl: {}\n", why.as_ref()),
            passes: code == NONE,
        }
    }

    fn silent(code: u8) -> Self {
        Self {
            code,
            text: String::new(),
            passes: false,
        }
    }

    /// The command was understood and did not succeed.
    pub fn failed(why: impl AsRef<str>) -> Self {
        Self::new(FAILED, why)
    }

    /// The time is over.
    pub fn late(why: impl AsRef<str>) -> Self {
        Self::new(LATE, why)
    }

    /// The words do not say which.
    pub fn unclear(why: impl AsRef<str>) -> Self {
        Self::new(USAGE, why)
    }

    /// No runtime can be reached.
    pub fn none(why: impl AsRef<str>) -> Self {
        Self::new(NONE, why)
    }

    /// This user may not.
    pub fn not_allowed(why: impl AsRef<str>) -> Self {
        Self::new(NOT_ALLOWED, why)
    }

    /// The exit code says it all: `health --json` of a service that is not ready.
    pub fn quiet() -> Self {
        Self::silent(FAILED)
    }

    /// Whoever reads the output wants no more: `rpmctl logs | head`.
    pub fn unread() -> Self {
        Self::silent(0)
    }

    /// A signal ended it: the exit code is that of a shell.
    pub fn signalled(signal: i32) -> Self {
        Self::silent(u8::try_from(128 + signal).unwrap_or(FAILED))
    }

    /// What the runtime answered.
    pub fn refused(refusal: &Refusal) -> Self {
        let code = match refusal.kind {
            Kind::NotAllowed => NOT_ALLOWED,
            Kind::Busy | Kind::Malformed | Kind::Unknown | Kind::Refused | Kind::Other => FAILED,
        };
        let failure = Self::new(code, plain(&refusal.text));
        // There may be room for one more client soon.
        if refusal.kind == Kind::Busy {
            failure.passing()
        } else {
            failure
        }
    }

    /// What clap found. `--help` and `--version` are such an outcome too, with exit code 0.
    pub fn of_words(error: &clap::Error) -> Self {
        Self {
            code: if error.use_stderr() { USAGE } else { 0 },
            text: error.to_string(),
            passes: false,
        }
    }

    /// Whether the same question may succeed later.
    pub fn may_pass(&self) -> bool {
        self.passes
    }

    /// The same, which may succeed later.
    pub fn passing(self) -> Self {
        Self {
            passes: true,
            ..self
        }
    }

    /// Whether nobody answered. Otherwise a runtime did, and the connection is as before.
    pub fn is_none(&self) -> bool {
        self.code == NONE
    }

    /// Whether this user may not.
    pub fn is_denied(&self) -> bool {
        self.code == NOT_ALLOWED
    }

    /// What it says, without the name of the program.
    pub fn why(&self) -> &str {
        let text = self.text.trim_end();
        text.strip_prefix("rpmctl: ").unwrap_or(text)
    }

    /// Prints it and gives the exit code. Errors of printing are ignored: there is no other place to report to.
    pub fn tell(&self) -> ExitCode {
        let text = lines(&self.text);
        let text = text.as_bytes();
        let _ = match self.code {
            0 => std::io::stdout().write_all(text),
            _ => std::io::stderr().write_all(text),
        };
        ExitCode::from(self.code)
    }
}
