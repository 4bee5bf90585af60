//! A worker's line as JSON: wrapped, or with members added.

use std::io::Write;

use memchr::memchr2;

use super::escape;
use super::object::{MEMBERS, Object};
use crate::log::Stream;
use crate::log::level::LineLevel;
use crate::model::{Generation, Pid, SlotId};

/// The part that is the same for all lines of one stream, escaped once.
#[derive(Clone, Debug)]
pub struct Labels {
    /// `"app":"web"` and so on, one each, in the order of [`Object::has`] without the time.
    members: [Vec<u8>; MEMBERS - 1],
    /// All of them, joined by commas. Text and most objects get all.
    all: Vec<u8>,
    /// `0-17-stdout-`; the number of the cut line follows.
    partial_id: Vec<u8>,
}

impl Labels {
    /// The labels of one stream of one worker.
    pub fn new(app: &str, slot: SlotId, generation: Generation, pid: Pid, stream: Stream) -> Self {
        // The numbers of cut lines are counted for each source of lines.
        let (stream, source) = match stream {
            Stream::Stdout => ("stdout", "stdout"),
            Stream::Stderr => ("stderr", "stderr"),
            Stream::Events => ("stdout", "events"),
        };
        let mut name = b"\"app\":\"".to_vec();
        escape::text(&mut name, app);
        name.push(b'"');
        let members = [
            name,
            format!("\"worker\":{slot}").into_bytes(),
            format!("\"generation\":{generation}").into_bytes(),
            format!("\"pid\":{pid}").into_bytes(),
            format!("\"stream\":\"{stream}\"").into_bytes(),
        ];
        let all = members.join(&b',');
        Self {
            members,
            all,
            partial_id: format!("{slot}-{pid}-{source}-").into_bytes(),
        }
    }
}

/// Which piece of a cut line this is, with Docker's member names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Number of the piece, from 1.
    pub ordinal: u32,
    /// This is the last piece.
    pub last: bool,
    /// Number of the cut line in this stream; the same for all its pieces.
    pub id: u64,
    /// The level of the cut line, which its first piece names.
    pub level: Option<LineLevel>,
}

/// Appends one object and a newline. The text is `head` followed by `body`, without the final newline. A carriage return
/// before that newline is no part of the message. If `time` is empty, there is no `time` member.
pub fn line(
    out: &mut Vec<u8>,
    labels: &Labels,
    time: &[u8],
    head: &[u8],
    body: &[u8],
    partial: Option<Partial>,
) {
    let joined;
    let text = if head.is_empty() {
        body
    } else {
        // A character or an object may begin in `head` and end in `body`. This happens at most once in a read.
        joined = [head, body].concat();
        &joined
    };
    let ends_here = partial.is_none_or(|piece| piece.last);
    let text = match text.strip_suffix(b"\r") {
        Some(shorter) if ends_here => shorter,
        _ => text,
    };
    out.reserve(text.len() + labels.all.len() + time.len() + 64);
    match partial {
        None => match Object::read(text) {
            Some(object) => enriched(out, labels, time, &object),
            None => wrapped(out, labels, time, LineLevel::of(text), text, None),
        },
        Some(piece) => wrapped(out, labels, time, piece.level, text, partial),
    }
}

fn wrapped(
    out: &mut Vec<u8>,
    labels: &Labels,
    time: &[u8],
    level: Option<LineLevel>,
    text: &[u8],
    partial: Option<Partial>,
) {
    out.push(b'{');
    if !time.is_empty() {
        member_time(out, time);
        out.push(b',');
    }
    if let Some(level) = level {
        out.extend_from_slice(level.member().as_bytes());
    }
    out.extend_from_slice(&labels.all);
    out.push(b',');
    if let Some(Partial {
        ordinal, last, id, ..
    }) = partial
    {
        out.extend_from_slice(b"\"partial_id\":\"");
        out.extend_from_slice(&labels.partial_id);
        // Writing to a Vec does not fail.
        let _ = write!(
            out,
            "{id}\",\"partial_ordinal\":{ordinal},\"partial_last\":{last},"
        );
    }
    out.extend_from_slice(b"\"message\":\"");
    escape::bytes(out, text);
    out.extend_from_slice(b"\"}\n");
}

fn enriched(out: &mut Vec<u8>, labels: &Labels, time: &[u8], object: &Object<'_>) {
    one_line(out, object.open.as_bytes());
    let mut filled = object.filled;
    let mut comma = |out: &mut Vec<u8>| {
        if filled {
            out.push(b',');
        }
        filled = true;
    };
    let [has_time, has @ ..] = object.has;
    if !has_time && !time.is_empty() {
        comma(out);
        member_time(out, time);
    }
    if has == [false; MEMBERS - 1] {
        comma(out);
        out.extend_from_slice(&labels.all);
    } else {
        let missing = labels.members.iter().zip(has).filter(|(_, has)| !has);
        for (member, _) in missing {
            comma(out);
            out.extend_from_slice(member);
        }
    }
    out.extend_from_slice(b"}\n");
}

/// Appends `"time":"…"`. A pattern may produce any text, quotes too.
fn member_time(out: &mut Vec<u8>, time: &[u8]) {
    out.extend_from_slice(b"\"time\":\"");
    escape::bytes(out, time);
    out.push(b'"');
}

/// Appends an object that was joined from several lines, without its line breaks. Strings contain none, because there
/// they must be escaped; between tokens they are white space.
fn one_line(out: &mut Vec<u8>, mut object: &[u8]) {
    while let Some(at) = memchr2(b'\n', b'\r', object) {
        let (run, rest) = object.split_at(at);
        out.extend_from_slice(run);
        object = rest.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(object);
}
