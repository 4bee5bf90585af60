//! Signals and their names.

use std::fmt;

/// A signal number, 1..=64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sig(u8);

/// A signal that the runtime received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The signal.
    pub sig: Sig,
    /// A process sent it, and not the kernel by itself.
    pub sent: bool,
}

/// Names of the standard signals (Linux, generic numbering of x86-64 and aarch64), in their order.
const SIGNAL_NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

impl Sig {
    /// SIGHUP.
    pub const HUP: Self = Self(1);
    /// SIGINT.
    pub const INT: Self = Self(2);
    /// SIGQUIT.
    pub const QUIT: Self = Self(3);
    /// SIGKILL.
    pub const KILL: Self = Self(9);
    /// SIGUSR1.
    pub const USR1: Self = Self(10);
    /// SIGPIPE.
    pub const PIPE: Self = Self(13);
    /// SIGTERM.
    pub const TERM: Self = Self(15);
    /// SIGCHLD.
    pub const CHLD: Self = Self(17);
    /// SIGCONT.
    pub const CONT: Self = Self(18);
    /// SIGSTOP.
    pub const STOP: Self = Self(19);
    /// SIGTTIN.
    pub const TTIN: Self = Self(21);
    /// SIGTTOU.
    pub const TTOU: Self = Self(22);
    /// SIGWINCH.
    pub const WINCH: Self = Self(28);
    /// SIGRTMIN+3 of glibc and musl, by which systemd is stopped.
    pub const RTMIN_3: Self = Self(37);

    /// `None` outside 1..=64.
    pub fn new(raw: i32) -> Option<Self> {
        u8::try_from(raw)
            .ok()
            .filter(|n| (1..=64).contains(n))
            .map(Self)
    }

    /// Parses a signal name, with or without `SIG`, in any case, or a signal number. Also accepts `RTMIN+n` and
    /// `RTMAX-n` (RTMIN is 34, as in glibc and musl).
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.trim().to_ascii_uppercase();
        if let Ok(number) = upper.parse::<i32>() {
            return Self::new(number);
        }
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(rest) = name.strip_prefix("RTMIN") {
            let plus = if rest.is_empty() {
                0
            } else {
                rest.strip_prefix('+')?.parse::<i32>().ok()?
            };
            return Self::new(34_i32.checked_add(plus)?).filter(|s| s.0 >= 34);
        }
        if let Some(rest) = name.strip_prefix("RTMAX") {
            let minus = if rest.is_empty() {
                0
            } else {
                rest.strip_prefix('-')?.parse::<i32>().ok()?
            };
            return Self::new(64_i32.checked_sub(minus)?).filter(|s| s.0 >= 34);
        }
        let name = match name {
            "POLL" => "IO",
            "IOT" => "ABRT",
            "CLD" => "CHLD",
            other => other,
        };
        let at = SIGNAL_NAMES.iter().position(|known| *known == name)?;
        u8::try_from(at + 1).ok().map(Self)
    }

    /// The number.
    pub fn get(self) -> i32 {
        i32::from(self.0)
    }

    /// The name without `SIG`, as the variables have it: `TERM`, `RTMIN+1`.
    pub fn short_name(self) -> String {
        let name = self.to_string();
        name.strip_prefix("SIG").map(str::to_owned).unwrap_or(name)
    }

    /// The number as u8.
    pub(super) fn number(self) -> u8 {
        self.0
    }

    /// Whether the signal reports a fault of the receiving process itself. The runtime never takes such signals (as
    /// tini).
    pub fn is_fault(self) -> bool {
        matches!(self.0, 4 | 5 | 6 | 7 | 8 | 11 | 31)
    }

    /// Whether a program can catch the signal: not KILL and STOP (signal(7)), and not 32 and 33, which the C library
    /// reserves.
    pub fn is_catchable(self) -> bool {
        !matches!(self.0, 9 | 19 | 32 | 33)
    }
}

impl fmt::Display for Sig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIGNAL_NAMES.get(usize::from(self.0) - 1) {
            Some(name) => write!(f, "SIG{name}"),
            None if self.0 >= 34 => write!(f, "SIGRTMIN+{}", self.0 - 34),
            None => write!(f, "SIG{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_names() {
        assert_eq!(Sig::parse("term"), Some(Sig::TERM));
        assert_eq!(Sig::parse("SIGTERM"), Some(Sig::TERM));
        assert_eq!(Sig::parse("15"), Some(Sig::TERM));
        assert_eq!(Sig::parse("RTMIN+1").map(Sig::get), Some(35));
        assert_eq!(Sig::parse("RTMAX").map(Sig::get), Some(64));
        assert_eq!(Sig::parse("RTMIN-1"), None);
        assert_eq!(Sig::parse("0"), None);
        assert_eq!(Sig::parse("65"), None);
        assert_eq!(Sig::parse("SIGSIGTERM"), None);
        for raw in 1..=64 {
            let sig = Sig::new(raw).unwrap();
            if !(32..=33).contains(&raw) {
                assert_eq!(Sig::parse(&sig.to_string()), Some(sig), "{sig}");
            }
        }
    }
}
