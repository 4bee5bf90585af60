//! Signals to the runtime and to its workers, and exit codes.

use std::fmt;

use super::faults::{Wrong, quote};
use super::grammar::{exit_codes, list, or_off, show_word, signal, word};
use super::reader::{Reader, Value};
use super::setting::{Group, Preset, Setting};
use super::show;
use crate::model::{Sig, Word};
use crate::policy::{Restart, SignalAction, SignalTable};

pub(super) const GROUP: Group = Group {
    title: "Signals",
    settings: &[&SIGNALS, &SIGNAL_SCOPE, &EXIT_OK, &PDEATHSIG],
};

const SIGNALS: Setting<Overrides> = Setting {
    name: "RPM_SIGNALS",
    // A test compares this with `SignalTable::service`.
    default: Preset::Computed(
        "HUP=reload,INT=stop,QUIT=stop,USR1=reopen,TERM=stop,TTIN=scale-up,TTOU=scale-down,WINCH=stop,RTMIN+3=stop,*=forward",
    ),
    help: "stop, restart, reload, scale-up, scale-down, forward[:X], ignore, reopen",
    doc: "What the runtime does when it receives a signal, in addition to the default or against it: \
          `USR2=forward,QUIT=forward:TERM,*=ignore`. `*` stands for all signals that have no entry. What the actions mean \
          is told in [Signals](#signals-that-the-runtime-receives).",
    parse: overrides,
    show: ToString::to_string,
};

const SIGNAL_SCOPE: Setting<Scope> = Setting {
    name: "RPM_SIGNAL_SCOPE",
    default: Preset::Text("process"),
    help: "signals go to the worker's process or to its whole group",
    doc: "Whether stop signals and forwarded signals go to the worker's process alone, or to its whole process group.",
    parse: word,
    show: show_word,
};

const EXIT_OK: Setting<Vec<u8>> = Setting {
    name: "RPM_EXIT_OK",
    default: Preset::Unset,
    help: "worker exit codes that are reported as 0",
    doc: "Exit codes of workers that count as success and that the runtime reports as 0, such as 143 for a Java program \
          that was stopped by SIGTERM.",
    parse: exit_codes,
    show: show::codes,
};

const PDEATHSIG: Setting<Option<Sig>> = Setting {
    name: "RPM_PDEATHSIG",
    default: Preset::Text("KILL"),
    help: "what workers get if a runtime that is not PID 1 dies; off",
    doc: "The signal that workers get from the kernel when a runtime that is not PID 1 dies. (If PID 1 of a container \
          dies, the kernel kills everything in it.) With `off` they outlive it: they go on serving what they have, but as nobody answers \
          their `bind` and `listen` any more, the kernel answers both with ENOSYS for them and all that they start. No process can take \
          its filter off again, so start the service anew.",
    parse: |text| or_off(text, signal),
    show: |sig| sig.as_ref().map_or_else(|| "off".to_owned(), show::signal),
};

/// RPM_SIGNAL_SCOPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The worker itself.
    Process,
    /// Its whole process group.
    Group,
}

impl Word for Scope {
    const ALL: &'static [Self] = &[Self::Process, Self::Group];

    fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Group => "group",
        }
    }
}

/// Signals to the runtime and to its workers, and exit codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signals {
    /// RPM_SIGNALS.
    pub actions: SignalTable,
    /// RPM_SIGNAL_SCOPE.
    pub scope: Scope,
    /// RPM_EXIT_OK, sorted.
    pub exit_ok: Vec<u8>,
    /// RPM_PDEATHSIG; `None` is `off`.
    pub pdeathsig: Option<Sig>,
}

impl Signals {
    /// `restart` is RPM_RESTART; `one_shot` is the role of tini.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        restart: Value<Restart>,
        one_shot: bool,
    ) -> Value<Self> {
        let actions = actions(reader, one_shot);
        if let (Ok(actions), Ok(restart)) = (&actions, restart) {
            some_signal_stops(reader, actions, restart);
        }
        Ok(Self {
            actions: actions?,
            scope: reader.get(&SIGNAL_SCOPE)?,
            exit_ok: reader.given(&EXIT_OK)?.unwrap_or_default(),
            pdeathsig: reader.get(&PDEATHSIG)?,
        })
    }
}

fn actions(reader: &mut Reader<'_>, one_shot: bool) -> Value<SignalTable> {
    let overrides = reader.given(&SIGNALS)?.unwrap_or_default();
    let mut table = if one_shot {
        SignalTable::one_shot()
    } else {
        SignalTable::service()
    };
    overrides.apply(&mut table);
    reader.settle(&SIGNALS, &Overrides::of(&table), None);
    Ok(table)
}

