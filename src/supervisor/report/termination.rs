//! The exit code and its reason, for the termination log.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// Maximal size that the kubelet reads (Kubernetes, "Customizing the termination message").
const LIMIT: usize = 4096;

/// How the runtime ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Exit code of the process.
    pub code: u8,
    /// The reason, in a few lines.
    pub text: String,
}

impl Ending {
    /// Adds a note to the first line, because the last lines may be cut off.
    pub fn add(&mut self, note: &str) {
        let end = self.text.find('\n').unwrap_or(self.text.len());
        self.text.insert_str(end, &format!("; {note}"));
    }
}

/// Writes the termination log if it exists and is a regular file. A missing file or a refusal is not an error, because
/// the file is optional. Other types (a FIFO, a device) are skipped: they might block the exit, and nothing reads them
/// as a message.
pub fn write_termination_log(path: &Path, text: &str) {
    let mut end = text.len().min(LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let opened = OpenOptions::new()
        .write(true)
        // Without this flag, open would wait for a reader of a FIFO.
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
}
