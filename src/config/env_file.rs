//! The grammar of RPM_ENV_FILE. It is the grammar of `docker run --env-file` plus quotes:
//!
//! - a line is `NAME=VALUE`; lines end in LF or CRLF; blank ones and those that begin with `#` are skipped;
//! - `export ` may come before the name; blanks around the line and around the value are dropped;
//! - a value that begins with `'` or `"` ends at the next same character, and nothing may follow;
//! - everything else is taken literally: nothing is expanded, a backslash is a backslash, a `#` in a value is part of it;
//! - if a name occurs twice, the later line applies.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::faults::quote;

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

/// The byte order mark, which some editors write before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns the variables in order, each once, or all invalid lines.
pub fn env_file(bytes: &[u8]) -> Result<Vec<(OsString, OsString)>, Vec<BadLine>> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    let mut bad = Vec::new();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match variable(line) {
            Ok((name, value)) => match variables.iter_mut().find(|(known, _)| *known == name) {
                Some((_, place)) => *place = value,
                None => variables.push((name, value)),
            },
            Err(what) => bad.push(BadLine { line: at + 1, what }),
        }
    }
    if bad.is_empty() {
        Ok(variables)
    } else {
        Err(bad)
    }
}

fn variable(line: &[u8]) -> Result<(OsString, OsString), String> {
    if line.contains(&0) {
        return Err("holds a NUL byte".to_owned());
    }
    let line = match line.strip_prefix(b"export") {
        Some(rest) if rest.first().is_some_and(u8::is_ascii_whitespace) => rest.trim_ascii_start(),
        _ => line,
    };
    let Some(equals) = line.iter().position(|byte| *byte == b'=') else {
        return Err("there is no =".to_owned());
    };
    let (name, value) = line.split_at(equals);
    let value = value.get(1..).unwrap_or_default().trim_ascii_start();
    if name.is_empty() {
        return Err("there is no name before the =".to_owned());
    }
    let odd = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control();
    if name.iter().any(odd) {
        let name = quote(OsStr::from_bytes(name));
        return Err(format!(
            "{name} is not a name, because of a blank or a control character"
        ));
    }
    let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    Ok((owned(name), owned(unquote(value)?)))
}

fn unquote(value: &[u8]) -> Result<&[u8], String> {
    let (mark, rest) = match value.split_first() {
        Some((mark @ (b'\'' | b'"'), rest)) => (*mark, rest),
        _ => return Ok(value),
    };
    match rest.iter().position(|byte| *byte == mark) {
        None => Err("the quote is not closed".to_owned()),
        Some(end) if end + 1 < rest.len() => {
            Err("something stands behind the closing quote".to_owned())
        }
        Some(end) => Ok(rest.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        let table: [(&[u8], &str, &str); 18] = [
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
            (b"A=\"it's #1 \\n $X\"", "A", "it's #1 \\n $X"),
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

    #[test]
    fn every_wrong_line_is_told_by_its_number() {
        let text = b"A=1\nhello\n=x\nA B=1\n\nA =1\nB='x\nC=\"x\" y\nD=\0\nexport E\nE='a'b'\n";
        let told: Vec<String> = env_file(text)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            told,
            [
                "line 2: there is no =",
                "line 3: there is no name before the =",
                "line 4: \"A B\" is not a name, because of a blank or a control character",
                "line 6: \"A \" is not a name, because of a blank or a control character",
                "line 7: the quote is not closed",
                "line 8: something stands behind the closing quote",
                "line 9: holds a NUL byte",
                "line 10: there is no =",
                "line 11: something stands behind the closing quote",
            ]
        );
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