/// Warns if no signal stops the service, so that only SIGKILL would end it.
fn some_signal_stops(reader: &mut Reader<'_>, actions: &SignalTable, restart: Restart) {
    let stops = |sig| actions.action(sig) == SignalAction::Stop;
    if restart != Restart::Never && !(1..=64).filter_map(Sig::new).any(stops) {
        reader
            .warn("RPM_SIGNALS leaves no signal that stops the runtime; only SIGKILL will end it");
    }
}

const ENTRIES: &str = "entries SIGNAL=ACTION separated by commas; \
     SIGNAL is a name, a number or * for all others; ACTION is stop, restart, reload, scale-up, scale-down, forward, \
     forward:SIGNAL, ignore or reopen";

/// The entries of RPM_SIGNALS; they override a table of defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides {
    all: Option<SignalAction>,
    each: Vec<(Sig, SignalAction)>,
}

impl Overrides {
    /// Applies the entries: `*` first, wherever it is written, then the signals by name.
    pub(super) fn apply(&self, table: &mut SignalTable) {
        if let Some(action) = self.all {
            table.set_all(action);
        }
        for (sig, action) in &self.each {
            table.set(*sig, *action);
        }
    }

    /// The entries for this table: signals that differ from the others, and `*` for the others. The action of the
    /// others is that of SIGKILL, which no entry can name.
    fn of(table: &SignalTable) -> Self {
        let others = table.action(Sig::KILL);
        let differs = |sig: &Sig| SignalTable::collects(*sig) && table.action(*sig) != others;
        let each = (1..=64).filter_map(Sig::new).filter(differs);
        Self {
            all: Some(others),
            each: each.map(|sig| (sig, table.action(sig))).collect(),
        }
    }
}

impl fmt::Display for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.each.iter();
        let each = each.map(|(sig, action)| format!("{}={action}", sig.short_name()));
        let all = self.all.iter().map(|action| format!("*={action}"));
        f.write_str(&each.chain(all).collect::<Vec<_>>().join(","))
    }
}

/// Parses the entries, or returns the errors of all faulty ones.
pub(super) fn overrides(text: &str) -> Result<Overrides, Wrong> {
    let mut found = Overrides::default();
    let mut complaints = Vec::new();
    for part in list(text) {
        if let Err(what) = entry(part, &mut found) {
            complaints.push(format!("in {}: {what}", quote(part)));
        }
    }
    if complaints.is_empty() {
        Ok(found)
    } else {
        Err(Wrong::new(complaints.join(", "), ENTRIES))
    }
}

fn entry(text: &str, found: &mut Overrides) -> Result<(), String> {
    let (key, value) = text.split_once('=').ok_or("there is no =")?;
    let (key, value) = (key.trim(), value.trim());
    if key == "*" {
        if found.all.is_some() {
            return Err("* stands there a second time".to_owned());
        }
        found.all = Some(action(value)?);
        return Ok(());
    }
    let sig = Sig::parse(key).ok_or_else(|| format!("{} is not a signal", quote(key)))?;
    if let Some(reason) = refused(sig) {
        return Err(format!("{sig} {reason}"));
    }
    if found.each.iter().any(|(other, _)| *other == sig) {
        return Err(format!("{sig} stands there a second time"));
    }
    found.each.push((sig, action(value)?));
    Ok(())
}

fn refused(sig: Sig) -> Option<&'static str> {
    if SignalTable::collects(sig) {
        None
    } else if sig == Sig::CHLD {
        Some("says that a child ended and is the runtime's own")
    } else if sig.is_fault() {
        Some("reports a fault of the runtime itself")
    } else if matches!(sig.get(), 32 | 33) {
        Some("belongs to the C library")
    } else if sig.get() == 13 {
        Some("is not collected, because the runtime's own writes cause it")
    } else {
        Some("cannot be caught by any process")
    }
}

