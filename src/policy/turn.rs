//! Data that every decision of one turn needs.

use crate::model::Tick;

use super::{Action, Note};

/// The time and the random number of one turn, and the actions decided in it so far.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// The time, read once per turn.
    pub now: Tick,
    /// A random number, uniform in 0..=65535; spreads restarts.
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

    /// Adds a note about a decision.
    pub fn say(&mut self, note: Note) {
        self.act(Action::Say(note));
    }
}
