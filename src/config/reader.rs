//! Provides the values of settings, and collects errors, warnings and the data for `--check`.
//!
//! The constructor reads every setting of the table, so all errors are known at once. [`Reader::get`] may then be
//! called as often as a value is needed: by the group of the setting and by each rule.

use std::collections::BTreeMap;

use super::environment::{Input, Source, Texts};
use super::faults::{Fault, Wrong, quote};
use super::setting::{Definition, Preset, Setting};
use super::show::nothing;

/// The value of this setting is faulty, and the error is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Faulty(pub(super) &'static str);

/// The value of a setting, or a value derived from settings.
pub(super) type Value<T> = Result<T, Faulty>;

/// One setting, for `--check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The variable.
    pub name: &'static str,
    /// The effective value, `-` for none.
    pub value: String,
    /// Its source.
    pub source: Source,
    /// The calculation of the value, if it is not obvious.
    pub note: Option<String>,
}

/// The settings of one environment.
pub(super) struct Reader<'a> {
    input: &'a Input<'a>,
    texts: Texts,
    /// The text of each setting of the table for `--check`.
    shown: BTreeMap<&'static str, String>,
    notes: BTreeMap<&'static str, String>,
}

impl<'a> Reader<'a> {
    /// Reads every setting of the table separately.
    pub(super) fn new(
        input: &'a Input<'a>,
        texts: Texts,
        table: impl Iterator<Item = &'static dyn Definition>,
    ) -> Self {
        let mut reader = Self {
            input,
            texts,
            shown: BTreeMap::new(),
            notes: BTreeMap::new(),
        };
        for setting in table {
            let shown = match reader.text(setting).map(|text| setting.check(text)) {
                None => nothing(),
                Some(Ok(shown)) => shown,
                Some(Err(wrong)) => {
                    reader.fault(setting, wrong);
                    nothing()
                }
            };
            reader.shown.insert(setting.name(), shown);
        }
        reader
    }

    /// The inputs of the configuration other than settings.
    pub(super) fn input(&self) -> &'a Input<'a> {
        self.input
    }

    /// The value of a setting that always has one: the given value or the default.
    pub(super) fn get<T>(&self, setting: &Setting<T>) -> Value<T> {
        let faulty = Faulty(setting.name);
        // The second condition finds a definition that is missing in the list of its group.
        if self.is_broken(setting) || !self.shown.contains_key(setting.name) {
            return Err(faulty);
        }
        let text = self.text(setting).ok_or(faulty)?;
        (setting.parse)(text).map_err(|_| faulty)
    }

    /// The given value of a setting; `None` if it is not set.
    pub(super) fn given<T>(&self, setting: &Setting<T>) -> Value<Option<T>> {
        if self.is_set(setting) || self.is_broken(setting) {
            self.get(setting).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Whether a readable text is set.
    pub(super) fn is_set(&self, setting: &dyn Definition) -> bool {
        self.texts.get(setting.name()).is_some()
    }

    /// Whether a value is set that is not text.
    pub(super) fn is_broken(&self, setting: &dyn Definition) -> bool {
        self.texts.broken.contains(setting.name())
    }

    /// Whether a value is set that the command line replaces.
    pub(super) fn is_overruled(&self, setting: &dyn Definition) -> bool {
        self.texts.overruled.contains(setting.name())
    }

    /// The given text, or the default as text.
    fn text(&self, setting: &dyn Definition) -> Option<&str> {
        match (self.texts.get(setting.name()), setting.default()) {
            (Some(text), _) => Some(text),
            (None, Preset::Text(text)) if !self.is_broken(setting) => Some(text),
            (None, _) => None,
        }
    }

    /// Records the effective value if it differs from the given one, and its calculation if that is not obvious.
    pub(super) fn settle<T>(&mut self, setting: &Setting<T>, value: &T, how: Option<String>) {
        self.shown.insert(setting.name, (setting.show)(value));
        if let Some(how) = how {
            self.note(setting, how);
        }
    }

    /// Records the calculation of a value.
    pub(super) fn note(&mut self, setting: &dyn Definition, how: String) {
        self.notes.insert(setting.name(), how);
    }

    /// Records the source of a value that does not come from the variable.
    pub(super) fn set_source(&mut self, setting: &dyn Definition, source: Source) {
        self.texts.sources.insert(setting.name(), source);
    }

    /// Records an error in the value of a setting.
    pub(super) fn fault(&mut self, setting: &dyn Definition, wrong: Wrong) -> Faulty {
        let text = self.text(setting);
        let file = match self.texts.sources.get(setting.name()) {
            Some(Source::File(file)) => Some(file.clone()),
            _ => None,
        };
        let fault = Fault {
            name: setting.name().to_owned(),
            value: text.map(quote),
            file,
            what: wrong.what,
            accepted: wrong.accepted,
        };
        let length = text.map_or(0, str::len);
        self.texts.faults.push(fault.without_secrets(length));
        Faulty(setting.name())
    }

    /// Records an error in the words of the command line, which replace this setting.
    pub(super) fn fault_of_command_line(
        &mut self,
        setting: &dyn Definition,
        wrong: Wrong,
    ) -> Faulty {
        self.texts.faults.push(Fault {
            name: "command line".to_owned(),
            value: None,
            file: None,
            what: wrong.what,
            accepted: wrong.accepted,
        });
        Faulty(setting.name())
    }

    /// Records a warning.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.texts.warnings.push(warning.into());
    }

    /// Warns that a setting has no effect.
    pub(super) fn warn_if_set(&mut self, setting: &dyn Definition, why: &str) {
        if self.is_set(setting) {
            self.warn(format!("{} has no effect {why}", setting.name()));
        }
    }

    /// All errors in the order in which they were found, and all warnings.
    pub(super) fn complaints(self) -> (Vec<Fault>, Vec<String>) {
        (self.texts.faults, self.texts.warnings)
    }

    /// The line of one setting for `--check`.
    pub(super) fn line(&self, setting: &dyn Definition) -> Line {
        let name = setting.name();
        let source = self.texts.sources.get(name).cloned();
        Line {
            name,
            value: self.shown.get(name).cloned().unwrap_or_default(),
            source: source.unwrap_or(Source::Default),
            note: self.notes.get(name).cloned(),
        }
    }
}
