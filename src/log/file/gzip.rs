//! Compresses one rotated file: first next to it, then in its place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::fcntl::OFlag;

use super::open::NO_WAIT;

/// Bytes in one read; the buffers of the compressor have a similar size.
const BUFFER: usize = 32 * 1024;

/// Compresses `original` to `unfinished`, renames that to `finished` and removes the original. If an error occurs, the
/// original stays. There is no fsync, as for the log itself; the original is removed last.
pub fn gzip(original: &Path, unfinished: &Path, finished: &Path) -> io::Result<()> {
    let done = pack(original, unfinished).and_then(|()| fs::rename(unfinished, finished));
    match done {
        Ok(()) => fs::remove_file(original),
        Err(error) => {
            // The file may not exist; the next sweep looks for it again.
            let _ = fs::remove_file(unfinished);
            Err(error)
        }
    }
}

fn pack(original: &Path, unfinished: &Path) -> io::Result<()> {
    let flags = NO_WAIT.union(OFlag::O_NOFOLLOW).bits();
    let mut source = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(original)?;
    let meta = source.metadata()?;
    let target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(unfinished)?;
    let mut encoder = GzEncoder::new(target, Compression::default());
    let mut buffer = vec![0; BUFFER];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => encoder.write_all(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let target: File = encoder.finish()?;
    target.set_permissions(meta.permissions())?;
    // Only a convenience: `ls -t` then shows the order of the rotations.
    let _ = meta.modified().and_then(|time| target.set_modified(time));
    Ok(())
}

#[cfg(test)]
mod tests;
