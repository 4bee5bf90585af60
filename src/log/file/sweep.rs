//! One pass over the rotated files of one log file: removes old files, compresses one.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::event::FileError;
use super::gzip::gzip;
use super::name::{Form, Turn, parse, plan};

/// The file and the reason of a failure.
pub type SweepError = (PathBuf, FileError);

/// Result of a pass.
#[derive(Debug)]
pub struct Swept {
    /// The first failure to remove a file.
    pub removed: Result<(), SweepError>,
    /// The result of compression, if a file was due.
    pub packed: Option<Result<(), SweepError>>,
    /// More files must be compressed.
    pub again: bool,
}

/// Processes the rotated files of `path`. Touches only regular files with our names. Each pass compresses one file, so
/// that the disk space of a fast writer stays bounded and other log files get their turn.
pub fn sweep(path: &Path, retain: Option<usize>, compress: bool) -> Swept {
    let base = path.file_name().unwrap_or_default();
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = parent.unwrap_or(Path::new("."));
    let found = match list(dir, base) {
        Ok(found) => found,
        // The whole directory was removed meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            return Swept {
                removed: Err((dir.to_owned(), error.into())),
                packed: None,
                again: false,
            };
        }
    };
    let plan = plan(&found, retain, compress);
    let named = |turn: Turn, form| dir.join(turn.file_name(base, form));
    let mut removed = Ok(());
    for (turn, form) in plan.remove {
        let path = named(turn, form);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                removed = removed.and(Err((path, error.into())));
            }
            _ => {}
        }
    }
    let packed = plan.pack.first().map(|&turn| {
        let original = named(turn, Form::Plain);
        let done = gzip(
            &original,
            &named(turn, Form::Unfinished),
            &named(turn, Form::Packed),
        );
        done.map_err(|error| (original, error.into()))
    });
    Swept {
        again: plan.pack.len() > 1 && matches!(packed, Some(Ok(()))),
        removed,
        packed,
    }
}

fn list(dir: &Path, base: &OsStr) -> io::Result<Vec<(Turn, Form)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(name) = parse(base, &entry.file_name())
            && entry.file_type().is_ok_and(|kind| kind.is_file())
        {
            found.push(name);
        }
    }
    Ok(found)
}
