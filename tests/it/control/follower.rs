//! A `rpmctl` that goes on, and what it says so far.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::Home;

/// `rpmctl` whose output is read line by line. Ended with the test.
pub struct Follower {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Follower {
    #[track_caller]
    pub fn start(home: &Home, words: &[&str]) -> Self {
        Self::of(home.command(words))
    }

    #[track_caller]
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The next line, which comes some time.
    #[track_caller]
    pub fn next(&mut self) -> String {
        let mut line = String::new();
        let count = self.out.read_line(&mut line).unwrap();
        assert_ne!(count, 0, "it has ended");
        line.trim_end_matches('\n').to_owned()
    }

    /// The next line with this text.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        loop {
            let line = self.next();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// What comes until it ends by itself.
    pub fn rest(&mut self) -> String {
        let mut text = String::new();
        self.out.read_to_string(&mut text).unwrap();
        text
    }

    /// Its exit code, when it ends by itself.
    pub fn code(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
