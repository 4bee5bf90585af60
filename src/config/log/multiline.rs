//! RPM_LOG_MULTILINE: the pattern of the first line of a record, or languages whose stack traces are known.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use crate::config::faults::{Wrong, quote};
use crate::config::nearest::nearest;
use crate::model::{Language, Word};

/// Limit of the compiled pattern, and of the cache of its automaton, bytes.
const LARGEST: usize = 1 << 20;

const ACCEPTED: &str = "languages of python, java, node, go and ruby, such as python or python,node; or a regular expression that the first line of a record matches and the others do not, such as \
     ^\\d{4}-\\d\\d-\\d\\d or ^\\S; \\d, \\w and \\s are those of ASCII";

/// What begins a record.
#[derive(Clone, Debug)]
pub enum Multiline {
    /// A pattern (of bytes) that matches its first line, without its newline.
    Pattern(Regex),
    /// A line that does not continue a trace of these languages.
    Languages(Vec<Language>),
}

impl PartialEq for Multiline {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pattern(one), Self::Pattern(other)) => one.as_str() == other.as_str(),
            (Self::Languages(one), Self::Languages(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Multiline {}

impl fmt::Display for Multiline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(regex) => f.write_str(regex.as_str()),
            Self::Languages(languages) => {
                let words: Vec<_> = languages.iter().map(|language| language.word()).collect();
                f.write_str(&words.join(","))
            }
        }
    }
}

/// Parses RPM_LOG_MULTILINE.
pub(super) fn multiline(text: &str) -> Result<Multiline, Wrong> {
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    let found: Vec<_> = words
        .iter()
        .filter_map(|word| Language::from_word(word))
        .collect();
    if found.is_empty() {
        if let Some(meant) = misspelt(&words) {
            return Err(Wrong::new(
                format!("is no language and not a useful pattern; was {meant} meant?"),
                ACCEPTED,
            ));
        }
        return pattern(text);
    }
    if let Some(other) = words
        .iter()
        .find(|word| Language::from_word(word).is_none())
    {
        let what = format!("{} stands beside languages and is none", quote(other));
        return Err(Wrong::new(what, ACCEPTED));
    }
    let mut languages = Vec::new();
    for language in found {
        if languages.contains(&language) {
            return Err(Wrong::new(
                format!("names {} twice", language.word()),
                ACCEPTED,
            ));
        }
        languages.push(language);
    }
    Ok(Multiline::Languages(languages))
}

/// The language that a word without any sign of a pattern was meant to be.
fn misspelt(words: &[&str]) -> Option<&'static str> {
    let mut all = words.iter();
    if !all.all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        return None;
    }
    let known = || Language::ALL.iter().map(|language| language.word());
    words.iter().find_map(|word| nearest(word, known()))
}

/// Blanks may be part of the pattern and are kept.
fn pattern(text: &str) -> Result<Multiline, Wrong> {
    let wrong = |what: String| Err(Wrong::new(what, ACCEPTED));
    if text.trim().is_empty() {
        return wrong("is blank".to_owned());
    }
    if text.chars().any(char::is_control) {
        return wrong("holds a control character; \\t or \\x1b stand for one".to_owned());
    }
    let regex = RegexBuilder::new(text)
        .unicode(false)
        .size_limit(LARGEST)
        .dfa_size_limit(LARGEST)
        .build();
    match regex {
        Err(error) => wrong(complaint(&error)),
        Ok(regex) if matches_all(&regex) => {
            wrong("matches every line, so none would be joined to another".to_owned())
        }
        Ok(regex) => Ok(Multiline::Pattern(regex)),
    }
}

/// The last line of the message of regex; the lines before it point into the pattern.
fn complaint(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "is too large once it is compiled".to_owned(),
        other => {
            let text = other.to_string();
            let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
            let line = line.unwrap_or_default();
            let line = line.strip_prefix("error: ").unwrap_or(line);
            format!("is no regular expression: {line}")
        }
    }
}

