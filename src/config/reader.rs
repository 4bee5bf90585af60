//! Hands out the values of settings, and collects what is wrong, what is odd and what `--check` shows.
//!
//! Every setting of the table is read when the reader is made, so that every fault is known at once. [`Reader::get`] may
//! then be called as often as a value is needed: by the group of the setting and by each rule.

use std::collections::BTreeMap;

use super::environment::{Input, Source, Texts};
use super::faults::{Fault, Wrong, quote};
use super::setting::{Definition, Preset, Setting};
use super::show::nothing;

/// The value of this setting is faulty, and the fault is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Faulty(pub(super) &'static str);

/// The value of a setting, or of what follows from it.
pub(super) type Value<T> = Result<T, Faulty>;

/// One setting, for `--check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The variable.
    pub name: &'static str,
    /// The value that holds, `-` for none.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
    /// How it came about, where that is not plain.
    pub note: Option<String>,
}

/// The settings of one environment.
pub(super) struct Reader<'a> {
    input: &'a Input<'a>,
    texts: Texts,
    /// What `--check` shows of each setting of the table.
    shown: BTreeMap<&'static str, String>,
    notes: BTreeMap<&'static str, String>,
}

impl<'a> Reader<'a> {
    /// Reads every setting of the table by itself.
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

    /// What the configuration depends on beside the settings.
    pub(super) fn input(&self) -> &'a Input<'a> {
        self.input
    }

    /// The value of a setting that has one in any case: what was given, else its default.
    pub(super) fn get<T>(&self, setting: &Setting<T>) -> Value<T> {
        let faulty = Faulty(setting.name);
        // The second is a definition that is missing in the list of its group.
        if self.is_broken(setting) || !self.shown.contains_key(setting.name) {
            return Err(faulty);
        }
        let text = self.text(setting).ok_or(faulty)?;
        (setting.parse)(text).map_err(|_| faulty)
    }

    /// What was given for a setting; `None` if nothing was.
    pub(super) fn given<T>(&self, setting: &Setting<T>) -> Value<Option<T>> {
        if self.is_set(setting) || self.is_broken(setting) {
            self.get(setting).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Whether something that is text was given.
    pub(super) fn is_set(&self, setting: &dyn Definition) -> bool {
        self.texts.get(setting.name()).is_some()
    }

    /// Whether something was given that is not text.
    pub(super) fn is_broken(&self, setting: &dyn Definition) -> bool {
        self.texts.broken.contains(setting.name())
    }

    /// Whether something was given that the command line replaces.
    pub(super) fn is_overruled(&self, setting: &dyn Definition) -> bool {
        self.texts.overruled.contains(setting.name())
    }

    /// What was given, else the default as it would have been given.
    fn text(&self, setting: &dyn Definition) -> Option<&str> {
        match (self.texts.get(setting.name()), setting.default()) {
            (Some(text), _) => Some(text),
            (None, Preset::Text(text)) if !self.is_broken(setting) => Some(text),
            (None, _) => None,
        }
    }

    /// Records the value that holds where it is not the one that was given, and how it came about if that is not plain.
    pub(super) fn settle<T>(&mut self, setting: &Setting<T>, value: &T, how: Option<String>) {
        self.shown.insert(setting.name, (setting.show)(value));
        if let Some(how) = how {
            self.note(setting, how);
        }
    }

    /// Says of a value how it came about.
    pub(super) fn note(&mut self, setting: &dyn Definition, how: String) {
        self.notes.insert(setting.name(), how);
    }

    /// Records where a value comes from that is not the variable's.
    pub(super) fn set_source(&mut self, setting: &dyn Definition, source: Source) {
        self.texts.sources.insert(setting.name(), source);
    }

    /// Records what is wrong with the value of a setting.
    pub(super) fn fault(&mut self, setting: &dyn Definition, wrong: Wrong) -> Faulty {
        let value = self.text(setting).map(quote);
        let file = match self.texts.sources.get(setting.name()) {
            Some(Source::File(file)) => Some(file.clone()),
            _ => None,
        };
        self.texts.faults.push(Fault {
            name: setting.name().to_owned(),
            value,
            file,
            what: wrong.what,
            accepted: wrong.accepted,
        });
        Faulty(setting.name())
    }

    /// Records what is wrong with the words of the command line, which stand for this setting.
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

    /// Records what is odd.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.texts.warnings.push(warning.into());
    }

    /// Warns that a setting was given in vain.
    pub(super) fn warn_if_set(&mut self, setting: &dyn Definition, why: &str) {
        if self.is_set(setting) {
            self.warn(format!("{} has no effect {why}", setting.name()));
        }
    }

    /// Everything that is wrong, in the order in which it was found, and what is odd.
    pub(super) fn complaints(self) -> (Vec<Fault>, Vec<String>) {
        (self.texts.faults, self.texts.warnings)
    }

    /// One setting of the table, for `--check`.
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
