//! The control socket, which `rpmctl` speaks to.

use std::path::PathBuf;

use super::faults::Wrong;
use super::grammar::{absolute_path, show_word, word};
use super::log::memory;
use super::node::OnOff;
use super::reader::{Reader, Value};
use super::setting::{Group, Preset, Setting};
use super::show;
use crate::policy::Bytes;

pub(super) const GROUP: Group = Group {
    title: "Control",
    settings: &[&CONTROL, &HOME, &LOG_RING],
};

const CONTROL: Setting<OnOff> = Setting {
    name: "RPM_CONTROL",
    default: Preset::Computed("on; off with RPM_RESTART=never and one instance"),
    help: "the control socket for rpmctl: on, off",
    doc: "Whether the runtime has a control socket, by which `rpmctl` shows and steers it; see [control.md](control.md). Only root and the user of \
          the runtime may use it. In the role of tini (`RPM_RESTART=never` and one instance) there is none unless `on` is said: a one-off command \
          is not steered, and its start shall cost nothing.",
    parse: word,
    show: show_word,
};

const HOME: Setting<PathBuf> = Setting {
    name: "RPM_HOME",
    default: Preset::Computed("/run/rpm-runtime, else /tmp/rpm-runtime-UID"),
    help: "directory of the control socket",
    doc: "The directory of the control socket, as PM2_HOME is for pm2. The runtime makes it, with mode 0700. Several runtimes may have the same \
          one: each socket is named after its process. Without it, it is `/run/rpm-runtime` if the runtime can write there, else \
          `/tmp/rpm-runtime-UID`. If no file can be written, the socket has an abstract name, and `rpmctl` finds it all the same.",
    parse: home,
    show: show::path,
};

const LOG_RING: Setting<usize> = Setting {
    name: "RPM_LOG_RING",
    default: Preset::Computed("256Ki; 0 without the control socket"),
    help: "memory for the last lines (rpmctl logs), 64Ki to 1Gi; 0: none",
    doc: "The memory for the last lines of all workers and of the runtime, which `rpmctl logs` shows; `0`: they are not kept. It is allocated as \
          it fills. Without the control socket (`RPM_CONTROL=off`, the role of tini) nothing is kept.",
    parse: ring,
    show: show::size,
};

/// Default of RPM_LOG_RING.
const RING: usize = 256 << 10;

const SMALLEST_RING: Bytes = Bytes(64 << 10);

fn ring(text: &str) -> Result<usize, Wrong> {
    if text == "0" {
        return Ok(0);
    }
    memory(text, SMALLEST_RING)
        .map_err(|wrong| Wrong::new(wrong.what, format!("{}, or 0", wrong.accepted)))
}

/// The longest path: the name of the socket must fit behind it into `sun_path` (unix(7), 108 bytes).
const LONGEST: usize = 64;

fn home(text: &str) -> Result<PathBuf, Wrong> {
    let path = absolute_path(text)?;
    if path.as_os_str().len() > LONGEST {
        let accepted = format!("an absolute path of at most {LONGEST} bytes");
        return Err(Wrong::new("is too long for the path of a socket", accepted));
    }
    Ok(path)
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// RPM_CONTROL.
    pub on: bool,
    /// RPM_HOME; `None`: the first usable directory.
    pub home: Option<PathBuf>,
    /// RPM_LOG_RING, bytes; 0: no line is kept.
    pub ring: usize,
}

impl Control {
    pub(super) fn read(reader: &mut Reader<'_>, one_shot: bool) -> Value<Self> {
        let given = reader.given(&CONTROL)?;
        let on = given.unwrap_or(if one_shot { OnOff::Off } else { OnOff::On });
        if given.is_none() {
            let why = one_shot.then(|| "RPM_RESTART=never and one instance".to_owned());
            reader.settle(&CONTROL, &on, why);
        }
        if on == OnOff::Off {
            reader.warn_if_set(&HOME, "without the control socket (RPM_CONTROL)");
            reader.warn_if_set(&LOG_RING, "without the control socket (RPM_CONTROL)");
        }
        let kept = reader.given(&LOG_RING)?;
        let ring = match on {
            OnOff::On => kept.unwrap_or(RING),
            OnOff::Off => 0,
        };
        if kept.is_none() {
            let why = (on == OnOff::Off).then(|| "no control socket".to_owned());
            reader.settle(&LOG_RING, &ring, why);
        }
        let home = reader.given(&HOME)?;
        Ok(Self {
            on: on == OnOff::On,
            home,
            ring,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{NEVER, good};

    #[test]
    fn a_service_has_a_control_socket_and_a_one_off_command_only_if_it_is_asked_for() {
        let on = |vars: &[(&str, &str)]| good(vars).config.control.on;
        assert!(on(&[]));
        assert!(!on(&[("RPM_CONTROL", "off")]));
        assert!(!on(&[NEVER]));
        assert!(on(&[NEVER, ("RPM_INSTANCES", "2")]));
        assert!(on(&[NEVER, ("RPM_CONTROL", "on")]));
    }

    #[test]
    fn lines_are_kept_only_if_somebody_can_ask_for_them() {
        let ring = |vars: &[(&str, &str)]| good(vars).config.control.ring;
        assert_eq!(ring(&[]), 256 << 10);
        assert_eq!(ring(&[("RPM_LOG_RING", "0")]), 0);
        assert_eq!(ring(&[("RPM_LOG_RING", "1Mi")]), 1 << 20);
        assert_eq!(ring(&[NEVER]), 0);
        assert_eq!(ring(&[NEVER, ("RPM_CONTROL", "on")]), 256 << 10);
        let off = [("RPM_CONTROL", "off"), ("RPM_LOG_RING", "1Mi")];
        assert_eq!(ring(&off), 0);
        let warnings = good(&off).warnings;
        assert!(
            warnings
                .iter()
                .any(|line| line.contains("RPM_LOG_RING has no effect")),
            "{warnings:?}"
        );
        assert!(super::ring("63Ki").is_err() && super::ring("2Gi").is_err());
    }

    #[test]
    fn the_path_of_a_socket_must_fit_behind_the_directory() {
        let fits = format!("/{}", "d".repeat(LONGEST - 1));
        assert_eq!(home(&fits), Ok(PathBuf::from(&fits)));
        assert!(home(&format!("{fits}d")).is_err());
        assert!(home("relative").is_err());
    }

    #[test]
    fn a_directory_without_a_socket_is_told() {
        let resolved = good(&[("RPM_CONTROL", "off"), ("RPM_HOME", "/x")]);
        let told = resolved.warnings.iter();
        let told = told.filter(|line| line.contains("RPM_HOME has no effect"));
        assert_eq!(told.count(), 1, "{:?}", resolved.warnings);
    }
}
