//! Completion in real shells, and the pages in the real man.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{rpmctl, said};
use crate::harness::{eventually, scratch, terminal};

/// A directory with `rpmctl` on the PATH and what it prints for a shell.
struct Place(PathBuf);

impl Place {
    fn new(shell: &str) -> Self {
        let place = Self(scratch(&format!("shell-{shell}")));
        let printed = said(rpmctl(&["completion", shell]));
        assert_eq!(printed.code, 0, "{printed:?}");
        fs::write(place.0.join("script"), printed.out).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rpmctl"), place.0.join("rpmctl")).unwrap();
        place
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(&self.0).env_clear();
        command.env("PATH", format!("{}:/usr/bin:/bin", self.0.display()));
        command.env("HOME", &self.0).env("TERM", "xterm");
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// A shell at a terminal, and what it has written.
struct Shell {
    keyboard: File,
    screen: Arc<Mutex<String>>,
    child: std::process::Child,
}

impl Shell {
    fn start(mut command: Command) -> Self {
        let (keyboard, inner) = terminal();
        let inner = || Stdio::from(inner.try_clone().unwrap());
        command.stdin(inner()).stdout(inner()).stderr(inner());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; run scripts/test-deps"));
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut outer, seen) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let mut piece = [0; 4096];
            // It ends with the shell (EIO).
            while let Ok(count @ 1..) = outer.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..count]);
                seen.lock().unwrap().push_str(&text);
            }
        });
        Self {
            keyboard,
            screen,
            child,
        }
    }

    fn write(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        let has = || self.screen.lock().unwrap().contains(text);
        let all = || self.screen.lock().unwrap().clone();
        assert!(eventually(has), "no {text:?} in {:?}", all());
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The test is over, whatever the shell does.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is typed before the key TAB, and what stands there then.
const WORDS: [(&str, &str); 4] = [
    ("rpmctl relo", "rpmctl reload "),
    ("rpmctl --soc", "rpmctl --socket "),
    ("rpmctl wait --start", "rpmctl wait --started "),
    ("rpmctl from", "rpmctl from-pm2 "),
];

#[test]
fn bash_completes_the_words_at_a_terminal() {
    let place = Place::new("bash");
    let words = ["setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"];
    let mut shell = Shell::start(place.command(&words));
    shell.write("source ./script && echo is-$((40 + 2))\n");
    shell.shows("is-42");
    for (typed, completed) in WORDS {
        shell.write(&format!("{typed}\t"));
        shell.shows(completed);
        // The line is killed.
        shell.write("\x15");
    }
}

#[test]
fn zsh_completes_the_words_at_a_terminal() {
    let place = Place::new("zsh");
    let mut shell = Shell::start(place.command(&["setsid", "--ctty", "zsh", "-f", "-i"]));
    shell.write("PS1='> '; autoload -U compinit && compinit -u -D && source ./script && echo is-$((40 + 2))\n");
    shell.shows("is-42");
    for (typed, completed) in WORDS {
        shell.write(&format!("{typed}\t"));
        // It marks the blank behind the word, or has `=` there.
        shell.shows(completed.trim_end());
        shell.write("\x15");
    }
}

#[test]
fn fish_completes_the_words_and_explains_them() {
    let place = Place::new("fish");
    for (typed, completed) in WORDS {
        let script = format!("source ./script; complete -C '{typed}'");
        let output = run(&mut place.command(&["fish", "--no-config", "-c", &script]));
        let offered = String::from_utf8(output.stdout).unwrap();
        let word = completed.trim_end().rsplit(' ').next().unwrap();
        let row = offered
            .lines()
            .find(|line| line.split('\t').next() == Some(word));
        assert!(row.is_some(), "{typed}: {offered}");
    }
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    let output =
        output.unwrap_or_else(|error| panic!("{command:?}: {error}; run scripts/test-deps"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

#[test]
fn man_shows_both_pages_without_a_warning() {
    let place = scratch("man");
    for (program, words) in [
        (
            "rpmctl",
            [
                "rpmctl reload",
                "--timeout <TIME>",
                "rpmctl reload --wait --timeout 5m",
            ],
        ),
        (
            "rpm-runtime",
            ["RPM_INSTANCES", "--copy-to PATH", "bad configuration"],
        ),
    ] {
        let printed = said(rpmctl(&["man", program]));
        assert_eq!(printed.code, 0, "{printed:?}");
        let page = place.join(format!("{program}.1"));
        fs::write(&page, printed.out).unwrap();
        for width in ["80", "200"] {
            let mut man = Command::new("man");
            man.args(["--warnings", "--encoding=UTF-8", "--local-file"])
                .arg(&page);
            man.env("LC_ALL", "C.UTF-8")
                .env("MANWIDTH", width)
                .env("MANROFFSEQ", "");
            let output = run(&mut man);
            assert_eq!(
                String::from_utf8_lossy(&output.stderr),
                "",
                "{program} at {width}"
            );
            let shown = String::from_utf8(output.stdout).unwrap();
            if width == "200" {
                for word in words {
                    assert!(shown.contains(word), "{program}: no {word:?} in {shown}");
                }
            }
        }
        let mut groff = Command::new("groff");
        let output = run(groff.args(["-man", "-Tutf8", "-ww", "-z"]).arg(&page));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{program}");
    }
    fs::remove_dir_all(place).unwrap();
}
