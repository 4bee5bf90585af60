//! Errors of Ruby.

use super::{Opening, behind, is_blank, is_indented, is_logged};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A thread says that it ends with an exception, which follows.
    Thread,
    /// Behind an error of Logger, whose message may have several lines.
    Logged,
    /// Behind the first line of the message. Ruby shows the source behind a blank line, at the margin.
    Message,
    /// In the frames.
    Frames,
}

pub fn open(line: &[u8]) -> Option<(Place, Opening)> {
    if is_thread(line) {
        return Some((Place::Thread, Opening::Own));
    }
    if line.starts_with(b"E, [") || line.starts_with(b"F, [") {
        return Some((Place::Logged, Opening::Own));
    }
    match place(line)? {
        Place::Frames => Some((Place::Frames, Opening::Joins)),
        place => Some((place, Opening::Own)),
    }
}

impl Place {
    pub fn next(self, line: &[u8]) -> Option<Self> {
        if is_thread(line) {
            return None;
        }
        match (self, place(line)) {
            // A message that was raised by itself.
            (Self::Logged, Some(Self::Message)) | (Self::Thread, None) => None,
            // The cause, or the next frame.
            (_, Some(place)) => Some(place),
            (Self::Logged, None) => (!is_logged(line)).then_some(Self::Logged),
            (_, None) if is_from(line) => Some(Self::Frames),
            (Self::Message, None) => (is_blank(line) || !is_logged(line)).then_some(Self::Message),
            (Self::Frames, None) => is_indented(line).then_some(Self::Frames),
        }
    }
}

fn is_thread(line: &[u8]) -> bool {
    line.ends_with(b" terminated with exception (report_on_exception is true):")
}

fn is_from(line: &[u8]) -> bool {
    is_indented(line) && line.trim_ascii_start().starts_with(b"from ")
}

/// What `app.rb:3:in 'name'` at the margin begins: a frame, or an error if a text follows.
fn place(line: &[u8]) -> Option<Place> {
    if is_indented(line) {
        return None;
    }
    let name = behind(line, b":in `").or_else(|| behind(line, b":in '"))?;
    let before = line.len() - name.len() - b":in `".len();
    let number = line.get(..before)?.rsplit(|byte| *byte == b':').next()?;
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let end = memchr::memchr(b'\'', name)?;
    match name.get(end + 1..)? {
        [] => Some(Place::Frames),
        [b':', b' ', ..] => Some(Place::Message),
        _ => None,
    }
}