fn action(text: &str) -> Result<SignalAction, String> {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("forward:") {
        let name = text.get("forward:".len()..).unwrap_or_default().trim();
        return Sig::parse(name)
            .filter(|sig| !matches!(sig.get(), 32 | 33))
            .map(SignalAction::ForwardAs)
            .ok_or_else(|| format!("{} is not a signal", quote(name)));
    }
    match lower.as_str() {
        "stop" => Ok(SignalAction::Stop),
        "restart" => Ok(SignalAction::Restart),
        "reload" => Ok(SignalAction::Reload),
        "scale-up" => Ok(SignalAction::ScaleUp),
        "scale-down" => Ok(SignalAction::ScaleDown),
        "forward" => Ok(SignalAction::Forward),
        "reopen" => Ok(SignalAction::Reopen),
        "ignore" => Ok(SignalAction::Ignore),
        _ => Err(format!("{} is not an action", quote(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::good;

    fn table(text: &str) -> SignalTable {
        let mut table = SignalTable::service();
        overrides(text).unwrap().apply(&mut table);
        table
    }

    fn usr2() -> Sig {
        Sig::new(12).unwrap()
    }

    #[test]
    fn the_help_text_has_the_table_of_a_service() {
        let shown = Overrides::of(&SignalTable::service()).to_string();
        assert!(matches!(SIGNALS.default, Preset::Computed(text) if text == shown));
    }

    #[test]
    fn nothing_set_is_the_documented_default() {
        let expected = Signals {
            actions: SignalTable::service(),
            scope: Scope::Process,
            exit_ok: vec![],
            pdeathsig: Some(Sig::KILL),
        };
        assert_eq!(good(&[]).config.signals, expected);
    }

    #[test]
    fn entries_override_the_default() {
        let table = table("USR2=Reopen, quit=FORWARD:term,10=forward,TTOU=stop,");
        assert_eq!(table.action(usr2()), SignalAction::Reopen);
        assert_eq!(table.action(Sig::QUIT), SignalAction::ForwardAs(Sig::TERM));
        assert_eq!(table.action(Sig::USR1), SignalAction::Forward);
        assert_eq!(table.action(Sig::TTOU), SignalAction::Stop);
        assert_eq!(table.action(Sig::INT), SignalAction::Stop);
    }

    #[test]
    fn a_service_reloads_and_scales_by_signal_unless_it_is_told_otherwise() {
        let usual = SignalTable::service();
        assert_eq!(usual.action(Sig::HUP), SignalAction::Reload);
        assert_eq!(usual.action(Sig::TTIN), SignalAction::ScaleUp);
        assert_eq!(usual.action(Sig::TTOU), SignalAction::ScaleDown);
        let table = table("HUP=ignore,USR2=Reload,TTIN=scale-down,TTOU=SCALE-UP");
        assert_eq!(table.action(Sig::HUP), SignalAction::Ignore);
        assert_eq!(table.action(usr2()), SignalAction::Reload);
        assert_eq!(table.action(Sig::TTIN), SignalAction::ScaleDown);
        assert_eq!(table.action(Sig::TTOU), SignalAction::ScaleUp);
    }

    #[test]
    fn log_files_are_reopened_by_usr1_in_every_role() {
        for table in [SignalTable::service(), SignalTable::one_shot()] {
            assert_eq!(table.action(Sig::USR1), SignalAction::Reopen);
            assert_eq!(table.action(usr2()), SignalAction::Forward);
        }
    }

    #[test]
    fn the_star_comes_first_wherever_it_stands() {
        for text in ["*=ignore,TERM=restart", "TERM=restart,*=ignore"] {
            let table = table(text);
            assert_eq!(table.action(Sig::TERM), SignalAction::Restart);
            assert_eq!(table.action(Sig::INT), SignalAction::Ignore);
        }
    }

    #[test]
    fn bad_entries_are_all_named() {
        let cases = [
            ("TERM", "in \"TERM\": there is no ="),
            ("TREM=stop", "in \"TREM=stop\": \"TREM\" is not a signal"),
            ("=stop", "in \"=stop\": \"\" is not a signal"),
            (
                "KILL=stop",
                "in \"KILL=stop\": SIGKILL cannot be caught by any process",
            ),
            (
                "STOP=stop",
                "in \"STOP=stop\": SIGSTOP cannot be caught by any process",
            ),
            (
                "PIPE=forward",
                "in \"PIPE=forward\": SIGPIPE is not collected, because the runtime's own writes cause it",
            ),
            (
                "CHLD=ignore",
                "in \"CHLD=ignore\": SIGCHLD says that a child ended and is the runtime's own",
            ),
            (
                "SEGV=ignore",
                "in \"SEGV=ignore\": SIGSEGV reports a fault of the runtime itself",
            ),
            (
                "32=ignore",
                "in \"32=ignore\": SIG32 belongs to the C library",
            ),
            ("HUP=scale", "in \"HUP=scale\": \"scale\" is not an action"),
            ("TERM=quit", "in \"TERM=quit\": \"quit\" is not an action"),
            (
                "TERM=forward:X",
                "in \"TERM=forward:X\": \"X\" is not a signal",
            ),
            (
                "TERM=stop,SIGTERM=stop",
                "in \"SIGTERM=stop\": SIGTERM stands there a second time",
            ),
            (
                "15=stop,TERM=stop",
                "in \"TERM=stop\": SIGTERM stands there a second time",
            ),
            (
                "*=stop,*=ignore",
                "in \"*=ignore\": * stands there a second time",
            ),
        ];
        for (text, complaint) in cases {
            assert_eq!(overrides(text).unwrap_err().what, complaint);
        }
        assert_eq!(
            overrides("A=stop,B,TERM=stop").unwrap_err().what,
            "in \"A=stop\": \"A\" is not a signal, in \"B\": there is no ="
        );
    }
}
