//! Keys, from the bytes that a terminal sends. Without terminfo: every terminal in use sends these.

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter, a digit, a sign.
    Char(char),
    /// With Ctrl: the letter.
    Ctrl(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Backspace,
    Escape,
}

/// What has come of a key that is not whole yet.
#[derive(Debug, Default)]
pub struct Keys {
    pending: Vec<u8>,
    /// Something is being pasted: it was not meant as keys.
    pasting: bool,
}

/// What a terminal sends before and after what is pasted (bracketed paste, as xterm began it).
const PASTE: &[u8] = b"\x1b[200~";
const PASTED: &[u8] = b"\x1b[201~";

/// Longest sequence that is waited for. A longer one is none.
const LONGEST: usize = 16;

impl Keys {
    /// The keys in `bytes`. The last one may wait for more.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.pending.extend_from_slice(bytes);
        let mut keys = Vec::new();
        let mut rest = self.pending.as_slice();
        while !rest.is_empty() {
            if self.pasting {
                let end = pasted(rest);
                self.pasting = end.is_err();
                let (key, length) = end.unwrap_or_else(|length| (None, length));
                keys.extend(key);
                rest = rest.get(length..).unwrap_or_default();
                if self.pasting {
                    break;
                }
                continue;
            }
            if let Some(after) = rest.strip_prefix(PASTE) {
                self.pasting = true;
                rest = after;
                continue;
            }
            let Some((key, length)) = first(rest) else {
                break;
            };
            keys.extend(key);
            rest = rest.get(length..).unwrap_or_default();
        }
        self.pending = if rest.len() > LONGEST {
            Vec::new()
        } else {
            rest.to_vec()
        };
        keys
    }

    /// Whether a key waits for more. A lone escape is the key of that name, if nothing follows soon.
    pub fn waits(&self) -> bool {
        !self.pasting && !self.pending.is_empty()
    }

    /// Nothing followed.
    pub fn give_up(&mut self) -> Option<Key> {
        let alone = self.pending == [0x1b];
        self.pending.clear();
        alone.then_some(Key::Escape)
    }
}

/// How much of the bytes is pasted, if that ends among them; Ctrl-C ends it too, should the mark be lost. `Err`: it goes on, and
/// so much of them is not a part of the mark.
fn pasted(bytes: &[u8]) -> Result<(Option<Key>, usize), usize> {
    for at in 0..bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.starts_with(PASTED) {
            return Ok((None, at + PASTED.len()));
        }
        if rest.starts_with(b"\x03") {
            return Ok((Some(Key::Ctrl('c')), at + 1));
        }
        if PASTED.starts_with(rest) {
            return Err(at);
        }
    }
    Err(bytes.len())
}

/// The first key and its length; no key for a sequence that means nothing here. `None`: it is not whole.
fn first(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    match *bytes {
        [0x1b] => None,
        [0x1b, b'[' | b'O', ..] => sequence(bytes),
        // Twice: the first one was the key.
        [0x1b, 0x1b, ..] => Some((Some(Key::Escape), 1)),
        // With Alt: nothing here.
        [0x1b, next, ..] if next.is_ascii() => Some((None, 2)),
        [0x1b, ..] => Some((Some(Key::Escape), 1)),
        [b'\r' | b'\n', ..] => Some((Some(Key::Enter), 1)),
        [0x7f | 0x08, ..] => Some((Some(Key::Backspace), 1)),
        [byte @ 1..=26, ..] => Some((Some(Key::Ctrl(char::from(byte + b'a' - 1))), 1)),
        [byte, ..] if byte.is_ascii_control() => Some((None, 1)),
        _ => letter(bytes),
    }
}

/// `ESC [` or `ESC O`, digits, and the letter that ends it.
fn sequence(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let inner = bytes.get(2..).unwrap_or_default();
    let end = inner.iter().position(|byte| (0x40..0x7f).contains(byte))?;
    let digits = inner.get(..end).unwrap_or_default();
    let key = match (inner.get(end)?, digits) {
        (b'A', _) => Some(Key::Up),
        (b'B', _) => Some(Key::Down),
        (b'H', _) | (b'~', b"1" | b"7") => Some(Key::Home),
        (b'F', _) | (b'~', b"4" | b"8") => Some(Key::End),
        (b'~', b"5") => Some(Key::PageUp),
        (b'~', b"6") => Some(Key::PageDown),
        (b'M', b"") if bytes.get(1) == Some(&b'O') => Some(Key::Enter),
        _ => None,
    };
    Some((key, 2 + end + 1))
}

