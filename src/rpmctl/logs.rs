//! `rpmctl logs`.

use std::borrow::Cow;
use std::io::{IsTerminal, stdout};

use rpm_runtime::control::protocol::{Command, LogLine, LogSource, Wanted};

use super::args::{Globals, Logs};
use super::connection::Connection;
use super::exit::Failure;
use super::output::{Output, item};
use super::plain::plain;
use super::wants_colour;

/// Lines that `-f` shows first, if nothing else is said: as many as pm2 shows.
const FIRST: u64 = 15;

pub fn run(globals: &Globals, which: &Logs) -> Result<(), Failure> {
    let Logs {
        follow,
        lines,
        slot,
        stderr,
        since,
        grep,
        raw,
    } = which;
    let first = (*follow && since.is_none()).then_some(FIRST);
    let seconds = |since: std::time::Duration| {
        let part = u64::from(since.subsec_nanos() > 0);
        since.as_secs().saturating_add(part)
    };
    let command = Command::Logs(Wanted {
        follow: *follow,
        lines: lines.or(first),
        slot: *slot,
        stderr: *stderr,
        since: since.map(seconds),
        grep: grep.clone(),
    });
    let terminal = stdout().is_terminal();
    let show = Show {
        plain: !raw,
        colour: terminal && wants_colour(),
    };
    let mut out = Output::new();
    Connection::open(globals)?.stream(command, *follow, |raw, more| {
        if globals.json {
            return out.line(&raw.to_string(), more);
        }
        match item::<LogLine>(raw, true)? {
            Ok(line) => out.line(&show.line(&line), more),
            Err(lost) => out.lost(lost, "lines"),
        }
    })?;
    out.end()
}

/// How lines are shown.
#[derive(Clone, Copy, Debug)]
struct Show {
    /// They steer no terminal. Also for a pipe: `kubectl exec` without `-t` leads to the terminal of a person through one.
    plain: bool,
    colour: bool,
}

impl Show {
    /// The line, or the lines of the record, each with its slot.
    fn line(self, line: &LogLine) -> String {
        let mark = if line.stream == LogSource::Stderr {
            '!'
        } else {
            '|'
        };
        let label = match line.slot {
            Some(slot) => format!("{slot:>3} {mark}"),
            None => format!("rpm {mark}"),
        };
        let label = match line.stream {
            _ if !self.colour => label,
            LogSource::Stdout => format!("\x1b[32m{label}\x1b[0m"),
            LogSource::Stderr => format!("\x1b[31m{label}\x1b[0m"),
            LogSource::Runtime => format!("\x1b[36m{label}\x1b[0m"),
        };
        let texts = line.text.split('\n').map(|text| {
            let text = if self.plain {
                Cow::Owned(plain(&uncoloured(text)))
            } else {
                Cow::Borrowed(text)
            };
            format!("{label} {text}")
        });
        let mut shown = texts.collect::<Vec<String>>().join("\n");
        if line.cut {
            shown.push_str(" […]");
        }
        shown
    }
}

/// The text without colours (ECMA-48, SGR): they are the only sequences that programs mean for a log.
fn uncoloured(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "\x1b[";
    let Some((before, mut rest)) = text.split_once(BEGIN) else {
        return Cow::Borrowed(text);
    };
    let mut kept = before.to_owned();
    loop {
        let parameters = |letter: char| letter.is_ascii_digit() || matches!(letter, ';' | ':');
        match rest.trim_start_matches(parameters).strip_prefix('m') {
            Some(after) => rest = after,
            None => kept.push_str(BEGIN),
        }
        let Some((before, after)) = rest.split_once(BEGIN) else {
            kept.push_str(rest);
            return Cow::Owned(kept);
        };
        kept.push_str(before);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(slot: Option<u16>, stream: LogSource, text: &str) -> LogLine {
        LogLine {
            time: 1.0,
            slot,
            pid: 7,
            stream,
            text: text.to_owned(),
            cut: false,
            partial: false,
        }
    }

    #[test]
    fn a_line_has_its_slot_and_a_record_has_it_on_each_line() {
        let show = Show {
            plain: false,
            colour: false,
        };
        let shown = show.line(&line(Some(3), LogSource::Stdout, "GET \x1b[31m/"));
        assert_eq!(shown, "  3 | GET \x1b[31m/", "raw");
        let shown = show.line(&line(Some(110), LogSource::Stderr, "Trace\n  at x"));
        assert_eq!(shown, "110 ! Trace\n110 !   at x");
        let cut = LogLine {
            cut: true,
            ..line(None, LogSource::Runtime, "info: x")
        };
        assert_eq!(show.line(&cut), "rpm | info: x […]");
    }

    #[test]
    fn colours_are_taken_out_and_nothing_steers_a_terminal() {
        let show = Show {
            plain: true,
            colour: true,
        };
        let text = "a\x1b[1;31mred\x1b[0m\x1b[2J\rb\x1b";
        let shown = show.line(&line(Some(0), LogSource::Stdout, text));
        assert_eq!(shown, "\x1b[32m  0 |\x1b[0m ared?[2J?b?");
        let table = [
            ("plain", "plain"),
            ("\x1b[m", ""),
            ("\x1b[38;5;1mx\x1b[38:2::1m", "x"),
            ("\x1b[", "\x1b["),
            ("\x1b[31", "\x1b[31"),
            ("\x1b[3\x1b[31m1m", "\x1b[31m"),
        ];
        for (text, expected) in table {
            assert_eq!(uncoloured(text), expected, "{text:?}");
        }
    }
}
