//! What becomes of one app: variables, what stays out, and what is to be known.

use super::fault::one_line;

/// A variable, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
    /// The key of the ecosystem file that it comes from, as the file writes it.
    pub key: String,
    /// Where it differs from pm2.
    pub notes: Vec<String>,
}

impl Variable {
    /// Says something of the variable.
    pub fn note(&mut self, what: impl AsRef<str>) -> &mut Self {
        self.notes.push(one_line(what.as_ref()));
        self
    }
}

/// A key without a counterpart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The key, as the file writes it.
    pub key: String,
    /// Why, as the rest of a sentence that begins with the key.
    pub why: String,
}

/// What becomes of one app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translation {
    /// The name of the app.
    pub name: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where the program runs, if the file says it.
    pub workdir: Option<String>,
    /// Variables of the runtime.
    pub settings: Vec<Variable>,
    /// Variables of the program.
    pub program: Vec<Variable>,
    /// What concerns no single variable.
    pub notes: Vec<String>,
    /// Keys without a counterpart.
    pub dropped: Vec<Dropped>,
    /// Keys that need no variable, because the runtime does the same without one.
    pub same: Vec<String>,
}

impl Translation {
    /// Adds a variable of the runtime.
    pub fn set(
        &mut self,
        key: impl Into<String>,
        name: &str,
        value: impl Into<String>,
    ) -> &mut Variable {
        add(&mut self.settings, &key.into(), name, value.into())
    }

    /// Adds a variable of the program. Of two values the later counts.
    pub fn give(
        &mut self,
        key: impl Into<String>,
        name: &str,
        value: impl Into<String>,
    ) -> &mut Variable {
        add(&mut self.program, &key.into(), name, value.into())
    }

    /// Drops a key.
    pub fn drop(&mut self, key: impl Into<String>, why: impl AsRef<str>) {
        self.dropped.push(Dropped {
            key: one_line(&key.into()),
            why: one_line(why.as_ref()),
        });
    }

    /// Says something of the app.
    pub fn note(&mut self, what: impl AsRef<str>) {
        self.notes.push(one_line(what.as_ref()));
    }

    /// Counts a key as the same here without a variable.
    pub fn same(&mut self, key: impl Into<String>) {
        let key = one_line(&key.into());
        if !self.same.contains(&key) {
            self.same.push(key);
        }
    }

    /// The value of a variable of the runtime.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().find(|variable| variable.name == name);
        found.map(|variable| variable.value.as_str())
    }

    /// All variables, in the order in which they are printed.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.settings.iter().chain(&self.program)
    }
}

fn add<'a>(to: &'a mut Vec<Variable>, key: &str, name: &str, value: String) -> &'a mut Variable {
    to.retain(|variable| variable.name != name);
    to.push(Variable {
        name: name.to_owned(),
        value,
        key: one_line(key),
        notes: Vec::new(),
    });
    let last = to.len() - 1;
    &mut to[last]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_values_of_a_variable_the_later_counts() {
        let mut out = Translation::default();
        out.give("env", "A", "1").note("first\nline");
        out.give("env", "B", "2");
        out.give("env_production", "A", "3");
        let all: Vec<(&str, &str)> = out
            .variables()
            .map(|variable| (variable.name.as_str(), variable.value.as_str()))
            .collect();
        assert_eq!(all, [("B", "2"), ("A", "3")]);
        out.set("cron", "RPM_CRON_RELOAD", "@daily");
        assert_eq!(out.setting("RPM_CRON_RELOAD"), Some("@daily"));
        assert_eq!(out.setting("A"), None);
    }
}
