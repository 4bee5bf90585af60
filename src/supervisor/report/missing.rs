//! Why a worker did not come up, and what one that is not ready has not done, in words.

use crate::config::{Config, Ready};
use crate::model::Exit;
use crate::policy::handover::PortRule;
use crate::policy::{Missing, NotUp};

use super::{Told, human};

/// Why a new worker did not come up: a sentence without a full stop.
pub(super) fn not_up(why: NotUp, config: &Config, told: &Told<'_>) -> String {
    match why {
        NotUp::NotStarted => "it could not be started".to_owned(),
        NotUp::Ended(Exit::Code(code)) => format!("it exited with code {code}"),
        NotUp::Ended(Exit::Signal(signal)) => format!("{signal} ended it"),
        NotUp::NotReady { after, missing } => {
            let missing = words(missing, config, told);
            format!("it was not ready after {}, {missing}", human(after))
        }
        NotUp::Unfit => {
            "it is unhealthy: a check, its watchdog or its Node channel failed".to_owned()
        }
    }
}

/// The same for everybody to read, without what [`check`] tells.
pub(super) fn not_up_openly(why: NotUp, config: &Config, told: &Told<'_>) -> String {
    let told = Told {
        not_passed: None,
        ..*told
    };
    not_up(why, config, &told)
}

/// How the check of RPM_READY failed last, if a new worker did not come up because of it. It may hold a value of the
/// environment, the path of the check, and bytes that the worker answered.
pub(super) fn check<'a>(why: NotUp, told: &Told<'a>) -> Option<&'a str> {
    let waited = matches!(
        why,
        NotUp::NotReady {
            missing: Missing::Word,
            ..
        }
    );
    told.not_passed.filter(|_| waited)
}

/// What it has not done yet: a sentence without a full stop.
pub(super) fn words(missing: Missing, config: &Config, told: &Told<'_>) -> String {
    let ports = told.ports;
    match missing {
        Missing::Word => {
            let what = match &config.life.ready {
                Ready::Http(_) => "it does not answer the path of RPM_READY with a success",
                Ready::Notify => "it did not send READY=1 to NOTIFY_SOCKET",
                Ready::Message => "it did not say process.send('ready')",
                _ => "it accepts no connection on a shared port",
            };
            match told.not_passed {
                Some(failed) => format!("{what} ({failed})"),
                None => what.to_owned(),
            }
        }
        Missing::Ports {
            expected,
            listens,
            named,
        } => {
            let lacks = expected.minus(listens);
            let named = named.into_iter().collect();
            let why = match &config.ports.shared {
                PortRule::Listed(_) => "RPM_PORTS",
                _ if lacks == named => "PORT names it",
                _ if lacks.meets(named) => "PORT names it, or other workers serve it",
                PortRule::Any | PortRule::Nothing => "other workers serve it",
            };
            match (expected.is_empty(), listens.is_empty()) {
                (true, _) => "it does not listen on any port".to_owned(),
                (false, true) => {
                    let lacks = ports.names(lacks);
                    format!("it does not listen on port {lacks} ({why})")
                }
                (false, false) => {
                    let (listens, lacks) = (ports.names(listens), ports.names(lacks));
                    format!("it listens on port {listens}, but not on port {lacks} ({why})")
                }
            }
        }
        Missing::Elsewhere { expected, listens } => {
            let (listens, expected) = (ports.names(listens), ports.names(expected));
            format!("it listens on port {listens}, and the other workers on port {expected}")
        }
    }
}

/// What a user can do about it.
pub(super) fn hint(missing: Missing, config: &Config) -> &'static str {
    match (missing, &config.ports.shared) {
        (Missing::Word, _) => "RPM_READY says when a worker is ready",
        (Missing::Elsewhere { .. }, _) => {
            "a program that looks for a free port does not get the shared one; RPM_EXEC_MODE=fork if each worker shall \
             have its own"
        }
        (Missing::Ports { .. }, PortRule::Listed(_)) => {
            "RPM_PORTS lists the ports on which a worker must listen"
        }
        (Missing::Ports { listens, .. }, _) if listens.is_empty() => {
            "if the program serves no port, RPM_PORTS=off makes it ready after RPM_MIN_UPTIME"
        }
        (Missing::Ports { named: Some(_), .. }, _) => {
            "if the program does not use PORT, unset it; RPM_PORTS lists the ports on which a worker must listen"
        }
        (Missing::Ports { .. }, _) => {
            "if it need not listen there any more, RPM_PORTS lists the ports on which it must"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::with;
    use crate::model::{Pid, PortSet, SlotId};
    use crate::policy::{Note, PortTable};

    #[test]
    fn what_is_missing_is_named() {
        let mut table = PortTable::default();
        let none = PortSet::EMPTY;
        let ports: Vec<PortSet> = ["3000", "9100", "udp:53"]
            .map(|name| none.with(table.id(name, || none).unwrap()))
            .into();
        let auto = with(&[]);
        let listed = with(&[("RPM_PORTS", "3000,9100")]);
        let of = |expected, listens| Missing::Ports {
            expected,
            listens,
            named: None,
        };
        let text = |missing, config: &Config| {
            let about = Note::ServesNoPort {
                slot: SlotId(0),
                pid: Pid::new(7).unwrap(),
            };
            let told = Told {
                note: about,
                unix_seconds: 0,
                ports: &table,
                last_lines: &[],
                not_passed: Some("GET /up on port 3000: status 404"),
                unseen: None,
                blind: false,
            };
            words(missing, config, &told)
        };
        assert_eq!(
            text(Missing::Word, &with(&[("RPM_READY", "http:/up")])),
            "it does not answer the path of RPM_READY with a success (GET /up on port 3000: status 404)"
        );
        assert_eq!(
            text(of(none, none), &auto),
            "it does not listen on any port"
        );
        assert_eq!(
            text(of(ports[0].and(ports[1]), none), &listed),
            "it does not listen on port 3000, 9100 (RPM_PORTS)"
        );
        assert_eq!(
            text(of(ports[0].and(ports[1]), ports[1].and(ports[2])), &auto),
            "it listens on port 9100, udp:53, but not on port 3000 (other workers serve it)"
        );
        let elsewhere = Missing::Elsewhere {
            expected: ports[0],
            listens: ports[1],
        };
        assert_eq!(
            text(elsewhere, &auto),
            "it listens on port 9100, and the other workers on port 3000"
        );
        assert!(hint(elsewhere, &auto).contains("RPM_EXEC_MODE=fork"));
        assert!(hint(of(none, none), &auto).contains("RPM_PORTS=off"));
        assert!(hint(of(none, none), &listed).starts_with("RPM_PORTS lists"));
    }
}
