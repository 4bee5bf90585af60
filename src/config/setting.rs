//! What one variable is. A definition holds all of it: name, default, help, documentation, how its text becomes a value
//! and how the value becomes text again.

use super::faults::Wrong;

/// One variable whose value is a `T`.
#[derive(Debug)]
pub struct Setting<T: 'static> {
    /// Its name.
    pub name: &'static str,
    /// What holds if it is not set.
    pub default: Preset,
    /// One line for the help text.
    pub help: &'static str,
    /// Whole sentences in Markdown, for the reference.
    pub doc: &'static str,
    /// The value of a text, or what is wrong with the text.
    pub parse: fn(&str) -> Result<T, Wrong>,
    /// The value as text that `parse` reads back.
    pub show: fn(&T) -> String,
}

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// As if this had been written.
    Text(&'static str),
    /// Something worked out from other settings, in words.
    Computed(&'static str),
    /// Nothing.
    Unset,
}

/// A setting of any type, as the help text, `--check`, the reference and the search for misspelt names see it.
pub trait Definition: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What holds if it is not set.
    fn default(&self) -> Preset;
    /// One line for the help text.
    fn help(&self) -> &'static str;
    /// Whole sentences in Markdown, for the reference.
    fn doc(&self) -> &'static str;
    /// The value of a text as `--check` shows it, or what is wrong with the text.
    fn check(&self, text: &str) -> Result<String, Wrong>;
}

impl<T: 'static> Definition for Setting<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn default(&self) -> Preset {
        self.default
    }

    fn help(&self) -> &'static str {
        self.help
    }

    fn doc(&self) -> &'static str {
        self.doc
    }

    fn check(&self, text: &str) -> Result<String, Wrong> {
        (self.parse)(text).map(|value| (self.show)(&value))
    }
}

/// Settings that belong together for users.
#[derive(Clone, Copy)]
pub struct Group {
    /// The heading in the help text and in the reference.
    pub title: &'static str,
    /// In the order of the help text.
    pub settings: &'static [&'static dyn Definition],
}
