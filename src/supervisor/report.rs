//! Last words: the exit code, and why, for the termination log.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// What the kubelet reads at most (Kubernetes, "Customizing the termination message").
const LIMIT: usize = 4096;

/// Lines that are remembered.
const REMEMBERED: usize = 16;

/// How the runtime ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Exit code of the process.
    pub code: u8,
    /// Why, in a few lines.
    pub text: String,
}

impl Ending {
    /// Adds to the first line: the last ones may be cut off.
    pub fn add(&mut self, note: &str) {
        let end = self.text.find('\n').unwrap_or(self.text.len());
        self.text.insert_str(end, &format!("; {note}"));
    }
}

/// What happened, as far as the end may have to be explained by it.
#[derive(Clone, Debug, Default)]
pub struct History {
    lines: VecDeque<String>,
    /// Why the runtime gave up, if it did.
    pub gave_up: Option<String>,
    /// A stop was asked for: what fails from then on is not why the runtime ends.
    pub asked_to_stop: bool,
}

impl History {
    /// Remembers one line.
    pub fn push(&mut self, line: String) {
        if self.lines.len() == REMEMBERED {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The newest first, after `head`.
    pub fn text(&self, head: &str) -> String {
        let mut text = format!("{head}\n");
        for line in self.lines.iter().rev() {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

/// Writes the termination log if it is there and a regular file; it is nobody's duty to make it, so its absence, or a
/// refusal, is no fault. Anything else (a FIFO, a device) might hold up the end, and nobody reads it as a message.
pub fn write_termination_log(path: &Path, text: &str) {
    let mut end = text.len().min(LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let opened = OpenOptions::new()
        .write(true)
        // A FIFO without a reader would be waited for.
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path);
    if let Ok(mut file) = opened
        && file.metadata().is_ok_and(|about| about.is_file())
        && file.set_len(0).is_ok()
    {
        let _ = file.write_all(text.as_bytes().get(..end).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_before_what_may_be_cut_off() {
        let mut ending = Ending {
            code: 0,
            text: "stopped\nworker 1\n".to_owned(),
        };
        ending.add("stuck");
        ending.add("late");
        assert_eq!(ending.text, "stopped; stuck; late\nworker 1\n");
    }

    #[test]
    fn the_newest_is_told_first_and_the_oldest_forgotten() {
        let mut history = History::default();
        for number in 0..20 {
            history.push(format!("worker {number}"));
        }
        let text = history.text("gave up");
        assert!(text.starts_with("gave up\nworker 19\nworker 18\n"));
        assert!(text.ends_with("worker 4\n"));
    }
}