fn letter(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let most = bytes.get(..4).unwrap_or(bytes);
    let text = match std::str::from_utf8(most) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() > 0 => {
            std::str::from_utf8(most.get(..error.valid_up_to())?).ok()?
        }
        // No letter begins so; or it is not whole.
        Err(error) => return error.error_len().map(|length| (None, length)),
    };
    let letter = text.chars().next()?;
    let key = (!letter.is_control()).then_some(Key::Char(letter));
    Some((key, letter.len_utf8()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        Keys::default().feed(bytes)
    }

    #[test]
    fn what_terminals_send_for_a_key_is_that_key() {
        let table: [(&[u8], Key); 16] = [
            (b"q", Key::Char('q')),
            (b"R", Key::Char('R')),
            ("é".as_bytes(), Key::Char('é')),
            (b"\x03", Key::Ctrl('c')),
            (b"\x1a", Key::Ctrl('z')),
            (b"\r", Key::Enter),
            (b"\x7f", Key::Backspace),
            (b"\x1b[A", Key::Up),
            (b"\x1bOA", Key::Up),
            (b"\x1b[1;5B", Key::Down),
            (b"\x1bOB", Key::Down),
            (b"\x1b[5~", Key::PageUp),
            (b"\x1b[6~", Key::PageDown),
            (b"\x1b[H", Key::Home),
            (b"\x1b[4~", Key::End),
            (b"\x1b[1~", Key::Home),
        ];
        for (bytes, key) in table {
            assert_eq!(keys(bytes), [key], "{bytes:?}");
        }
    }

    #[test]
    fn a_key_that_comes_in_parts_is_put_together() {
        let mut parts = Keys::default();
        for part in [&b"\x1b"[..], b"[", b"5"] {
            assert_eq!(parts.feed(part), []);
            assert!(parts.waits());
        }
        assert_eq!(parts.feed(b"~j"), [Key::PageUp, Key::Char('j')]);
        let [first, second] = [0xc3, 0xa9];
        assert_eq!(parts.feed(&[first]), []);
        assert_eq!(parts.feed(&[second]), [Key::Char('é')]);
        assert!(!parts.waits());
    }

    #[test]
    fn an_escape_with_nothing_behind_it_is_the_key() {
        let mut alone = Keys::default();
        assert_eq!(alone.feed(b"\x1b"), []);
        assert_eq!(alone.give_up(), Some(Key::Escape));
        assert_eq!(alone.give_up(), None);
        assert_eq!(alone.feed(b"\x1b["), []);
        assert_eq!(alone.give_up(), None, "a part of something else");
        assert_eq!(keys(b"\x1b\x1b"), [Key::Escape]);
    }

    #[test]
    fn what_is_pasted_is_no_key_however_it_comes() {
        let sent = b"j\x1b[200~retry\x1b[A\r\x1b[201~k";
        for size in 1..=sent.len() {
            let mut parts = Keys::default();
            let keys: Vec<Key> = sent
                .chunks(size)
                .flat_map(|part| parts.feed(part))
                .collect();
            assert_eq!(keys, [Key::Char('j'), Key::Char('k')], "{size}");
            assert!(!parts.waits());
        }
        let mut slow = Keys::default();
        assert_eq!(slow.feed(b"\x1b[200~r\x1b[20"), []);
        assert!(!slow.waits(), "however late the rest is");
        assert_eq!(slow.feed(b"1~q"), [Key::Char('q')]);
        // The mark of the end may be lost.
        assert_eq!(keys(b"\x1b[200~ry\x03q"), [Key::Ctrl('c'), Key::Char('q')]);
    }

    #[test]
    fn what_means_nothing_here_does_nothing() {
        for bytes in [&b"\x1b[<0;3;4M"[..], b"\x1bx", b"\xff", b"\0", b"\x1b[3~"] {
            assert_eq!(keys(bytes), [], "{bytes:?}");
        }
        let mut endless = Keys::default();
        for _ in 0..99 {
            endless.feed(b"\x1b[111111111");
            assert!(endless.pending.len() <= LONGEST, "{endless:?}");
        }
        assert_eq!(endless.feed(b"1Aq").last(), Some(&Key::Char('q')));
    }
}
