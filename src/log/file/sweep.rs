//! One pass over the rotated files of one name: what is beyond those to keep goes, one is packed.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::gzip::gzip;
use super::name::{Form, Turn, parse, plan};
use super::note::Why;

/// What could not be done with which file.
pub type Fault = (PathBuf, Why);

/// How a pass ended.
#[derive(Debug)]
pub struct Swept {
    /// The first that could not be removed.
    pub removed: Result<(), Fault>,
    /// The one that was to be packed, if there was one.
    pub packed: Option<Result<(), Fault>>,
    /// There is more to pack.
    pub again: bool,
}

/// Looks at what lies beside `path`. Only regular files with names of ours are touched. One file is packed in a pass, so
/// that the space of a fast writer is bounded, and other files of ours have their turns.
pub fn sweep(path: &Path, retain: Option<usize>, compress: bool) -> Swept {
    let base = path.file_name().unwrap_or_default();
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = parent.unwrap_or(Path::new("."));
    let found = match list(dir, base) {
        Ok(found) => found,
        // Somebody was faster, and thorough.
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
