//! The definition of one variable: name, default, help, documentation, and the conversions from text and to text.

use super::faults::Wrong;

/// One variable whose value is a `T`.
#[derive(Debug)]
pub struct Setting<T: 'static> {
    /// Its name.
    pub name: &'static str,
    /// The value if it is not set.
    pub default: Preset,
    /// One line for the help text.
    pub help: &'static str,
    /// Full sentences in Markdown, for the reference.
    pub doc: &'static str,
    /// Converts text to a value, or returns the error.
    pub parse: fn(&str) -> Result<T, Wrong>,
    /// Converts a value to text that `parse` accepts.
    pub show: fn(&T) -> String,
}

/// The value of a variable that is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The same as this text.
    Text(&'static str),
    /// Calculated from other settings; described in words.
    Computed(&'static str),
    /// No value.
    Unset,
}

/// A setting of any type, for the help text, `--check`, the reference and the search for misspelt names.
pub trait Definition: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// The value if it is not set.
    fn default(&self) -> Preset;
    /// One line for the help text.
    fn help(&self) -> &'static str;
    /// Full sentences in Markdown, for the reference.
    fn doc(&self) -> &'static str;
    /// Converts the text to the value as shown by `--check`, or returns the error.
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
    /// The settings in the order of the help text.
    pub settings: &'static [&'static dyn Definition],
}
