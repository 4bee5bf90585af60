//! Lines of a connection, within a time and a size.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rpm_runtime::sys::clock::instant;

/// The longest line that is read, in bytes. The longest honest answer is a small part of it.
pub const MOST: usize = 4 << 20;

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// A connection that is read by lines. Nobody at the other end can make it wait longer, or hold more, than is said here.
#[derive(Debug)]
pub struct Lines {
    stream: UnixStream,
    /// What was read, and how much of it was given already.
    held: Vec<u8>,
    given: usize,
}

impl Lines {
    /// Takes a connection that does not wait.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        Ok(Self {
            stream,
            held: Vec::new(),
            given: 0,
        })
    }

    /// Writes a line. Fails with `WouldBlock` after `limit`.
    pub fn send(&mut self, line: &[u8], limit: Duration) -> io::Result<()> {
        let end = instant() + limit;
        let mut rest = line;
        while !rest.is_empty() {
            self.stream.set_write_timeout(Some(left(end)?))?;
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the next line is here already.
    pub fn has_next(&self) -> bool {
        let rest = self.held.get(self.given..).unwrap_or_default();
        rest.contains(&b'\n')
    }

    /// The next line, without its end; `None` at the end of the connection. A line that is cut there is none. Fails with
    /// `WouldBlock` if it is not whole after `limit` (`None`: it may take for ever), and with `InvalidData` if it is longer
    /// than [`MOST`].
    pub fn next(&mut self, limit: Option<Duration>) -> io::Result<Option<Vec<u8>>> {
        let end = limit.map(|limit| instant() + limit);
        let mut searched = self.given;
        loop {
            let fresh = self.held.get(searched..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|byte| *byte == b'\n') {
                let end = searched + at;
                let line = self.held.get(self.given..end).unwrap_or_default();
                let line = line.to_vec();
                self.given = end + 1;
                return Ok(Some(line));
            }
            // Moved only here, once for all lines that were read together.
            self.held.drain(..self.given);
            self.given = 0;
            searched = self.held.len();
            if searched > MOST {
                let text = format!("its answer is longer than {} MiB", MOST >> 20);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            self.stream.set_read_timeout(end.map(left).transpose()?)?;
            self.held.resize(searched + PIECE, 0);
            let room = self.held.get_mut(searched..).unwrap_or_default();
            let read = self.stream.read(room);
            self.held.truncate(searched + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The time until `end`; fails with `WouldBlock` if it is over. The kernel takes no time of zero for a limit.
fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(instant());
    if left.is_zero() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(left.max(Duration::from_micros(1)))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(20);

    fn pair() -> (Lines, UnixStream) {
        let (one, other) = UnixStream::pair().unwrap();
        (Lines::new(one).unwrap(), other)
    }

    #[test]
    fn lines_come_one_by_one_however_they_are_sent() {
        let (mut lines, mut other) = pair();
        other.write_all(b"one\ntwo\nth").unwrap();
        assert_eq!(lines.next(Some(LONG)).unwrap().unwrap(), b"one");
        assert_eq!(lines.next(Some(LONG)).unwrap().unwrap(), b"two");
        other.write_all(b"ree\n\ncut").unwrap();
        drop(other);
        assert_eq!(lines.next(None).unwrap().unwrap(), b"three");
        assert_eq!(lines.next(None).unwrap().unwrap(), b"");
        assert_eq!(lines.next(None).unwrap(), None);
    }

    #[test]
    fn one_who_says_nothing_or_sends_drops_is_not_waited_for() {
        let (mut lines, mut other) = pair();
        let late = lines.next(Some(SHORT)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::WouldBlock);
        // Each byte comes in time, and the line never does.
        let dropping = thread::spawn(move || while other.write_all(b"x").is_ok() {});
        let late = lines.next(Some(SHORT)).unwrap_err();
        assert!(
            matches!(
                late.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::InvalidData
            ),
            "{late}"
        );
        drop(lines);
        dropping.join().unwrap();
    }

    #[test]
    fn one_who_takes_nothing_is_not_waited_for() {
        let (mut lines, _other) = pair();
        let late = lines.send(&vec![b'x'; 16 << 20], SHORT).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_endless_line_is_cut_and_the_longest_one_is_read() {
        let (mut lines, mut other) = pair();
        let sent = thread::spawn(move || {
            let mut line = vec![b'x'; MOST];
            line.push(b'\n');
            other.write_all(&line).unwrap();
            while other.write_all(&line[..PIECE]).is_ok() {}
        });
        assert_eq!(lines.next(None).unwrap().unwrap().len(), MOST);
        let error = lines.next(None).unwrap_err();
        assert_eq!(error.to_string(), "its answer is longer than 4 MiB");
        assert!(lines.held.len() <= MOST + PIECE);
        drop(lines);
        sent.join().unwrap();
    }
}
