//! The grammar of RPM_ENV_FILE. It is the grammar of `docker run --env-file` plus the quotes of docker compose:
//!
//! - a line is `NAME=VALUE`; lines end in LF or CRLF; blank ones and those that begin with `#` are skipped;
//! - `export ` may come before the name; blanks around the line and around the value are dropped;
//! - a value that begins with `'` or `"` ends at the next same character, on whatever line; only a comment may follow;
//! - between `'` only `\'` is special, and is a `'`; between `"` a backslash begins `\n`, `\r`, `\t`, `\"`, `\\` or `\$`,
//!   and stays before anything else;
//! - everything else is taken literally: nothing is expanded, and a `#` in a value without quotes is part of it;
//! - if a name occurs twice, the later line applies.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;

/// A line that is not a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Most lines that a message names.
const NAMED: usize = 5;

/// The lines that are not variables: at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadLines {
    /// The first ones, at most [`NAMED`].
    pub first: Vec<BadLine>,
    /// How many more there are.
    pub more: usize,
}

impl BadLines {
    fn push(&mut self, line: usize, what: String) {
        if self.first.len() < NAMED {
            self.first.push(BadLine { line, what });
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for BadLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, bad) in self.first.iter().enumerate() {
            write!(f, "{}{bad}", if at == 0 { "" } else { ", " })?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, ", and {more} lines more"),
        }
    }
}

/// The byte order mark, which some editors write before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns the variables in order, each once, or the invalid lines.
pub fn env_file(bytes: &[u8]) -> Result<Vec<(OsString, OsString)>, BadLines> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let text = with_unix_lines(bytes);
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    // A search through a list of a hundred thousand names would take PID 1 minutes.
    let mut places: HashMap<OsString, usize> = HashMap::new();
    let mut bad = BadLines::default();
    let mut rest = text.as_slice();
    let mut at = 1;
    while !rest.is_empty() {
        let end = line_end(rest);
        let line = rest.get(..end).unwrap_or_default().trim_ascii();
        // One line, unless the quotes of a value end on a later one.
        let mut taken = end + 1;
        if !line.is_empty() && !line.starts_with(b"#") {
            match variable(rest) {
                Ok((name, value, length)) => {
                    taken = length;
                    let known = places.get(&name).and_then(|at| variables.get_mut(*at));
                    if let Some((_, place)) = known {
                        *place = value;
                    } else {
                        places.insert(name.clone(), variables.len());
                        variables.push((name, value));
                    }
                }
                Err(what) => bad.push(at, what),
            }
        }
        let (done, left) = rest.split_at(taken.min(rest.len()));
        at += done.split(|byte| *byte == b'\n').skip(1).count();
        rest = left;
    }
    if bad.first.is_empty() {
        Ok(variables)
    } else {
        Err(bad)
    }
}

/// The text with LF in the place of each CRLF.
fn with_unix_lines(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let end = line.strip_suffix(b"\n");
        let start = end.unwrap_or(line);
        text.extend_from_slice(start.strip_suffix(b"\r").unwrap_or(start));
        text.extend(end.map(|_| b'\n'));
    }
    text
}

/// The position of the next line end, or the end of the text.
fn line_end(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(text.len())
}

