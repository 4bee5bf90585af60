//! Commands that change something. They come to the loop as messages; the decision and its effects are those of one turn,
//! and the answer follows the turn.

use std::pin::Pin;
use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::sync::oneshot::Sender;
use tokio::task::spawn_local;
use tracing::info;

use crate::control::protocol::{
    Begun, Command, Done, Kind, Refusal, Scaled, Signalled, Slots, What, cut,
};
use crate::metrics::Metrics;
use crate::model::{self, RunState, Sig, SlotId, Snapshot, Trigger, WorkerState, WorkerView};
use crate::policy::{Event, MAX_INSTANCES};
use crate::supervisor::Supervisor;
use crate::supervisor::report::Events;
use crate::sys::peer::Peer;

use super::who::{existing, processes, to_reload, to_restart};
use super::written;

/// What is said to the client.
pub(in crate::supervisor) type Outcome = Result<Box<RawValue>, Refusal>;

/// An outcome that comes later.
pub(super) type Later = Pin<Box<dyn Future<Output = Outcome>>>;

/// A command that changes something, and who waits for the answer.
#[derive(Debug)]
pub(in crate::supervisor) struct Order {
    pub(super) command: Command,
    pub(super) peer: Peer,
    pub(super) answer: Sender<Outcome>,
}

/// Answers that are sent after the turn: what a client asks next is answered from the state after it.
#[derive(Debug, Default)]
pub(in crate::supervisor) struct Answers(Vec<(Sender<Outcome>, Outcome)>);

impl Answers {
    /// Sends them.
    pub(in crate::supervisor) fn send(&mut self) {
        for (answer, outcome) in self.0.drain(..) {
            // The client may be gone.
            let _ = answer.send(outcome);
        }
    }
}

/// Where commands are written down.
struct Books {
    metrics: Arc<Metrics>,
    events: Events,
}

impl Books {
    fn note(&self, command: &Command, peer: Peer, outcome: &Outcome) {
        let refused = outcome.as_ref().err().map(|refusal| refusal.text.as_str());
        let Peer { pid, uid } = peer;
        let words = command.words();
        info!(
            command = words,
            peer_uid = uid,
            peer_pid = pid,
            refused,
            "control command"
        );
        self.events.push(What::Command {
            command: cut(words),
            uid,
            pid,
            refused: refused.map(|why| cut(why.to_owned())),
        });
        self.metrics
            .control_command(command.name(), outcome.is_ok());
    }
}

impl Supervisor {
    /// Begins what an order says, as events of this turn, or refuses it. One line of the log tells who said it.
    pub(in crate::supervisor) fn ordered(&mut self, order: Order, events: &mut Vec<Event>) {
        let Order {
            command,
            peer,
            answer,
        } = order;
        let books = Books {
            metrics: Arc::clone(&self.metrics),
            events: self.events.clone(),
        };
        // These are answered by other threads.
        let later = match &command {
            Command::Send { message, slot } => Some(self.send_message(message, *slot)),
            Command::Flush => Some(self.empty_logs()),
            _ => None,
        };
        let outcome = match later {
            Some(Ok(later)) => {
                spawn_local(async move {
                    let outcome = later.await;
                    books.note(&command, peer, &outcome);
                    // The client may be gone.
                    let _ = answer.send(outcome);
                });
                return;
            }
            Some(Err(refusal)) => Err(refusal),
            None => self.begin(&command, events),
        };
        books.note(&command, peer, &outcome);
        self.answers.0.push((answer, outcome));
    }

    fn begin(&self, command: &Command, events: &mut Vec<Event>) -> Outcome {
        let seen = self.fleet.snapshot();
        let mut tell = |command| events.push(Event::Operator(command));
        match command {
            Command::Reload => {
                serves(&seen)?;
                to_reload(&seen)?;
                let number = self.reloads.next();
                let remembered = self.reloads.runs();
                tell(model::Command::Reload(Trigger::Operator));
                written(&Begun {
                    reload: number,
                    remembered,
                })
            }
            Command::Restart { slot } => {
                serves(&seen)?;
                tell(match slot {
                    None => {
                        to_restart(&seen)?;
                        model::Command::Restart
                    }
                    Some(slot) => {
                        model::Command::Replace(replaceable(&seen, *slot, self.reloads.runs())?)
                    }
                });
                written(&Done {})
            }
            Command::Stop { slot } => {
                let stops = |view: &WorkerView| view.state != WorkerState::Halted;
                let slots = changed(&seen, *slot, stops)?;
                slots
                    .iter()
                    .copied()
                    .map(model::Command::Halt)
                    .for_each(tell);
                written(&Slots { slots: slots.len() })
            }
            Command::Start { slot } => {
                let slots = changed(&seen, *slot, is_empty)?;
                slots
                    .iter()
                    .copied()
                    .map(model::Command::Start)
                    .for_each(tell);
                written(&Slots { slots: slots.len() })
            }
            Command::Scale { to, by } => {
                serves(&seen)?;
                let to = target(seen.desired, *to, *by)?;
                for _ in seen.desired..to {
                    tell(model::Command::ScaleUp);
                }
                for _ in to..seen.desired {
                    tell(model::Command::ScaleDown);
                }
                written(&Scaled {
                    from: seen.desired,
                    to,
                })
            }
            Command::Signal { signal, slot } => {
                let sig = Sig::parse(signal).ok_or_else(|| {
                    let text =
                        "there is no such signal; signals go by name or number: HUP, SIGUSR2, 12";
                    Refusal::refused(text)
                })?;
                let workers = self.signal(sig, &seen, *slot)?;
                written(&Signalled { workers })
            }
            Command::Reopen => {
                let logging = &self.config.log;
                if !logging.files.any() && logging.own.file.is_none() {
                    let text = "there are no log files (RPM_LOG_FILE, RPM_LOG_ERROR_FILE, RPM_LOG_OWN_FILE)";
                    return Err(Refusal::refused(text));
                }
                self.log.reopen();
                written(&Done {})
            }
            Command::Send { .. }
            | Command::Flush
            | Command::List
            | Command::Describe { .. }
            | Command::Health
            | Command::Env
            | Command::Version
            | Command::Events { .. }
            | Command::Logs(_) => Err(Refusal::new(Kind::Unknown, "this command changes nothing")),
        }
    }

