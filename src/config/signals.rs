//! The grammar of RPM_SIGNALS: `TERM=stop,USR2=forward,QUIT=forward:TERM,*=ignore,15=...`.

use super::faults::{Wrong, quote};
use super::parse::list;
use crate::model::Sig;
use crate::policy::{SignalAction, SignalTable};

const ACCEPTED: &str = "entries SIGNAL=ACTION separated by commas; \
     SIGNAL is a name, a number or * for all others; ACTION is stop, restart, reload, scale-up, scale-down, forward, \
     forward:SIGNAL, ignore or reopen";

/// Entries that override a default table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides {
    all: Option<SignalAction>,
    each: Vec<(Sig, SignalAction)>,
}

impl Overrides {
    /// `*` first, wherever it stood, then the signals by name.
    pub(super) fn apply(&self, table: &mut SignalTable) {
        if let Some(action) = self.all {
            table.set_all(action);
        }
        for (sig, action) in &self.each {
            table.set(*sig, *action);
        }
    }
}

/// The entries, or what is wrong with each of them that is wrong.
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
        Err(Wrong::new(complaints.join(", "), ACCEPTED))
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

    fn table(text: &str) -> SignalTable {
        let mut table = SignalTable::service();
        overrides(text).unwrap().apply(&mut table);
        table
    }

    fn usr2() -> Sig {
        Sig::new(12).unwrap()
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
