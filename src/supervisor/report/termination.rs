//! The exit code and its reason, for the termination log.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::sys::links;

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
/// as a message. So is a symbolic link that another user than root or our own has made.
pub fn write_termination_log(path: &Path, text: &str) {
    let mut end = text.len().min(LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let Ok(path) = links::resolve(path) else {
        return;
    };
    // Without O_NONBLOCK, open would wait for a reader of a FIFO.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW;
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(flags.bits())
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
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};

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
    fn links_that_others_made_are_not_followed() {
        let dir = std::env::temp_dir().join(format!("rpm-termination-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir); // left by an earlier process with our PID
        fs::create_dir(&dir).unwrap();
        let (file, link) = (dir.join("file"), dir.join("link"));
        fs::write(&file, "as it was").unwrap();
        symlink("file", &link).unwrap();
        // Tests run as root, as those of the log files do.
        lchown(&link, Some(1234), None).unwrap();
        write_termination_log(&link, "stopped");
        assert_eq!(fs::read_to_string(&file).unwrap(), "as it was");
        lchown(&link, Some(0), None).unwrap();
        write_termination_log(&link, "stopped");
        assert_eq!(fs::read_to_string(&file).unwrap(), "stopped");
        fs::remove_dir_all(&dir).unwrap();
    }
}
