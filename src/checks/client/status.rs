//! Reads the status of an HTTP/1 answer from untrusted bytes.

use crate::checks::Failure;

/// Most bytes to read of one answer.
pub(crate) const MOST_BYTES: usize = 64 * 1024;

/// Bytes of a non-HTTP answer to show.
const SHOWN: usize = 32;

/// The begin of every status line.
const BEGIN: &[u8] = b"HTTP/1.";

/// The present position in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    StatusLine,
    /// Header lines of an interim answer (1xx); `line` is the length of the present line.
    Interim {
        line: usize,
    },
}

/// Reads the status line of the final answer, and nothing after it.
#[derive(Debug)]
pub(crate) struct StatusReader {
    place: Place,
    line: Vec<u8>,
    total: usize,
}

impl StatusReader {
    pub fn new() -> Self {
        Self {
            place: Place::StatusLine,
            line: Vec::new(),
            total: 0,
        }
    }

    /// Processes the next bytes. `None`: more are needed.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Result<u16, Failure>> {
        for (at, byte) in bytes.iter().enumerate() {
            self.total += 1;
            match self.place {
                Place::StatusLine => {
                    self.line.push(*byte);
                    let rest = bytes.get(at + 1..).unwrap_or_default();
                    if !self.may_be_http() {
                        return Some(Err(self.foreign(rest)));
                    }
                    if *byte == b'\n' {
                        match status(&self.line) {
                            // 101 is final: another protocol would follow, which was not requested.
                            Some(interim @ 100..200) if interim != 101 => {
                                self.line.clear();
                                self.place = Place::Interim { line: 0 };
                            }
                            Some(status) => return Some(Ok(status)),
                            None => return Some(Err(self.foreign(rest))),
                        }
                    }
                }
                Place::Interim { line } => {
                    self.place = match byte {
                        b'\n' if line == 0 => Place::StatusLine,
                        b'\n' => Place::Interim { line: 0 },
                        b'\r' => self.place,
                        _ => Place::Interim { line: line + 1 },
                    };
                }
            }
            if self.total >= MOST_BYTES {
                return Some(Err(Failure::TooLong));
            }
        }
        None
    }

    /// Checks the begin of the line before the line ends: a program that speaks another protocol, sends first and then
    /// waits would never end it.
    fn may_be_http(&self) -> bool {
        self.line.iter().zip(BEGIN).all(|(is, should)| is == should)
    }

    fn foreign(&self, rest: &[u8]) -> Failure {
        Failure::NotHttp(shown(&[&self.line, rest].concat(), SHOWN))
    }
}

/// The first `most` bytes of untrusted data, escaped for one log line.
pub(crate) fn shown(bytes: &[u8], most: usize) -> String {
    let begin = bytes.get(..most).unwrap_or(bytes);
    let end = if bytes.len() > most { "..." } else { "" };
    format!("{}{end}", begin.escape_ascii())
}

