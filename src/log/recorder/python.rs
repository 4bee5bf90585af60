//! Tracebacks of Python.

use super::{Opening, is_blank, is_indented, named};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before a traceback: `Exception in thread …`, and what asyncio says of a task.
    Before,
    /// In the frames. A line at the margin is the exception.
    Frames,
    /// In frames that no exception follows: `Stack (most recent call last):`, and groups of exceptions.
    Indented,
    /// Behind the exception.
    Exception,
    /// Behind the exception and a blank line.
    Gap,
    /// Between two chained tracebacks.
    Chained,
}

const FIRST: &[u8] = b"Traceback (most recent call last):";
const STACK: &[u8] = b"Stack (most recent call last):";
const GROUP: &[u8] = b"+ Exception Group Traceback (most recent call last):";
const CHAINS: [&[u8]; 2] = [
    b"During handling of the above exception, another exception occurred:",
    b"The above exception was the direct cause of the following exception:",
];
/// Lines of asyncio between the message and the traceback.
const DETAILS: [&[u8]; 6] = [
    b"future: ",
    b"task: ",
    b"handle: ",
    b"protocol: ",
    b"transport: ",
    b"source_traceback: ",
];

pub fn open(line: &[u8]) -> Option<(Place, Opening)> {
    if let Some(place) = traceback(line) {
        let opening = match place {
            Place::Indented if line == STACK => Opening::Joins,
            _ => Opening::BehindMessage,
        };
        return Some((place, opening));
    }
    let before = line.starts_with(b"Exception in thread ")
        || line.starts_with(b"Exception ignored in: ")
        || line.ends_with(b" exception was never retrieved")
        || super::behind(line, b"Exception in callback ").is_some();
    before.then_some((Place::Before, Opening::Own))
}

/// The place behind the first line of a traceback.
fn traceback(line: &[u8]) -> Option<Place> {
    let text = line.trim_ascii_start();
    if line == FIRST || (is_indented(line) && text.starts_with(b"File \"")) {
        // A SyntaxError begins with its place in the source.
        return Some(Place::Frames);
    }
    (line == STACK || text == GROUP).then_some(Place::Indented)
}

impl Place {
    pub fn next(self, line: &[u8]) -> Option<Self> {
        match self {
            Self::Before => match traceback(line) {
                None => DETAILS
                    .iter()
                    .any(|detail| line.starts_with(detail))
                    .then_some(Self::Before),
                place => place,
            },
            Self::Frames if is_indented(line) => Some(Self::Frames),
            Self::Frames => named(line).map(|_| Self::Exception),
            Self::Indented if is_indented(line) => Some(Self::Indented),
            Self::Exception if is_indented(line) => Some(Self::Exception),
            Self::Indented | Self::Exception => is_blank(line).then_some(Self::Gap),
            Self::Gap => CHAINS.contains(&line).then_some(Self::Chained),
            Self::Chained if is_blank(line) => Some(Self::Chained),
            Self::Chained => traceback(line),
        }
    }
}
