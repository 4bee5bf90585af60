//! `rpmctl describe`.

use std::fmt::Write;

use rpm_runtime::control::protocol::{Command, Described, Ended, Listener};

use super::args::Globals;
use super::connection::Connection;
use super::exit::Failure;
use super::table::{Side, draw};
use super::words::{human, plain, utc};
use super::{list, print};

pub fn run(globals: &Globals, slot: u16) -> Result<(), Failure> {
    let command = Command::Describe { slot };
    let answer = Connection::open(globals)?.ask::<Described>(command)?;
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    print(&shown(&answer.value))
}

const LISTENERS: [(&str, Side); 6] = [
    ("ADDRESS", Side::Left),
    ("QUEUE", Side::Right),
    ("LIMIT", Side::Right),
    ("UNIT", Side::Left),
    ("ROTATION", Side::Left),
    ("TAKEN", Side::Left),
];

fn shown(slot: &Described) -> String {
    let mut text = list::table(&slot.workers);
    let mut part = |title: &str, content: &str| {
        let content = if content.is_empty() {
            "none\n"
        } else {
            content
        };
        let _ = write!(text, "\n{title}\n");
        for line in content.lines() {
            let _ = writeln!(text, "  {line}");
        }
    };
    for worker in &slot.workers {
        if let Some(status) = &worker.status {
            part("STATUS", &plain(status));
        }
    }
    if slot.streak > 0 {
        let streak = format!("{} workers in a row did not live long enough", slot.streak);
        part("ATTENTION", &streak);
    }
    let words: Vec<String> = slot
        .command
        .iter()
        .map(|word| quoted(&plain(word)))
        .collect();
    part("COMMAND", &words.join(" "));
    let handed = &slot.handover;
    let handed = format!(
        "hand-over {}, steering {}: {}",
        handed.handover, handed.steering, handed.reason
    );
    part("SHARED PORTS", &plain(&handed));
    if !slot.listeners.is_empty() {
        let rows: Vec<Vec<String>> = slot.listeners.iter().map(listener).collect();
        part("LISTENERS", &draw(&LISTENERS, &rows));
    }
    let exits: String = slot.exits.iter().rev().map(ended).collect();
    part("LAST EXITS", &exits);
    let names: String = slot
        .environment
        .iter()
        .map(|name| plain(name) + "\n")
        .collect();
    part("ENVIRONMENT (names)", &names);
    text
}

/// A word as a shell would need it, if it is not plain.
fn quoted(word: &str) -> String {
    let safe = |letter: char| letter.is_alphanumeric() || "-_=./:,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn listener(listener: &Listener) -> Vec<String> {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    vec![
        plain(&listener.address),
        listener.queue.to_string(),
        listener.limit.to_string(),
        plain(&listener.unit),
        yes(listener.in_rotation),
        yes(listener.taken),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
fn ended(end: &Ended) -> String {
    let mut text = format!(
        "{}  pid {}  {} ({}) after {}\n",
        utc(end.time as f64),
        end.pid,
        plain(&end.exit),
        plain(&end.cause),
        human(end.uptime_seconds)
    );
    for line in &end.lines {
        text.push_str("    ");
        text.push_str(&plain(line));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use rpm_runtime::control::protocol::Handed;

    use super::*;

    #[test]
    fn every_part_is_shown_and_nothing_steers_the_terminal() {
        let slot = Described {
            workers: Vec::new(),
            streak: 2,
            command: ["node", "my app.js", "it's", ""].map(str::to_owned).into(),
            environment: vec!["HOME".to_owned(), "A\u{1b}[2J".to_owned()],
            handover: Handed {
                handover: "intercept".to_owned(),
                steering: "adaptive".to_owned(),
                reason: "bind is intercepted".to_owned(),
            },
            listeners: vec![Listener {
                address: "[::]:3000".to_owned(),
                unit: "connections".to_owned(),
                queue: 3,
                limit: 4096,
                in_rotation: true,
                taken: false,
            }],
            exits: vec![Ended {
                time: 86_400,
                pid: 31,
                exit: "exit code 1".to_owned(),
                cause: "exit".to_owned(),
                uptime_seconds: 3.5,
                lines: vec!["Error: \u{1b}no".to_owned()],
            }],
        };
        let shown = shown(&slot);
        for part in [
            "ATTENTION\n  2 workers in a row did not live long enough\n",
            "COMMAND\n  node 'my app.js' 'it'\\''s' ''\n",
            "SHARED PORTS\n  hand-over intercept, steering adaptive: bind is intercepted\n",
            "  [::]:3000      3   4096  connections  yes       no\n",
            "LAST EXITS\n  1970-01-02T00:00:00.000Z  pid 31  exit code 1 (exit) after 3s\n      Error: ",
            "ENVIRONMENT (names)\n  HOME\n  A",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}
