//! Recent events of workers and the reason for giving up, for the termination log.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config::Config;
use crate::model::Cause;
use crate::policy::{Next, Note};

use super::{Listener, Told, human, missing};

/// Maximal number of stored lines.
const REMEMBERED: usize = 16;

#[derive(Debug)]
pub(super) struct History {
    config: Arc<Config>,
    lines: VecDeque<String>,
    /// The first reason why the runtime gave up.
    gave_up: Option<String>,
    /// A stop was requested: a later failure is not the reason for the exit.
    stop_requested: bool,
}

impl History {
    pub(super) fn new(config: &Arc<Config>) -> Self {
        Self {
            config: Arc::clone(config),
            lines: VecDeque::new(),
            gave_up: None,
            stop_requested: false,
        }
    }

    /// Stores one line.
    pub(super) fn push(&mut self, line: String) {
        if self.lines.len() == REMEMBERED {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The reason for the exit with this code.
    pub(super) fn why(&self, code: u8) -> String {
        self.gave_up.clone().unwrap_or_else(|| match code {
            0 => "stopped".to_owned(),
            _ => "ended".to_owned(),
        })
    }

    /// The stored lines after `head`, newest first.
    pub(super) fn text(&self, head: &str) -> String {
        let mut text = format!("{head}\n");
        for line in self.lines.iter().rev() {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

impl Listener for History {
    fn hear(&mut self, told: &Told<'_>) {
        match told.note {
            Note::NotReady {
                slot,
                pid,
                after,
                missing,
            } => {
                let after = human(after);
                let missing = missing::words(missing, &self.config, told);
                self.push(format!(
                    "slot {slot} pid {pid}: not ready after {after}, {missing}"
                ));
            }
            Note::Ended {
                slot,
                pid,
                exit,
                cause,
                uptime,
                next,
            } => {
                let uptime = human(uptime);
                self.push(format!("slot {slot} pid {pid}: {exit} after {uptime}"));
                if cause == Cause::ExecFailed && next == Next::GivesUp {
                    self.gave_up = Some("gave up: the program cannot be executed".to_owned());
                }
            }
            Note::GivesUp { slot, streak, .. } if self.gave_up.is_none() => {
                if self.stop_requested {
                    return;
                }
                self.gave_up = Some(if streak == 0 {
                    format!("gave up: no worker could be started (slot {slot})")
                } else {
                    format!("gave up: slot {slot} cannot stay up (short lives in a row: {streak})")
                });
            }
            Note::StopRequested { .. } => self.stop_requested = true,
            Note::Stopped { delay, drain, stop } => {
                let total = human(delay + drain + stop);
                let (delay, drain, stop) = (human(delay), human(drain), human(stop));
                self.push(format!(
                    "the stop took {total}: delay {delay}, drain {drain}, stop signals to the last end {stop}"
                ));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::with;
    use crate::model::{Exit, Pid, SlotId};
    use crate::policy::PortTable;
    use std::time::Duration;

    fn hear(history: &mut History, note: Note) {
        history.hear(&Told {
            note,
            unix_seconds: 0,
            ports: &PortTable::default(),
            unseen: None,
            blind: false,
            not_passed: None,
            last_lines: &[],
        });
    }

    #[test]
    fn the_newest_is_told_first_and_the_oldest_forgotten() {
        let mut history = History::new(&Arc::new(with(&[])));
        for number in 0..20 {
            history.push(format!("worker {number}"));
        }
        let text = history.text("gave up");
        assert!(text.starts_with("gave up\nworker 19\nworker 18\n"));
        assert!(text.ends_with("worker 4\n"));
    }

    #[test]
    fn the_first_reason_to_give_up_is_told() {
        let mut history = History::new(&Arc::new(with(&[])));
        let (slot, pid) = (SlotId(0), Pid::new(7).unwrap());
        hear(
            &mut history,
            Note::Ended {
                slot,
                pid,
                exit: Exit::Code(127),
                cause: Cause::ExecFailed,
                uptime: Duration::ZERO,
                next: Next::GivesUp,
            },
        );
        let gives_up = |streak| Note::GivesUp {
            slot,
            streak,
            code: 127,
        };
        hear(&mut history, gives_up(3));
        assert_eq!(history.why(127), "gave up: the program cannot be executed");
        let mut history = History::new(&Arc::new(with(&[])));
        hear(&mut history, gives_up(3));
        hear(&mut history, gives_up(0));
        let why = "gave up: slot 0 cannot stay up (short lives in a row: 3)";
        assert_eq!(history.why(127), why);
    }

    #[test]
    fn what_fails_after_a_request_to_stop_is_not_the_reason_of_the_end() {
        let mut history = History::new(&Arc::new(with(&[])));
        let delay = Duration::ZERO;
        hear(&mut history, Note::StopRequested { delay });
        let (slot, streak, code) = (SlotId(0), 3, 1);
        hear(&mut history, Note::GivesUp { slot, streak, code });
        assert_eq!(history.why(0), "stopped");
        assert_eq!(history.why(1), "ended");
    }
}
