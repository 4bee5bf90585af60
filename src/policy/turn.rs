//! What every decision of one turn needs.

use crate::model::Tick;

use super::{Action, Note};

/// The time and the chance of one turn, and the actions that were decided in it so far.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// The time, read once.
    pub now: Tick,
    /// Uniform in 0..=65535; spreads restarts.
    pub jitter: u16,
    actions: &'a mut Vec<Action>,
}

impl<'a> Turn<'a> {
    /// Appends what is decided to `actions`.
    pub fn new(now: Tick, jitter: u16, actions: &'a mut Vec<Action>) -> Self {
        Self {
            now,
            jitter,
            actions,
        }
    }

    /// Decides that something is done.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Tells people about a decision.
    pub fn say(&mut self, note: Note) {
        self.act(Action::Say(note));
    }
}