/// Parses `HTTP/1.x NNN`, then nothing or a blank and a reason, then the end of the line.
fn status(line: &[u8]) -> Option<u16> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let [minor, b' ', number @ ..] = line.strip_prefix(BEGIN)? else {
        return None;
    };
    let (digits, reason) = number.split_at_checked(3)?;
    let whole = reason.is_empty() || reason.starts_with(b" ");
    if !(minor.is_ascii_digit() && digits.iter().all(u8::is_ascii_digit) && whole) {
        return None;
    }
    let status: u16 = str::from_utf8(digits).ok()?.parse().ok()?;
    (status >= 100).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Option<Result<u16, Failure>> {
        StatusReader::new().feed(bytes)
    }

    #[test]
    fn the_status_of_the_final_answer_is_found() {
        let answers: [(&[u8], u16); 9] = [
            (b"HTTP/1.1 200 OK\r\n", 200),
            (b"HTTP/1.0 204\r\n", 204),
            (b"HTTP/1.1 302 \nLocation: /\r\n", 302),
            (b"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nbody", 503),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", 200),
            (
                b"HTTP/1.1 103 Early Hints\nLink: <a>\n\nHTTP/1.1 103\r\n\r\nHTTP/1.1 404\r\n",
                404,
            ),
            (
                b"HTTP/1.1 102 HTTP/1.1 200\r\nHTTP/1.1 200: 1\r\n\r\nHTTP/1.1 500 No\r\n",
                500,
            ),
            (b"HTTP/1.1 999 Odd\r\n", 999),
        ];
        for (answer, expected) in answers {
            assert_eq!(
                read(answer),
                Some(Ok(expected)),
                "{}",
                answer.escape_ascii()
            );
        }
    }

    #[test]
    fn what_is_not_http_is_shown_as_soon_as_that_is_certain() {
        let answers: [(&[u8], &str); 12] = [
            (
                b"220 smtp.example.org ESMTP\r\n",
                "220 smtp.example.org ESMTP\\r\\n",
            ),
            (
                b"\x15\x03\x01\x00\x02\x02\x50",
                "\\x15\\x03\\x01\\x00\\x02\\x02P",
            ),
            (b"HTTP/2", "HTTP/2"),
            (b"HTP", "HTP"),
            (
                b"<html>200 OK and much more than is shown",
                "<html>200 OK and much more than ...",
            ),
            (b"HTTP/1.1\t200 OK\r\n", "HTTP/1.1\\t200 OK\\r\\n"),
            (b"HTTP/1.1 20 OK\r\n", "HTTP/1.1 20 OK\\r\\n"),
            (b"HTTP/1.1 2000 OK\r\n", "HTTP/1.1 2000 OK\\r\\n"),
            (b"HTTP/1.1 +20 OK\r\n", "HTTP/1.1 +20 OK\\r\\n"),
            (b"HTTP/1.1 099 No\r\n", "HTTP/1.1 099 No\\r\\n"),
            (b"HTTP/1.\r\n", "HTTP/1.\\r\\n"),
            (b"\r\n", "\\r\\n"),
        ];
        for (answer, shown) in answers {
            let expected = Some(Err(Failure::NotHttp(shown.to_owned())));
            assert_eq!(read(answer), expected, "{shown}");
        }
    }

    #[test]
    fn an_unfinished_line_needs_more() {
        for part in [
            "",
            "H",
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK\r",
            "HTTP/1.1 100\r\n\r\n",
            "HTTP/1.1 100\r\n\r\nHTTP/1.1 2",
        ] {
            assert_eq!(read(part.as_bytes()), None, "{part}");
        }
    }

    #[test]
    fn what_never_ends_is_ended() {
        let endless: [&[u8]; 3] = [
            b"HTTP/1.1 200 O",
            b"HTTP/1.1 100 Continue\r\nA: ",
            b"HTTP/1.1 100\r\n\r\n",
        ];
        for begin in endless {
            let repeated = match begin.last() {
                Some(b'\n') => begin,
                _ => b"x",
            };
            let mut reader = StatusReader::new();
            let mut answer = reader.feed(begin);
            let mut fed = begin.len();
            while answer.is_none() {
                answer = reader.feed(repeated);
                fed += repeated.len();
                assert!(fed < 2 * MOST_BYTES);
            }
            assert_eq!(answer, Some(Err(Failure::TooLong)));
            assert!(reader.line.len() <= MOST_BYTES);
        }
    }

    proptest! {
        #[test]
        fn garbage_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let looks_right = bytes.starts_with(b"HTTP/1.");
            prop_assert!(looks_right || !matches!(read(&bytes), Some(Ok(_))));
        }

        #[test]
        fn pieces_are_read_as_the_whole(
            head in "(HTTP/1\\.1 1[0-9][0-9] [a-z]{0,3}\r\n(A: [a-z]{0,5}\r\n){0,3}\r\n){0,3}",
            tail in "HTTP/1\\.[01] [0-9]{2,4}( [A-Z]{0,5})?\r?\n",
            cuts in prop::collection::vec(1_usize..20, 1..100),
        ) {
            let bytes = format!("{head}{tail}").into_bytes();
            let mut reader = StatusReader::new();
            let mut rest = &bytes[..];
            let mut answer = None;
            let mut cuts = cuts.into_iter().cycle();
            while answer.is_none() && !rest.is_empty() {
                let (piece, behind) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                answer = reader.feed(piece);
                rest = behind;
            }
            let same = match (&answer, &read(&bytes)) {
                // How much is shown depends on how many bytes have arrived.
                (Some(Err(Failure::NotHttp(_))), Some(Err(Failure::NotHttp(_)))) => true,
                (pieces, whole) => pieces == whole,
            };
            prop_assert!(same, "{:?}", answer);
        }
    }
}
