//! Shows how far something is that `--wait` waits for: one line that moves on a terminal, else a line for each change.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use rpm_runtime::control::protocol::Command;
use rpm_runtime::sys::clock::instant;
use serde::de::DeserializeOwned;

use super::args::Globals;
use super::connection::{Answer, Connection};
use super::exit::Failure;
use super::pause;
use super::words::{human, plain};

/// Between two questions.
pub const STEP: Duration = Duration::from_millis(200);

/// Time for the answer to a question, however little is left.
const GRACE: Duration = Duration::from_secs(1);

/// A wait, from the begin of the command: also the search for the runtime is a part of it.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    limit: Duration,
    moves: bool,
    /// The line that was shown last.
    shown: Option<String>,
}

impl Progress {
    /// Begins now, and takes at most `limit`.
    pub fn new(limit: Duration) -> Self {
        Self {
            began: instant(),
            limit,
            moves: std::io::stderr().is_terminal(),
            shown: None,
        }
    }

    /// The time so far.
    pub fn elapsed(&self) -> String {
        human(self.began.elapsed().as_secs_f64())
    }

    /// Connects, and asks the first question. Both get what is left of the time, and at least [`GRACE`].
    pub fn open(&self, globals: &Globals) -> Result<Connection, Failure> {
        let limit = self.left().max(GRACE);
        Connection::within(globals, limit).map_err(|failure| self.over(failure))
    }

    /// Asks. Fails when the time is over without an answer; the last question gets [`GRACE`].
    pub fn ask<T: DeserializeOwned>(
        &self,
        connection: &mut Connection,
        command: Command,
    ) -> Result<Answer<T>, Failure> {
        connection.end_at((self.began + self.limit).max(instant() + GRACE));
        let answer = connection.ask::<T>(command);
        answer.map_err(|failure| self.over(failure))
    }

    /// The failure, or that the time is over, if it might have passed with more of it.
    fn over(&self, failure: Failure) -> Failure {
        if self.left().is_zero() && failure.may_pass() {
            self.late(failure.why())
        } else {
            failure
        }
    }

    /// What is left of the time.
    pub fn left(&self) -> Duration {
        self.limit.saturating_sub(self.began.elapsed())
    }

    /// The time is over.
    pub fn late(&self, why: &str) -> Failure {
        let time = human(self.limit.as_secs_f64());
        Failure::late(format!("after {time}: {why}"))
    }

    /// Shows `what`, and lets time pass until the next question. Fails when the time is over.
    pub fn step(&mut self, what: &str) -> Result<(), Failure> {
        let what = &plain(what);
        if self.moves {
            // To the begin of the line, which is cleared.
            write(&format!("\r\x1b[K{what}, {}", self.elapsed()));
            self.shown = Some(what.to_owned());
        } else if self.shown.as_ref() != Some(what) {
            write(&format!("{what}\n"));
            self.shown = Some(what.to_owned());
        }
        let left = self.left();
        if left.is_zero() {
            self.end();
            return Err(self.late(what));
        }
        pause(STEP.min(left));
        Ok(())
    }

    /// Clears the line that moves.
    pub fn end(&mut self) {
        if self.moves && self.shown.take().is_some() {
            write("\r\x1b[K");
        }
    }
}

/// Errors are ignored: the outcome is what counts.
fn write(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
