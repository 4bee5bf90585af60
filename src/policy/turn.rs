//! Data that every function of one decision needs. `Supervisor::turn` may make several decisions.

use crate::model::Tick;

use super::{Action, Note};

/// The time and the random number of one decision of the fleet, and its actions so far.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// The time, read once in each turn of the loop.
    pub now: Tick,
    /// A random number, uniform in 0..=65535, that spreads restarts. All workers of one decision share it: what must
    /// differ between them needs the slot or the pid as well.
    pub jitter: u16,
    actions: &'a mut Vec<Action>,
}

impl<'a> Turn<'a> {
    /// Appends the decided actions to `actions`.
    pub fn new(now: Tick, jitter: u16, actions: &'a mut Vec<Action>) -> Self {
        Self {
            now,
            jitter,
            actions,
        }
    }

    /// Adds an action.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Tells people about a decision. A note about an action comes directly before or after that action.
    pub fn say(&mut self, note: Note) {
        self.act(Action::Say(note));
    }
}
