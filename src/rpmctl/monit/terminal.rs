//! The terminal of the person: takes it, and gives it back as it was, also after a panic.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rpm_runtime::sys::terminal::{Modes, size};

use super::view::Look;
use crate::exit::Failure;

/// The other screen, without the cursor, and marks around what is pasted. Every terminal in use knows these; terminfo is not
/// asked, because images have none.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?2004h";
/// The usual letters, no marks, the cursor, the first screen.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?2004l\x1b[?25h\x1b[?1049l";

/// The size of a terminal that does not know its own.
const USUAL: (u16, u16) = (80, 24);

/// What the environment says of the terminal.
#[derive(Debug, Default)]
pub struct Words {
    pub term: String,
    pub no_color: String,
    /// LC_ALL, LC_CTYPE, LANG.
    pub locale: [String; 3],
}

impl Words {
    #[expect(
        clippy::disallowed_methods,
        reason = "what only this command needs to know"
    )]
    pub fn read() -> Self {
        let read = |name: &str| {
            let value = std::env::var_os(name).unwrap_or_default();
            value.to_string_lossy().into_owned()
        };
        Self {
            term: read("TERM"),
            no_color: read("NO_COLOR"),
            locale: ["LC_ALL", "LC_CTYPE", "LANG"].map(read),
        }
    }

    /// What can be shown. Without any word about the locale, as in an empty image, it is UTF-8: the terminal is elsewhere.
    pub fn look(&self) -> Look {
        let locale = self.locale.iter().find(|value| !value.is_empty());
        let locale = locale.map(|value| value.to_lowercase()).unwrap_or_default();
        let other = locale
            .split_once('.')
            .is_some_and(|(_, set)| !set.starts_with("utf-8") && !set.starts_with("utf8"));
        Look {
            colour: self.no_color.is_empty(),
            // The console of Linux has no letters for steps of an eighth.
            ascii: other || matches!(locale.as_str(), "c" | "posix") || self.term == "linux",
        }
    }
}

/// The terminal, as long as it is ours.
#[derive(Debug)]
pub struct Terminal {
    modes: Modes,
    ours: Arc<AtomicBool>,
}

impl Terminal {
    /// Fails if there is none that can be drawn on. Does not change it yet.
    pub fn find(words: &Words) -> Result<Self, Failure> {
        let advice = "; `rpmctl list` needs none";
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            let text = "monit needs a terminal (kubectl exec -it, docker exec -it)";
            return Err(Failure::unclear(format!("{text}{advice}")));
        }
        if words.term == "dumb" {
            let text = "monit needs a terminal that can move its cursor, and TERM is dumb";
            return Err(Failure::unclear(format!("{text}{advice}")));
        }
        let modes = Modes::of(io::stdin()).map_err(|errno| {
            Failure::failed(format!("cannot read the modes of the terminal: {errno}"))
        })?;
        let terminal = Self {
            modes,
            ours: Arc::new(AtomicBool::new(false)),
        };
        terminal.give_back_at_panic();
        Ok(terminal)
    }

    /// Columns and rows.
    pub fn size() -> (u16, u16) {
        size(io::stdout()).unwrap_or(USUAL)
    }

    /// Takes it.
    pub fn enter(&self) -> Result<(), Failure> {
        self.ours.store(true, Ordering::SeqCst);
        let done = self.modes.set_raw(io::stdin()).map_err(io::Error::from);
        done.and_then(|()| write(ENTER))
            .map_err(|error| Failure::failed(format!("cannot use the terminal: {error}")))
    }

    /// Gives it back, once. Errors are ignored: a terminal that is gone needs nothing.
    pub fn leave(&self) {
        give_back(&self.modes, &self.ours, true);
    }

    /// The same for a terminal that takes no more letters: only its modes.
    pub fn leave_stuck(&self) {
        give_back(&self.modes, &self.ours, false);
    }

    /// Before the message of a panic is written, which would otherwise be lost with the other screen.
    fn give_back_at_panic(&self) {
        let (modes, ours) = (self.modes.clone(), Arc::clone(&self.ours));
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back(&modes, &ours, true);
            tell(panic);
        }));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.leave();
    }
}

fn give_back(modes: &Modes, ours: &AtomicBool, writes: bool) {
    if ours.swap(false, Ordering::SeqCst) {
        if writes {
            let _ = write(LEAVE);
        }
        let _ = modes.restore(io::stdin());
    }
}

/// Writes to standard output, at once.
pub fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_what_can_be_shown() {
        let look = |locale: [&str; 3], term: &str, no_color: &str| {
            let words = Words {
                term: term.to_owned(),
                no_color: no_color.to_owned(),
                locale: locale.map(str::to_owned),
            };
            let Look { colour, ascii } = words.look();
            (colour, ascii)
        };
        let table = [
            (["", "", ""], "", "", (true, false)),
            (["", "", "C.UTF-8"], "xterm", "", (true, false)),
            (["", "en_US.utf8", "C"], "xterm", "", (true, false)),
            (["C", "en_US.utf8", ""], "xterm", "", (true, true)),
            (["", "", "de_DE.ISO-8859-1"], "xterm", "", (true, true)),
            (["", "", "POSIX"], "xterm", "1", (false, true)),
            (["", "", "en_US.UTF-8"], "linux", "", (true, true)),
        ];
        for (locale, term, no_color, expected) in table {
            assert_eq!(look(locale, term, no_color), expected, "{locale:?} {term}");
        }
    }
}