/// Reads the variable at the beginning of the text. Returns its name, its value, and how many bytes they took, with the
/// line end.
fn variable(text: &[u8]) -> Result<(OsString, OsString, usize), String> {
    let (line, _) = text.split_at(line_end(text));
    if line.contains(&0) {
        return Err(NUL.to_owned());
    }
    let Some(equals) = line.iter().position(|byte| *byte == b'=') else {
        return Err("there is no =".to_owned());
    };
    let (name, _) = line.split_at(equals);
    let name = name.trim_ascii_start();
    let name = match name.strip_prefix(b"export") {
        Some(rest) if rest.first().is_some_and(u8::is_ascii_whitespace) => rest.trim_ascii_start(),
        _ => name,
    };
    if name.is_empty() {
        return Err("there is no name before the =".to_owned());
    }
    let odd = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control();
    if name.iter().any(odd) {
        // The line is not shown: it may be the middle of a key.
        return Err("the name before the = holds a blank or a control character".to_owned());
    }
    let name = OsString::from_vec(name.to_vec());
    let plain = line.get(equals + 1..).unwrap_or_default().trim_ascii();
    let Some(mark @ (b'\'' | b'"')) = plain.first().copied() else {
        let value = OsString::from_vec(plain.to_vec());
        return Ok((name, value, line.len() + 1));
    };
    // The quotes may end on a later line.
    let opening = text.iter().skip(equals).position(|byte| *byte == mark);
    let start = equals + opening.unwrap_or_default() + 1;
    let inside = text.get(start..).unwrap_or_default();
    let (value, length) = quoted(inside, mark)?;
    let behind = inside.get(length..).unwrap_or_default();
    let end = line_end(behind);
    let comment = behind.get(..end).unwrap_or_default().trim_ascii();
    if !comment.is_empty() && !comment.starts_with(b"#") {
        return Err("something stands behind the closing quote".to_owned());
    }
    if value.contains(&0) {
        return Err(NUL.to_owned());
    }
    Ok((name, OsString::from_vec(value), start + length + end + 1))
}

const NUL: &str = "holds a NUL byte";

/// Reads up to the closing quote. Returns the value, and how many bytes it took, with the closing quote.
fn quoted(text: &[u8], mark: u8) -> Result<(Vec<u8>, usize), String> {
    let mut value = Vec::new();
    let mut bytes = text.iter().copied().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        if byte == mark {
            return Ok((value, at + 1));
        }
        let escaped = match bytes.peek() {
            Some((_, next)) if byte == b'\\' => escape(*next, mark),
            _ => None,
        };
        if escaped.is_some() {
            bytes.next();
        }
        value.push(escaped.unwrap_or(byte));
    }
    Err("the quote is not closed".to_owned())
}

