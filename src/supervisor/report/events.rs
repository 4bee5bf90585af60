//! What happened last, for `rpmctl events` and the admin page: so many events are kept in memory, and whoever follows reads them
//! from there at its own pace.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::control::protocol::{Event, Text, What, cut};
use crate::log::Waiting;
use crate::model::{Pid, Trigger};
use crate::policy::{Next, Note};
use crate::sys::clock;

use super::{Listener, Told, missing};
use crate::config::Config;
use crate::model::shown::seconds;

/// How many events are kept.
const KEPT: usize = 192;

/// How many messages of workers, and how many commands and failed checks, are kept beside them: they push out nothing else.
const OFTEN: usize = 64;

/// The last events. Clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::supervisor) struct Events(Arc<Mutex<Kept>>);

/// Events, each with its number, in order.
type Numbered = VecDeque<(u64, Event)>;

#[derive(Debug, Default)]
struct Kept {
    events: Numbered,
    messages: Numbered,
    often: Numbered,
    /// The number of the next event.
    next: u64,
    /// Who waits for it.
    waiting: Waiting,
}

impl Events {
    /// Something happened now.
    pub(in crate::supervisor) fn push(&self, what: What) {
        let time = seconds(clock::since_1970());
        let waiting = self.locked(|kept| {
            let (list, most) = match what {
                What::Message { .. } => (&mut kept.messages, OFTEN),
                What::Command { .. } | What::CheckFailed { .. } => (&mut kept.often, OFTEN),
                _ => (&mut kept.events, KEPT),
            };
            if list.len() >= most {
                list.pop_front();
            }
            list.push_back((kept.next, Event { time, what }));
            kept.next += 1;
            kept.waiting.take()
        });
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The number of the next event.
    pub(in crate::supervisor) fn end(&self) -> u64 {
        self.locked(|kept| kept.next)
    }

    /// The number of the first of the last `count` events that are kept.
    pub(in crate::supervisor) fn last(&self, count: usize) -> u64 {
        self.locked(|kept| {
            let all = kept.events.iter().chain(&kept.messages).chain(&kept.often);
            let mut numbers: Vec<u64> = all.map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            let from = numbers.len().saturating_sub(count);
            numbers.get(from).copied().unwrap_or(kept.next)
        })
    }

    /// The last events for everybody to read, the latest at the end: without messages and commands, and without what may hold
    /// a value of the environment or bytes of the program.
    pub(in crate::supervisor) fn recent(&self, count: usize) -> Vec<Event> {
        let open = |(_, event): &(u64, Event)| {
            let what = event.what.open()?;
            Some(Event { what, ..*event })
        };
        let mut recent: Vec<Event> = self.locked(|kept| {
            let mut all: Vec<_> = kept.events.iter().chain(&kept.often).collect();
            all.sort_unstable_by_key(|(number, _)| *number);
            all.into_iter().rev().filter_map(open).take(count).collect()
        });
        recent.reverse();
        recent
    }

    /// The first event that is kept from this number on, and its number.
    pub(in crate::supervisor) fn from(&self, number: u64) -> Option<(u64, Event)> {
        self.locked(|kept| {
            let first = |list: &Numbered| {
                let at = list.partition_point(|(of, _)| *of < number);
                list.get(at).cloned()
            };
            let found = [&kept.events, &kept.messages, &kept.often].map(first);
            found.into_iter().flatten().min_by_key(|(of, _)| *of)
        })
    }

    /// Ready if there is an event of this number or a later one; else `context` is woken then.
    pub(in crate::supervisor) fn poll(&self, number: u64, context: &mut Context<'_>) -> Poll<()> {
        self.locked(|kept| {
            if kept.next > number {
                return Poll::Ready(());
            }
            kept.waiting.add(context.waker());
            Poll::Pending
        })
    }

    /// Who waits with this waker is gone.
    pub(in crate::supervisor) fn forget(&self, waker: &Waker) {
        self.locked(|kept| kept.waiting.forget(waker));
    }

    /// A panic elsewhere leaves the lists valid.
    fn locked<T>(&self, then: impl FnOnce(&mut Kept) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes down what the notes tell.
#[derive(Debug)]
pub(super) struct Recording {
    config: Arc<Config>,
    events: Events,
}

impl Recording {
    pub(super) fn new(config: &Arc<Config>, events: &Events) -> Self {
        Self {
            config: Arc::clone(config),
            events: events.clone(),
        }
    }
}

impl Listener for Recording {
    fn hear(&mut self, told: &Told<'_>) {
        let what = workers(told, &self.config).or_else(|| fleet(told.note));
        if let Some(what) = what {
            self.events.push(what);
        }
    }
}

/// What is about one worker.
fn workers(told: &Told<'_>, config: &Config) -> Option<What> {
    Some(match told.note {
        Note::Ready {
            slot,
            pid,
            after,
            by,
        } => What::Ready {
            slot: slot.0,
            pid: pid.get(),
            seconds: seconds(after),
            by: by.label().into(),
        },
        Note::NotReady {
            slot, pid, after, ..
        } => What::NotReady {
            slot: slot.0,
            pid: pid.get(),
            seconds: seconds(after),
        },
        Note::Ended {
            slot,
            pid,
            exit,
            cause,
            uptime,
            next,
        } => What::Exited {
            slot: slot.0,
            pid: pid.get(),
            exit: exit.to_string().into(),
            cause: cause.label().into(),
            seconds: seconds(uptime),
            next: word(next).into(),
        },
        Note::TookOver { slot, pid, old } => What::Replaced {
            slot: slot.0,
            pid: pid.get(),
            old: old.get(),
        },
        Note::GaveBack { slot, pid, old } => What::GaveBack {
            slot: slot.0,
            pid: pid.get(),
            old: old.get(),
        },
        Note::NotUp { slot, pid, why } => What::NotUp {
            slot: slot.0,
            pid: pid.map(Pid::get),
            why: cut(missing::not_up_openly(why, config, told)),
            check: missing::check(why, told).map(|check| cut(check.to_owned())),
        },
        Note::Renews { slot, pid, cause } => What::Replacing {
            slot: slot.0,
            pid: pid.get(),
            cause: cause.label().into(),
        },
        Note::DrainEnded {
            slot,
            pid,
            end,
            took,
        } => What::Drained {
            slot: slot.0,
            pid: pid.get(),
            end: end.label().into(),
            seconds: seconds(took),
        },
        _ => return None,
    })
}

/// What is about all of them.
fn fleet(note: Note) -> Option<What> {
    Some(match note {
        Note::ReloadBegins {
            trigger,
            generation,
            workers,
        } => What::ReloadBegan {
            generation: generation.0,
            workers,
            trigger: said(trigger),
        },
        Note::ReloadRemembered { trigger } => What::ReloadRemembered {
            trigger: said(trigger),
        },
        Note::ReloadEnded {
            result,
            replaced,
            took,
        } => What::ReloadEnded {
            result: result.label().into(),
            replaced,
            seconds: seconds(took),
        },
        Note::RestartRequested => What::Restarting,
        Note::Scaled { from, to } => What::Scaled { from, to },
        Note::StopRequested { .. } => What::Stopping,
        Note::GivesUp { slot, streak, code } => What::GivesUp {
            slot: slot.0,
            streak,
            code,
        },
        _ => return None,
    })
}

/// What caused a reload, as a word.
fn said(trigger: Trigger) -> Text {
    let word = match trigger {
        Trigger::Operator => "asked-for",
        Trigger::Schedule => "schedule",
        Trigger::Files => "files",
    };
    word.into()
}

/// What happens next in the slot.
fn word(next: Next) -> &'static str {
    match next {
        Next::Restart { .. } => "restart",
        Next::StaysDown => "stays-down",
        Next::Halted => "halted",
        Next::Replaced => "replaced",
        Next::GivenUp => "removed",
        Next::Stopping => "stopping",
        Next::GivesUp => "gives-up",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Cause, Exit, SlotId};
    use crate::policy::{Missing, NotUp, PortTable};

    #[test]
    fn a_decision_becomes_an_event_and_a_detail_does_not() {
        let events = Events::default();
        let config = Arc::new(crate::config::testing::with(&[]));
        let mut recording = Recording::new(&config, &events);
        let mut hear = |note| {
            recording.hear(&Told {
                note,
                unix_seconds: 7,
                ports: &PortTable::default(),
                last_lines: &[],
                not_passed: None,
                unseen: None,
                blind: false,
            });
        };
        let (slot, pid) = (SlotId(2), Pid::new(77).unwrap());
        hear(Note::Leftovers { slot, pid });
        assert_eq!(events.end(), 0);
        hear(Note::Ended {
            slot,
            pid,
            exit: Exit::Code(3),
            cause: Cause::Exit,
            uptime: Duration::from_micros(1_234_567),
            next: Next::StaysDown,
        });
        hear(Note::ReloadRemembered {
            trigger: Trigger::Files,
        });
        let (number, event) = events.from(0).unwrap();
        assert_eq!(number, 0);
        let exited = What::Exited {
            slot: 2,
            pid: 77,
            exit: "exit code 3".into(),
            cause: "exit".into(),
            seconds: 1.234,
            next: "stays-down".into(),
        };
        assert_eq!(event.what, exited);
        assert!(event.time > 1e9);
        let (_, event) = events.from(1).unwrap();
        let trigger = "files".into();
        assert_eq!(event.what, What::ReloadRemembered { trigger });
        events.push(What::Message {
            slot: 2,
            pid: 77,
            text: "secret".into(),
        });
        assert_eq!(events.recent(1), [event]);
        assert_eq!(events.recent(9).len(), 2);
        assert!(events.from(3).is_none());
    }

    #[test]
    fn what_everybody_may_read_has_no_path_of_a_check_no_bytes_of_a_worker_and_no_command() {
        let events = Events::default();
        let config = Arc::new(crate::config::testing::with(&[(
            "RPM_READY",
            "http:/up?token=sesame",
        )]));
        events.push(What::Stopping);
        let (slot, pid) = (SlotId(2), Pid::new(77));
        let why = NotUp::NotReady {
            after: Duration::from_secs(9),
            missing: Missing::Word,
        };
        Recording::new(&config, &events).hear(&Told {
            note: Note::NotUp { slot, pid, why },
            unix_seconds: 7,
            ports: &PortTable::default(),
            last_lines: &[],
            not_passed: Some("GET /up?token=sesame on port 3000: status 404"),
            unseen: None,
            blind: false,
        });
        events.push(What::CheckFailed {
            slot: 2,
            pid: 77,
            why: "the answer is not HTTP".into(),
            answer: Some("sesame".into()),
        });
        events.push(What::Command {
            command: "sesame".into(),
            uid: 0,
            pid: 7,
            refused: None,
        });
        let kept: String = (0..3).map(|of| json(&events.from(of).unwrap().1)).collect();
        assert_eq!(kept.matches("sesame").count(), 2, "{kept}");
        let open: Vec<String> = events.recent(2).iter().map(json).collect();
        let [not_up, failed] = &open[..] else {
            panic!("{open:?}")
        };
        assert!(not_up.contains("it was not ready after 9000ms, it does not answer"));
        assert!(failed.contains("the answer is not HTTP"));
        assert!(!open.concat().contains("sesame"), "{open:?}");
    }

    fn json(event: &Event) -> String {
        serde_json::to_string(event).unwrap()
    }
}