/// Whether the pattern matches any line: each byte alone, and all of them together.
fn matches_all(regex: &Regex) -> bool {
    let bytes: Vec<u8> = (0..=u8::MAX).filter(|byte| *byte != b'\n').collect();
    regex.is_match(&bytes) && bytes.iter().all(|byte| regex.is_match(&[*byte]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_are_told_from_others() {
        let table: [(&str, &[u8], bool); 14] = [
            (
                r"^\d{4}-\d\d-\d\d",
                b"2026-11-22 04:40:12 INFO begins",
                true,
            ),
            (r"^\d{4}-\d\d-\d\d", b"  at main (app.js:1)", false),
            (r"^\S", b"Traceback", true),
            (r"^\S", b"\tat a.b.C", false),
            (r"^[^\t ]", b"", false),
            (r"^(?i)error", b"Error: x", true),
            ("^$", b"", true),
            ("^$", b"x", false),
            (r"\xff", b"a\xff", true),
            ("^gr\u{fc}n", "gr\u{fc}n".as_bytes(), true),
            (r"^\{", b"{\"a\":1}", true),
            ("^a ", b"ab", false),
            ("^[^}]", b"}", false),
            ("end$", b"the end", true),
        ];
        for (pattern, line, expected) in table {
            let multiline = multiline(pattern).unwrap();
            let Multiline::Pattern(regex) = &multiline else {
                panic!("{multiline:?}");
            };
            assert_eq!(regex.is_match(line), expected, "{pattern}");
            assert_eq!(multiline.to_string(), pattern);
        }
    }

    #[test]
    fn languages_are_told_from_patterns() {
        let table = [
            ("python", "python"),
            (" Java ", "java"),
            ("node , python", "node,python"),
            ("go,ruby", "go,ruby"),
        ];
        for (text, shown) in table {
            let multiline = multiline(text).unwrap();
            assert!(matches!(multiline, Multiline::Languages(_)), "{text}");
            assert_eq!(multiline.to_string(), shown);
        }
        for text in ["^python", "python|java", "start", "ERROR", "a,b"] {
            let multiline = multiline(text).unwrap();
            assert!(matches!(multiline, Multiline::Pattern(_)), "{text}");
        }
        let faults = [
            (
                "pyhton",
                "is no language and not a useful pattern; was python meant?",
            ),
            (
                "nodes",
                "is no language and not a useful pattern; was node meant?",
            ),
            ("python,python", "names python twice"),
            ("python,^a", "\"^a\" stands beside languages and is none"),
            ("go,", "\"\" stands beside languages and is none"),
        ];
        for (text, what) in faults {
            assert_eq!(multiline(text).unwrap_err().what, what, "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern_of_first_lines() {
        let all = "matches every line, so none would be joined to another";
        let control = "holds a control character; \\t or \\x1b stand for one";
        let table = [
            ("  ", "is blank"),
            ("a\tb", control),
            ("a\nb", control),
            (".*", all),
            ("a*", all),
            ("^", all),
            (".", all),
            ("$|x", all),
            ("(?s).", all),
            ("[^\\n]", all),
            ("(abc", "is no regular expression: unclosed group"),
            (
                "[z-a]",
                "is no regular expression: invalid character class range, the start must be <= the end",
            ),
            (
                "(?<=a)b",
                "is no regular expression: look-around, including look-ahead and look-behind, is not supported",
            ),
            (
                "*",
                "is no regular expression: repetition operator missing expression",
            ),
            ("a\u{2028}|(", "is no regular expression: unclosed group"),
            ("a{1000}{1000}{1000}", "is too large once it is compiled"),
            ("\\pL", "is no regular expression: Unicode not allowed here"),
            (
                "[\u{e4}\u{f6}]",
                "is no regular expression: Unicode not allowed here",
            ),
        ];
        for (text, complaint) in table {
            assert_eq!(multiline(text).unwrap_err().what, complaint, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_upsets_the_grammar(text in "\\PC{0,20}|[\\\\^$.|?*+()\\[\\]{}a-c0-9:<=!-]{0,20}") {
            match multiline(&text) {
                Ok(multiline @ Multiline::Pattern(_)) => proptest::prop_assert_eq!(multiline.to_string(), text),
                Ok(_) => {}
                Err(wrong) => proptest::prop_assert!(!wrong.what.contains('\n'), "{}", wrong.what),
            }
        }
    }
}