    /// Sends a signal to the worker of a slot, or to all workers. Returns how many got it.
    fn signal(&self, sig: Sig, seen: &Snapshot, slot: Option<u16>) -> Result<usize, Refusal> {
        let to = processes(seen, slot)?;
        if to.is_empty() {
            return Err(Refusal::refused("there is no process to signal now"));
        }
        let mut fault = None;
        let sent = to.iter().filter(|pid| match self.send(**pid, sig) {
            Ok(()) => true,
            Err(errno) => {
                fault = Some(errno);
                false
            }
        });
        match (sent.count(), fault) {
            (0, Some(errno)) => {
                let text = format!("cannot send {sig}: {}", errno.desc());
                Err(Refusal::refused(text))
            }
            (count, _) => Ok(count),
        }
    }
}

/// Nothing is replaced or added any more once the stop has begun.
fn serves(seen: &Snapshot) -> Result<(), Refusal> {
    match seen.state {
        RunState::Starting | RunState::Running | RunState::Reloading => Ok(()),
        RunState::Draining | RunState::Stopping => Err(Refusal::refused("the runtime is stopping")),
    }
}

/// The slots among those that are meant where `stop` or `start` changes something.
fn changed(
    seen: &Snapshot,
    slot: Option<u16>,
    changes: impl Fn(&WorkerView) -> bool,
) -> Result<Vec<SlotId>, Refusal> {
    serves(seen)?;
    let only = slot.map(|slot| existing(seen, slot)).transpose()?;
    let meant = |view: &&WorkerView| only.is_none_or(|slot| slot == view.slot);
    let views = seen.slots.iter().filter(meant);
    let views = views.filter(|view| changes(view));
    Ok(views.map(|view| view.slot).collect())
}

/// Nobody starts in it now.
fn is_empty(view: &WorkerView) -> bool {
    match view.state {
        WorkerState::Halted | WorkerState::Stopped => true,
        WorkerState::Backoff => view.due.is_some(),
        WorkerState::Starting
        | WorkerState::Ready
        | WorkerState::Draining
        | WorkerState::Retiring => false,
    }
}

/// A slot that can get another worker now.
fn replaceable(seen: &Snapshot, slot: u16, reloads: bool) -> Result<SlotId, Refusal> {
    let slot = existing(seen, slot)?;
    let refuse = |text: String| Err(Refusal::refused(text));
    if reloads {
        return refuse("a reload is in progress, which replaces every worker".to_owned());
    }
    let of = |views: &[WorkerView]| {
        views
            .iter()
            .find(|view| view.slot == slot)
            .map(|view| view.state)
    };
    match of(&seen.slots) {
        _ if of(&seen.rising).is_some() => {
            refuse(format!("a new worker starts in slot {slot} already"))
        }
        Some(WorkerState::Starting) => refuse(format!("the worker of slot {slot} is starting")),
        _ => Ok(slot),
    }
}

/// The number of workers that `scale` asks for.
fn target(now: u16, to: Option<u16>, by: Option<i32>) -> Result<u16, Refusal> {
    let wanted = match (to, by) {
        (Some(to), None) => i64::from(to),
        (None, Some(by)) => i64::from(now) + i64::from(by),
        _ => {
            let text = "scale has either `to` or `by`";
            return Err(Refusal::refused(text));
        }
    };
    let fits = u16::try_from(wanted).ok();
    let fits = fits.filter(|to| (1..=MAX_INSTANCES).contains(to));
    fits.ok_or_else(|| {
        let text = format!("{wanted} workers: there can be 1 to {MAX_INSTANCES}");
        Refusal::refused(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_workers_stays_within_its_limits() {
        let table = [
            ((4, Some(6), None), Some(6)),
            ((4, None, Some(2)), Some(6)),
            ((4, None, Some(-3)), Some(1)),
            ((4, None, Some(-4)), None),
            ((4, Some(0), None), None),
            ((4, Some(MAX_INSTANCES), None), Some(MAX_INSTANCES)),
            ((4, Some(u16::MAX), None), None),
            ((4, None, Some(i32::MAX)), None),
            ((4, None, Some(i32::MIN)), None),
            ((4, None, None), None),
            ((4, Some(5), Some(1)), None),
        ];
        for ((now, to, by), expected) in table {
            assert_eq!(target(now, to, by).ok(), expected, "{now} {to:?} {by:?}");
        }
    }
}
