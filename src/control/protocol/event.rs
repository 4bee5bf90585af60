//! What happens in a runtime: the items of `events`.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A word, or a text of at most [`LONGEST`] characters.
pub type Text = Cow<'static, str>;

/// Longest text in an event, characters.
const LONGEST: usize = 200;

/// A text that others chose, cut to the length that an event may have.
pub fn cut(text: impl Into<Text>) -> Text {
    let text = text.into();
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in seconds since 1970.
    pub time: f64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened. The name is the field `event`. Durations are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "docs/control.md has every field")]
pub enum What {
    /// A worker was started.
    Started {
        slot: u16,
        pid: i32,
        generation: u32,
    },
    /// It is ready.
    Ready {
        slot: u16,
        pid: i32,
        seconds: f64,
        by: Text,
    },
    /// It was not ready in time, and is stopped.
    NotReady { slot: u16, pid: i32, seconds: f64 },
    /// It ended.
    Exited {
        slot: u16,
        pid: i32,
        exit: Text,
        cause: Text,
        seconds: f64,
        next: Text,
    },
    /// A new worker has the slot now; the old one leaves.
    Replaced { slot: u16, pid: i32, old: i32 },
    /// A new worker ended, and the old one has the slot again.
    GaveBack { slot: u16, pid: i32, old: i32 },
    /// A new worker did not come up; the old one stays.
    NotUp {
        slot: u16,
        pid: Option<i32>,
        why: Text,
        /// How its check failed last (RPM_READY).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        check: Option<Text>,
    },
    /// A worker failed a check (RPM_HEALTH).
    CheckFailed {
        slot: u16,
        pid: i32,
        why: Text,
        /// The first bytes of what it answered, if they are why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Text>,
    },
    /// A worker is replaced: it is unhealthy, too large, or somebody asked for it.
    Replacing { slot: u16, pid: i32, cause: Text },
    /// A worker finishes its requests, or has.
    Drained {
        slot: u16,
        pid: i32,
        end: Text,
        seconds: f64,
    },
    /// A reload began.
    ReloadBegan {
        generation: u32,
        workers: usize,
        trigger: Text,
    },
    /// Another reload follows the one that runs.
    ReloadRemembered { trigger: Text },
    /// One more worker of a reload serves.
    ReloadStep { replaced: usize, workers: usize },
    /// A reload ended.
    ReloadEnded {
        result: Text,
        replaced: usize,
        seconds: f64,
    },
    /// All workers are restarted.
    Restarting,
    /// The number of workers wanted has changed.
    Scaled { from: usize, to: usize },
    /// A limit of the container has changed, and something follows it.
    Followed {
        what: Text,
        from: u64,
        to: u64,
        why: Text,
    },
    /// A command that changes something came by the control socket.
    Command {
        command: Text,
        uid: u32,
        pid: i32,
        refused: Option<Text>,
    },
    /// A worker sent a message to its primary (`process.send`).
    Message { slot: u16, pid: i32, text: Text },
    /// The runtime was told to stop.
    Stopping,
    /// The runtime gives up, because of this slot.
    GivesUp { slot: u16, streak: u32, code: u8 },
    /// One that a later version knows.
    #[serde(other)]
    Other,
}

impl What {
    /// What everybody may read of it, at the admin port, which has no password: no value of the environment (the path of a
    /// check), no byte of the program, and nothing of what operators do.
    pub fn open(&self) -> Option<Self> {
        let mut open = self.clone();
        match &mut open {
            Self::NotUp { check: hidden, .. } | Self::CheckFailed { answer: hidden, .. } => {
                *hidden = None;
            }
            Self::Command { .. } | Self::Message { .. } => return None,
            _ => {}
        }
        Some(open)
    }

    /// What some of them tell in addition, and what stands around it in the line for people.
    fn detail(&self) -> Option<(&str, &Text, &str)> {
        match self {
            Self::NotUp { check, .. } => Some((" (", check.as_ref()?, ")")),
            Self::CheckFailed { answer, .. } => Some((": \"", answer.as_ref()?, "\"")),
            Self::Command { refused, .. } => Some((", refused: ", refused.as_ref()?, "")),
            _ => None,
        }
    }
}

