//! RPM_WATCH_IGNORE: changes below a watched path that are ignored.

use std::fmt;
use std::path::Path;

use glob::{MatchOptions, Pattern};

use crate::config::faults::{Wrong, quote};
use crate::config::grammar::{breaks_lines, list};

const ACCEPTED: &str = "names and paths below the watched ones, separated by commas, such as .git,*.log,cache/**; \
     * and ? stand for characters of one name, ** for any directories";

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Patterns for names and paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

impl Ignore {
    /// Whether a change at `path` (relative to the watched path) is ignored. A pattern is compared with each name in the
    /// path and with the whole path. What is below an ignored directory is ignored too.
    pub fn covers(&self, path: &Path) -> bool {
        let hit = |path: &Path| {
            let mut patterns = self.patterns.iter();
            patterns.any(|pattern| pattern.matches_path_with(path, OPTIONS))
        };
        let mut names = path.components();
        names.any(|name| hit(name.as_ref()))
            || path
                .ancestors()
                .any(|above| !above.as_os_str().is_empty() && hit(above))
    }
}

impl fmt::Display for Ignore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.patterns.iter().map(Pattern::as_str).collect();
        f.write_str(&texts.join(","))
    }
}

/// RPM_WATCH_IGNORE.
pub(in crate::config) fn ignore(text: &str) -> Result<Ignore, Wrong> {
    let mut patterns = Vec::new();
    let mut complaints = Vec::new();
    for part in list(text) {
        match pattern(part) {
            Ok(pattern) => patterns.push(pattern),
            Err(what) => complaints.push(format!("{} {what}", quote(part))),
        }
    }
    if complaints.is_empty() {
        Ok(Ignore { patterns })
    } else {
        Err(Wrong::new(complaints.join(", "), ACCEPTED))
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    if text.chars().any(breaks_lines) {
        return Err("holds a control character or a line break".to_owned());
    }
    if text.starts_with('/') {
        return Err("begins with /, but is counted from the watched path".to_owned());
    }
    // `dist/`, `./dist` and `dist` mean the same.
    let text = text.trim_start_matches("./").trim_end_matches('/');
    if text.is_empty() || text == "." {
        return Err("names nothing".to_owned());
    }
    Pattern::new(text).map_err(|error| format!("is no pattern: {}", error.msg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_covered_with_what_is_below() {
        let table = [
            (".git", ".git/HEAD", true),
            (".git", "sub/.git/refs/heads/main", true),
            (".git", ".github/ci", false),
            ("*.log", "a/b/x.log", true),
            ("*.log", "a/x.log.d/y", false),
            ("cache/*", "cache/x/y", true),
            ("cache/*", "other/cache/x", false),
            ("**/cache/*", "other/cache/x", true),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z/more", true),
            ("a/*/z", "a/b/c/z", false),
            ("dist/", "dist/x.js", true),
            ("./dist", "dist", true),
            ("?.txt", "a.txt", true),
            ("?.txt", "ab.txt", false),
            ("[ab].txt", "b.txt", true),
            ("*.LOG", "x.log", false),
            ("x,*~", "file~", true),
            (",", "x", false),
            ("*", "anything", true),
            ("*", "", false),
        ];
        for (text, path, covered) in table {
            assert_eq!(
                ignore(text).unwrap().covers(Path::new(path)),
                covered,
                "{text} {path}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["a**", "[", "/tmp/x", "./", "a\nb", "x,***"] {
            let wrong = ignore(text).unwrap_err();
            assert!(wrong.what.contains(' '), "{text}: {}", wrong.what);
        }
    }

    #[test]
    fn it_is_shown_as_it_can_be_given_again() {
        let first = ignore(" .git, dist/ ,**/x ").unwrap();
        assert_eq!(first.to_string(), ".git,dist,**/x");
        assert_eq!(ignore(&first.to_string()), Ok(first));
    }
}