/// The meaning of this byte behind a backslash, if it has one.
fn escape(byte: u8, mark: u8) -> Option<u8> {
    match byte {
        _ if byte == mark => Some(mark),
        b'n' if mark == b'"' => Some(b'\n'),
        b'r' if mark == b'"' => Some(b'\r'),
        b't' if mark == b'"' => Some(b'\t'),
        b'\\' | b'$' if mark == b'"' => Some(byte),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt;

    fn read(text: &[u8]) -> Vec<(String, String)> {
        let lossy = |text: OsString| text.to_string_lossy().into_owned();
        let variables = env_file(text).unwrap();
        variables
            .into_iter()
            .map(|(name, value)| (lossy(name), lossy(value)))
            .collect()
    }

    #[test]
    fn lines_and_their_values() {
        let table: [(&[u8], &str, &str); 28] = [
            (b"A=b", "A", "b"),
            (b"A=", "A", ""),
            (b"A=b\r\n", "A", "b"),
            (b"\xef\xbb\xbfA=b", "A", "b"),
            (b"  \t A= b c \t", "A", "b c"),
            (b"export A=b", "A", "b"),
            (b"export\tA=b", "A", "b"),
            (b"exported=b", "exported", "b"),
            (b"A=b=c", "A", "b=c"),
            (b"A=b # c", "A", "b # c"),
            (b"A=$HOME\\n${X}`x`", "A", "$HOME\\n${X}`x`"),
            (b"A=' b '", "A", " b "),
            (b"A=\"it's #1 \\\\n $X\"", "A", "it's #1 \\n $X"),
            (b"A=\"a\\nb\\tc\\r\"", "A", "a\nb\tc\r"),
            (b"A=\"\\\"x\\\" \\$X \\q\"", "A", "\"x\" $X \\q"),
            (b"A='a\\nb'", "A", "a\\nb"),
            (b"A='let\\'s go'", "A", "let's go"),
            (b"A=\"b\" # c", "A", "b"),
            (b"A='b'#c", "A", "b"),
            (b"A=\"\"", "A", ""),
            (b"A=\" b\n c \n\"", "A", " b\n c \n"),
            (b"A='b\r\n# c\r\n\r\nD=e' ", "A", "b\n# c\n\nD=e"),
            (b"A=\"b\n\" # c", "A", "b\n"),
            (b"A='{\"k\": 1}'", "A", "{\"k\": 1}"),
            (b"A={\"k\": 1}", "A", "{\"k\": 1}"),
            (b"A=b\"c\"", "A", "b\"c\""),
            (b"a.b-c=1", "a.b-c", "1"),
            (b"A=x\nA=y", "A", "y"),
        ];
        for (text, name, value) in table {
            assert_eq!(
                read(text),
                [(name.to_owned(), value.to_owned())],
                "{}",
                text.escape_ascii()
            );
        }
        assert_eq!(read(b"# A=b\n\n \r\n\t#\n"), []);
        assert_eq!(
            env_file(b"A=\xff").unwrap(),
            [("A".into(), OsString::from_vec(vec![0xff]))]
        );
    }

    fn told(text: &[u8]) -> Vec<String> {
        let bad = env_file(text).unwrap_err();
        bad.first.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_wrong_line_is_told_by_its_number() {
        let text = b"A=1\nhello\n=x\nA B=1\n\nA =1\nB='x\nC=\"x\" y\n";
        assert_eq!(
            told(text),
            [
                "line 2: there is no =",
                "line 3: there is no name before the =",
                "line 4: the name before the = holds a blank or a control character",
                "line 6: the name before the = holds a blank or a control character",
                "line 7: the quote is not closed",
            ]
        );
        let text = b"B='x\nC=\"x\" y\nD=\0\nexport E\nE='a'b'\n";
        assert_eq!(
            told(text),
            [
                "line 1: something stands behind the closing quote",
                "line 2: something stands behind the closing quote",
                "line 3: holds a NUL byte",
                "line 4: there is no =",
                "line 5: something stands behind the closing quote",
            ]
        );
    }

    #[test]
    fn of_many_wrong_lines_the_first_are_told_and_the_others_counted() {
        let bad = env_file("x\n".repeat(1 << 19).as_bytes()).unwrap_err();
        assert_eq!((bad.first.len(), bad.more), (5, (1 << 19) - 5));
        let text = bad.to_string();
        assert!(
            text.starts_with("line 1: there is no =, line 2: "),
            "{text}"
        );
        assert!(text.ends_with(", line 5: there is no =, and 524283 lines more"));
    }

    #[test]
    fn a_hundred_thousand_names_are_each_found_once() {
        let lines = |value: u8| (0..100_000).map(move |name| format!("N{name}={value}\n"));
        let text: String = lines(1).chain(lines(2)).collect();
        let variables = env_file(text.as_bytes()).unwrap();
        assert_eq!(variables.len(), 100_000);
        assert!(variables.iter().all(|(_, value)| value == "2"));
    }

    #[test]
    fn a_value_of_several_lines_is_followed_by_the_next_variable() {
        let pem = "-----BEGIN KEY-----\nMIIB\n-----END KEY-----\n";
        let text = format!("A=1\nKEY=\"{pem}\" # the key\nexport B='2\n3'\nC=4");
        let expected = [("A", "1"), ("KEY", pem), ("B", "2\n3"), ("C", "4")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(text.as_bytes()), expected);
        let crlf = text.replace('\n', "\r\n");
        assert_eq!(read(crlf.as_bytes()), expected);
        let told = told(b"A='1\n2'\nhello\nKEY=\"x\ny\nB=1\n");
        let expected = [
            "line 3: there is no =",
            "line 4: the quote is not closed",
            "line 5: there is no =",
        ];
        assert_eq!(told, expected);
    }

    proptest! {
        #[test]
        fn no_file_upsets_it_and_names_are_names(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for (name, value) in env_file(&bytes).unwrap_or_default() {
                prop_assert!(!name.is_empty() && !name.as_bytes().contains(&b'='));
                prop_assert!(!name.as_bytes().contains(&0) && !value.as_bytes().contains(&0));
            }
        }
    }
}