impl fmt::Display for What {
    /// One line for people. It may have control characters of texts that others chose.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started {
                slot,
                pid,
                generation,
            } => write!(f, "slot {slot}: pid {pid} started, generation {generation}"),
            Self::Ready {
                slot, pid, seconds, ..
            } => write!(f, "slot {slot}: pid {pid} is ready after {seconds} s"),
            Self::NotReady { slot, pid, seconds } => write!(
                f,
                "slot {slot}: pid {pid} is not ready after {seconds} s, stopping it"
            ),
            Self::Exited {
                slot,
                pid,
                exit,
                cause,
                seconds,
                next,
            } => write!(
                f,
                "slot {slot}: pid {pid} ended with {exit} after {seconds} s, cause {cause}; {next}"
            ),
            Self::Replaced { slot, pid, old } => {
                write!(f, "slot {slot}: pid {pid} has taken over from {old}")
            }
            Self::GaveBack { slot, pid, old } => {
                write!(f, "slot {slot}: pid {pid} ended, and {old} serves again")
            }
            Self::NotUp { slot, why, .. } => {
                write!(f, "slot {slot}: the new worker did not come up: {why}")
            }
            Self::CheckFailed { slot, pid, why, .. } => {
                write!(f, "slot {slot}: pid {pid} failed a check: {why}")
            }
            Self::Replacing { slot, pid, cause } => {
                write!(f, "slot {slot}: pid {pid} is replaced, cause {cause}")
            }
            Self::Drained {
                slot,
                pid,
                end,
                seconds,
            } => write!(
                f,
                "slot {slot}: the drain of pid {pid} ended after {seconds} s: {end}"
            ),
            Self::ReloadBegan {
                generation,
                workers,
                trigger,
            } => write!(
                f,
                "reload began: generation {generation}, workers to replace: {workers}, trigger {trigger}"
            ),
            Self::ReloadRemembered { trigger } => {
                write!(f, "another reload will follow, trigger {trigger}")
            }
            Self::ReloadStep { replaced, workers } => {
                write!(f, "reload: {replaced} of {workers} workers replaced")
            }
            Self::ReloadEnded {
                result,
                replaced,
                seconds,
            } => write!(
                f,
                "reload ended: {result}, workers replaced: {replaced}, after {seconds} s"
            ),
            Self::Restarting => f.write_str("all workers are restarted"),
            Self::Scaled { from, to } => write!(f, "{to} workers instead of {from}"),
            Self::Followed {
                what,
                from,
                to,
                why,
            } => write!(f, "{what} follows a limit: {to} instead of {from} ({why})"),
            Self::Command {
                command, uid, pid, ..
            } => write!(f, "command `{command}` of user {uid}, pid {pid}"),
            Self::Message { slot, pid, text } => {
                write!(f, "slot {slot}: message of pid {pid}: {text}")
            }
            Self::Stopping => f.write_str("the runtime stops"),
            Self::GivesUp { slot, streak, code } => write!(
                f,
                "giving up because of slot {slot} (short lives in a row: {streak}), exit code {code}"
            ),
            Self::Other => f.write_str("something that this version does not know"),
        }?;
        match self.detail() {
            Some((before, detail, after)) => write!(f, "{before}{detail}{after}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object_and_one_of_a_later_version_can_be_read() {
        let event = Event {
            time: 1.5,
            what: What::GaveBack {
                slot: 3,
                pid: 77,
                old: 76,
            },
        };
        let text = serde_json::to_string(&event).unwrap();
        let expected = r#"{"time":1.5,"event":"gave-back","slot":3,"pid":77,"old":76}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        let later = r#"{"time":2,"event":"danced","with":"wolves"}"#;
        let read: Event = serde_json::from_str(later).unwrap();
        assert_eq!(read.what, What::Other);
    }

    #[test]
    fn the_line_for_people_has_what_is_told_in_addition_and_the_open_one_has_not() {
        let (slot, pid) = (3, 77);
        let failed = |answer| What::CheckFailed {
            slot,
            pid,
            why: "the answer is not HTTP".into(),
            answer,
        };
        let told = failed(Some("SSH-2.0".into()));
        assert_eq!(
            told.to_string(),
            "slot 3: pid 77 failed a check: the answer is not HTTP: \"SSH-2.0\""
        );
        assert_eq!(told.open(), Some(failed(None)));
        let refused = What::Command {
            command: "reload".into(),
            uid: 7,
            pid,
            refused: Some("it stops".into()),
        };
        assert_eq!(
            refused.to_string(),
            "command `reload` of user 7, pid 77, refused: it stops"
        );
        assert_eq!(refused.open(), None);
    }

    #[test]
    fn long_texts_are_cut_between_two_characters() {
        assert_eq!(cut("short"), "short");
        let long = cut("é".repeat(999));
        assert_eq!(long, format!("{}…", "é".repeat(LONGEST)));
        assert_eq!(cut("é".repeat(LONGEST)), "é".repeat(LONGEST));
    }
}
