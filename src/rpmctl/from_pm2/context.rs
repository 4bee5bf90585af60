//! What a translation needs from outside.

use super::translation::Translation;

/// What kind of file a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// None that can be read.
    Absent,
    /// A file of text.
    Text,
    /// A file of machine code.
    Binary,
}

/// What a translation needs from outside.
pub struct Context<'a> {
    /// `--env`.
    pub env: Option<&'a str>,
    /// The home directory, for `~`.
    pub home: Option<&'a str>,
    /// Looks at a file.
    pub look: &'a dyn Fn(&str) -> File,
    /// The form of the log that the command line of pm2-runtime asks for.
    pub format: Option<&'static str>,
}

impl Context<'_> {
    /// Looks at a file of the app, whose relative path starts at `workdir`.
    pub fn file(&self, path: &str, workdir: Option<&str>) -> File {
        match workdir {
            Some(dir) if !path.starts_with('/') => (self.look)(&format!("{dir}/{path}")),
            _ => (self.look)(path),
        }
    }

    /// The path with its `~` expanded.
    pub fn home_of(&self, path: &str, out: &mut Translation, key: &str) -> String {
        let Some(rest) = path.strip_prefix('~') else {
            return path.to_owned();
        };
        if !rest.is_empty() && !rest.starts_with('/') {
            return path.to_owned();
        }
        if let Some(home) = self.home.filter(|home| !home.is_empty()) {
            return format!("{}{rest}", home.trim_end_matches('/'));
        }
        out.note(format!(
            "the ~ in {key} could not be expanded, because HOME is not set here: write the path of the container"
        ));
        path.to_owned()
    }
}
