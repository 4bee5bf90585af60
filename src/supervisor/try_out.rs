//! What `--check` tries without starting anything: whether the program is there, and whether log files can be written.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::environment::{self, Environment};
use crate::config::{Config, EXIT_CONFIG, FileName};
use crate::model::{Generation, SlotId};
use crate::sys::search;
use crate::sys::status::Status;

/// What a run would meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// The program cannot be executed, or RPM_LOG_OWN_FILE cannot be written: the exit code of a run, and why.
    pub fault: Option<(u8, String)>,
    /// What a run would go on without.
    pub warnings: Vec<String>,
}

/// Tries it in the runtime's own environment.
pub fn try_out(config: &Config, env: Vec<(OsString, OsString)>) -> Tried {
    let file = config.program.env_file.as_deref();
    let base = Environment::new(env).read(file, Generation(0));
    let workers = config.program.instances.get();
    let env = environment::build(&base, config, SlotId(0), Generation(0), workers);
    let fault = config.program.argv.first().and_then(|program| {
        let errno = search::find(program, &env).err()?;
        let shown = program.to_string_lossy();
        let why = why_not(program, errno);
        Some((
            Status::exec_code(errno),
            format!("cannot execute the program {shown:?}: {why}"),
        ))
    });
    let own_file = config.log.own.file.as_ref().and_then(|file| {
        let (place, errno) = unwritable(file)?;
        let (place, why) = (place.display(), errno.desc());
        Some((
            EXIT_CONFIG,
            format!("RPM_LOG_OWN_FILE: {place} cannot be written here: {why}"),
        ))
    });
    let refused = super::node::refusal(config, super::node::decide(config, &env));
    let refused = refused.map(|what| (EXIT_CONFIG, what));
    let files = [
        ("RPM_LOG_FILE", &config.log.files.out),
        ("RPM_LOG_ERROR_FILE", &config.log.files.error),
    ];
    let warnings = files.into_iter().filter_map(|(name, file)| {
        let (place, errno) = unwritable(file.as_ref()?)?;
        Some(format!(
            "{name}: {} cannot be written here: {}; a run would go on without this file",
            place.display(),
            errno.desc()
        ))
    });
    Tried {
        // In the order in which a run meets them.
        fault: refused.or(own_file).or(fault),
        warnings: warnings.collect(),
    }
}

/// Why the program cannot be executed, in words.
pub(super) fn why_not(program: &OsStr, errno: Errno) -> String {
    let text = program.to_string_lossy();
    match errno {
        Errno::ENOENT if text.contains('/') && Path::new(program).is_file() => {
            "the file exists, but its interpreter or loader is not found".to_owned()
        }
        Errno::ENOENT | Errno::ENOTDIR if text.contains(char::is_whitespace) => {
            let words: Vec<String> = text
                .split_whitespace()
                .map(|word| format!("{word:?}"))
                .collect();
            format!(
                "not found; the name contains a blank, and a command has one word an argument: [{}]; or write it into \
                 RPM_COMMAND, which is split into words",
                words.join(", ")
            )
        }
        Errno::ENOENT | Errno::ENOTDIR => "not found".to_owned(),
        Errno::EACCES if text.contains('/') && lacks_execute_bit(Path::new(program)) => format!(
            "{}; the file is not executable (chmod +x)",
            Errno::EACCES.desc()
        ),
        other => other.desc().to_owned(),
    }
}

fn lacks_execute_bit(path: &Path) -> bool {
    let file = path.metadata().ok().filter(Metadata::is_file);
    file.is_some_and(|file| file.permissions().mode() & 0o111 == 0)
}

/// The file, or the directory in which it would be made, if it cannot be written.
fn unwritable(file: &FileName) -> Option<(PathBuf, Errno)> {
    let path = Path::new(file.template());
    let is_sure = |path: &Path| !path.to_string_lossy().contains("{slot}");
    if is_sure(path) && path.exists() {
        let refused = if path.is_dir() {
            Errno::EISDIR
        } else {
            search::may_write(path).err()?
        };
        return Some((path.to_owned(), refused));
    }
    // Missing directories are made.
    let above = path.ancestors().skip(1).map(|above| {
        if above.as_os_str().is_empty() {
            Path::new(".")
        } else {
            above
        }
    });
    let nearest = above
        .filter(|above| is_sure(above))
        .find(|above| above.exists())?;
    let refused = if nearest.is_dir() {
        search::may_write(nearest).err()?
    } else {
        Errno::ENOTDIR
    };
    Some((nearest.to_owned(), refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_in_one_word_is_told_how_it_is_written() {
        let why = why_not(OsStr::new("node server.js"), Errno::ENOENT);
        assert!(
            why.starts_with("not found; the name contains a blank"),
            "{why}"
        );
        assert!(why.contains("[\"node\", \"server.js\"]"), "{why}");
        assert_eq!(why_not(OsStr::new("nodee"), Errno::ENOENT), "not found");
        assert_eq!(
            why_not(OsStr::new("a b"), Errno::EACCES),
            "Permission denied"
        );
    }
}
