//! Panics and dumps of goroutines.

use super::{Opening, is_blank, is_indented, is_logged};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the first line of the message.
    Message,
    /// In the dump of a goroutine or of the registers.
    Dump,
}

/// What begins a panic or a fatal signal.
const FIRST: [&[u8]; 6] = [
    b"panic: ",
    b"fatal error: ",
    b"runtime: ",
    b"unexpected fault address ",
    b"SIGQUIT: ",
    b"SIGABRT: ",
];

pub fn open(line: &[u8]) -> Option<(Place, Opening)> {
    if is_goroutine(line) {
        return Some((Place::Dump, Opening::Joins));
    }
    let first = FIRST.iter().any(|first| line.starts_with(first));
    first.then_some((Place::Message, Opening::Own))
}

impl Place {
    pub fn next(self, line: &[u8]) -> Option<Self> {
        if is_goroutine(line) {
            return Some(Self::Dump);
        }
        let goes_on = match self {
            Self::Message => {
                let more = line.starts_with(b"[signal ") || line.starts_with(b"fatal error: ");
                more || !is_logged(line)
            }
            Self::Dump => {
                let more = [
                    &b"created by "[..],
                    b"runtime stack:",
                    b"PC=",
                    b"exit status ",
                ];
                is_blank(line)
                    || is_indented(line)
                    || is_frame(line)
                    || is_register(line)
                    || line.starts_with(b"...")
                    || more.iter().any(|more| line.starts_with(more))
            }
        };
        goes_on.then_some(self)
    }
}

/// `goroutine 1 [running]:`.
fn is_goroutine(line: &[u8]) -> bool {
    let number = line.strip_prefix(b"goroutine ");
    number.is_some_and(|rest| {
        rest.first().is_some_and(u8::is_ascii_digit) && rest.ends_with(b":") && rest.contains(&b'[')
    })
}

/// `main.(*Server).serve(0xc000010000, {0x1, 0x2})`.
fn is_frame(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b'(').next().unwrap_or_default();
    line.ends_with(b")") && !name.is_empty() && !name.contains(&b' ')
}

/// `rax    0x0`.
fn is_register(line: &[u8]) -> bool {
    let mut words = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let (name, value, rest) = (words.next(), words.next(), words.next());
    name.is_some_and(|name| name.len() <= 6)
        && value.is_some_and(|value| value.starts_with(b"0x"))
        && rest.is_none()
}
