//! A terminal as a person sees it: a program in tmux.

use std::path::PathBuf;
use std::process::{Command, Output};

use super::{eventually, scratch};

/// A tmux of its own with one window, in which a shell runs. Ended when it is dropped.
pub struct Tmux {
    directory: PathBuf,
}

impl Tmux {
    /// A window of so many columns and rows. `script` is for sh.
    #[track_caller]
    pub fn start(test: &str, (width, height): (u16, u16), script: &str) -> Self {
        let tmux = Self {
            directory: scratch(&format!("t-{test}")),
        };
        let configuration = tmux.directory.join("tmux.conf");
        std::fs::write(
            &configuration,
            "set -g status off\nset -g remain-on-exit on\n",
        )
        .unwrap();
        let (width, height) = (width.to_string(), height.to_string());
        let configuration = configuration.to_str().unwrap();
        tmux.expect(&[
            "-f",
            configuration,
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
            "sh",
            "-c",
            script,
        ]);
        tmux
    }

    /// Sends keys by their names in tmux: `q`, `Enter`, `C-c`.
    #[track_caller]
    pub fn keys(&self, keys: &[&str]) {
        self.expect(&[&["send-keys"], keys].concat());
    }

    /// Pastes a text, as a mouse does.
    #[track_caller]
    pub fn paste(&self, text: &str) {
        self.expect(&["set-buffer", text]);
        self.expect(&["paste-buffer", "-p"]);
    }

    /// Changes the size of the window.
    #[track_caller]
    pub fn resize(&self, (width, height): (u16, u16)) {
        self.expect(&[
            "resize-window",
            "-x",
            &width.to_string(),
            "-y",
            &height.to_string(),
        ]);
    }

    /// The screen as text.
    #[track_caller]
    pub fn screen(&self) -> String {
        self.expect(&["capture-pane", "-p"])
    }

    /// The screen with its colours.
    #[track_caller]
    pub fn coloured(&self) -> String {
        self.expect(&["capture-pane", "-p", "-e"])
    }

    /// A format of tmux, such as `#{cursor_flag}`.
    #[track_caller]
    pub fn show(&self, format: &str) -> String {
        self.expect(&["display-message", "-p", format])
            .trim_end()
            .to_owned()
    }

    /// Waits for a screen, and returns it.
    #[track_caller]
    pub fn wait(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let found = eventually(|| {
            last = self.screen();
            fits(&last)
        });
        assert!(found, "never came true: {what}; the screen was:\n{last}");
        last
    }

    /// Waits until the program has ended with this exit code. tmux may miss the signal of a child that ends at once and keep it
    /// as a zombie; another child makes it look again.
    #[track_caller]
    pub fn wait_for_end(&self, code: i32) {
        let text = format!("Pane is dead (status {code}");
        self.wait(&text, |screen| {
            self.expect(&["run-shell", "true"]);
            screen.contains(&text)
        });
    }

    /// Waits until a text is on the screen.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    #[track_caller]
    fn expect(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command
            .arg("-u")
            .arg("-S")
            .arg(self.directory.join("s"))
            .args(words)
            .env_remove("TMUX")
            .env_remove("NO_COLOR");
        let output = command.output();
        output.unwrap_or_else(|error| panic!("tmux: {error}; run scripts/test-deps"))
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}
