//! Output formats of worker lines (RPM_LOG_FORMAT).

use std::borrow::Cow;

use memchr::memchr;

use super::handle::WorkerLabel;
use super::json::{self, Labels, Partial};
use super::level::LineLevel;
use super::line::Block;
use super::{Format, Stream, paint};

/// The format of one stream's lines.
#[derive(Debug)]
pub enum Formatter {
    Raw,
    Prefix {
        /// `[name:slot] `
        first: Box<[u8]>,
        /// `[name:slot+] `, for the further pieces of a cut line.
        continued: Box<[u8]>,
    },
    Json {
        labels: Box<Labels>,
        /// Number of cut lines so far; below: number of pieces of the present one.
        cut: u64,
        pieces: u32,
        /// Its level.
        level: Option<LineLevel>,
    },
}

impl Formatter {
    pub fn new(
        format: Format,
        app: &str,
        colour: bool,
        worker: WorkerLabel,
        stream: Stream,
    ) -> Self {
        let WorkerLabel {
            slot,
            generation,
            pid,
        } = worker;
        match format {
            Format::Raw => Self::Raw,
            Format::Prefix => {
                let label = |mark: &str| {
                    let plain = format!("[{app}:{slot}{mark}]");
                    let label = if colour {
                        paint::slot(slot, &plain)
                    } else {
                        plain
                    };
                    format!("{label} ").into_bytes().into()
                };
                Self::Prefix {
                    first: label(""),
                    continued: label("+"),
                }
            }
            Format::Json => Self::Json {
                labels: Box::new(Labels::new(app, slot, generation, pid, stream)),
                cut: 0,
                pieces: 0,
                level: None,
            },
        }
    }

    /// Appends the formatted lines of `block` and returns their number. In raw format the lines stay as they are, and
    /// `out` stays empty.
    pub fn format(&mut self, block: Block<'_>, time: &[u8], out: &mut Vec<u8>) -> u64 {
        match self {
            Self::Raw => block.count(),
            Self::Prefix { first, continued } => {
                let label = if block.continued { continued } else { first };
                prefixed(block, label, time, out)
            }
            Self::Json {
                labels,
                cut,
                pieces,
                level,
            } => {
                if !block.partial && !block.continued {
                    return objects(block, labels, time, out);
                }
                if !block.continued {
                    *cut += 1;
                    *pieces = 0;
                    *level = LineLevel::of_two(block.head, block.body);
                }
                *pieces += 1;
                let partial = Partial {
                    ordinal: *pieces,
                    last: !block.partial,
                    id: *cut,
                    level: *level,
                };
                let (head, text) = (block.head, unended(block.body));
                if block.joined {
                    json::line(
                        out,
                        labels,
                        time,
                        head,
                        &with_unix_lines(text),
                        Some(partial),
                    );
                } else {
                    json::line(out, labels, time, head, text, Some(partial));
                }
                1
            }
        }
    }
}

fn prefixed(block: Block<'_>, label: &[u8], time: &[u8], out: &mut Vec<u8>) -> u64 {
    let space: &[u8] = if time.is_empty() { b"" } else { b" " };
    let mut lines = 0;
    for [head, line] in block.lines() {
        for part in [time, space, label, head, line] {
            out.extend_from_slice(part);
        }
        lines += 1;
    }
    lines
}

fn objects(block: Block<'_>, labels: &Labels, time: &[u8], out: &mut Vec<u8>) -> u64 {
    let mut put = |head, body| json::line(out, labels, time, head, unended(body), None);
    if block.joined {
        put(block.head, &with_unix_lines(block.body));
        return 1;
    }
    let mut lines = 0;
    for [head, line] in block.lines() {
        put(head, line);
        lines += 1;
    }
    lines
}

/// Removes the newline at the end.
fn unended(body: &[u8]) -> &[u8] {
    body.strip_suffix(b"\n").unwrap_or(body)
}

/// The lines of a record without the carriage return that some programs write before each newline.
fn with_unix_lines(record: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\r', record).is_none() {
        return Cow::Borrowed(record);
    }
    let lines = record.split(|byte| *byte == b'\n');
    let lines: Vec<&[u8]> = lines
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect();
    Cow::Owned(lines.join(&b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Generation, Pid, SlotId};

    fn formatter(format: Format, colour: bool) -> Formatter {
        let worker = WorkerLabel {
            slot: SlotId(3),
            generation: Generation(1),
            pid: Pid::new(17).unwrap(),
        };
        Formatter::new(format, "web", colour, worker, Stream::Stderr)
    }

    fn text(formatter: &mut Formatter, time: &str, block: Block<'_>) -> (String, u64) {
        let mut out = Vec::new();
        let lines = formatter.format(block, time.as_bytes(), &mut out);
        (String::from_utf8(out).unwrap(), lines)
    }

    #[test]
    fn each_line_has_its_label_and_the_rest_of_a_cut_one_another() {
        let mut formatter = formatter(Format::Prefix, false);
        let block = Block::whole(b"o", b"ne\n\ntwo\n");
        let want = "[web:3] one\n[web:3] \n[web:3] two\n";
        assert_eq!(text(&mut formatter, "", block), (want.to_owned(), 3));
        let rest = Block {
            continued: true,
            ..Block::whole(b"", b"rest\n")
        };
        let want = "12:00 [web:3+] rest\n";
        assert_eq!(text(&mut formatter, "12:00", rest), (want.to_owned(), 1));
    }

    #[test]
    fn a_colour_ends_where_the_text_begins() {
        let mut formatter = formatter(Format::Prefix, true);
        let (line, _) = text(&mut formatter, "", Block::whole(b"", b"x\n"));
        assert_eq!(line, "\u{1b}[34m[web:3]\u{1b}[0m x\n");
    }

    #[test]
    fn a_record_is_one_object_and_lines_are_one_each() {
        let mut formatter = formatter(Format::Json, false);
        let block = Block::whole(b"o", b"ne\ntwo\n");
        let (out, lines) = text(&mut formatter, "", block);
        let messages = |out: &str| -> Vec<String> {
            let objects = out.lines().map(|line| {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                object["message"].as_str().unwrap().to_owned()
            });
            objects.collect()
        };
        assert_eq!(
            (messages(&out), lines),
            (vec!["one".to_owned(), "two".to_owned()], 2)
        );
        let joined = Block {
            joined: true,
            ..block
        };
        let (out, lines) = text(&mut formatter, "", joined);
        assert_eq!((messages(&out), lines), (vec!["one\ntwo".to_owned()], 1));
    }

    #[test]
    fn a_carriage_return_at_the_end_of_a_line_is_no_part_of_a_message() {
        let mut formatter = formatter(Format::Json, false);
        let mut messages = |block: Block<'_>| -> Vec<String> {
            let (out, _) = text(&mut formatter, "", block);
            let objects = out.lines().map(|line| {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                object["message"].as_str().unwrap().to_owned()
            });
            objects.collect()
        };
        let lines = Block::whole(b"one\r", b"\ntwo\r\n\r\na\rb\n");
        assert_eq!(messages(lines), ["one", "two", "", "a\rb"]);
        let record = Block {
            joined: true,
            ..Block::whole(b"", b"one\r\n  two\r\n")
        };
        assert_eq!(messages(record), ["one\n  two"]);
        // A line may be cut between its text and the carriage return, and also before one that is text.
        let piece = |body, continued, partial, joined| Block {
            continued,
            partial,
            joined,
            ..Block::whole(b"", body)
        };
        assert_eq!(messages(piece(b"one\r\n", false, true, false)), ["one\r"]);
        assert_eq!(messages(piece(b"two\r\n", true, false, false)), ["two"]);
        assert_eq!(messages(piece(b"1\r\n2\r\n", false, true, true)), ["1\n2"]);
    }

    #[test]
    fn pieces_of_a_line_are_numbered_and_the_last_says_so() {
        let mut formatter = formatter(Format::Json, false);
        let mut got = Vec::new();
        for _ in 0..2 {
            for (continued, partial) in [(false, true), (true, true), (true, false)] {
                let block = Block {
                    continued,
                    partial,
                    ..Block::whole(b"x", b"\n")
                };
                let object: serde_json::Value =
                    serde_json::from_str(&text(&mut formatter, "", block).0).unwrap();
                let id = object["partial_id"].as_str().unwrap().to_owned();
                let ordinal = object["partial_ordinal"].as_u64().unwrap();
                got.push((id, ordinal, object["partial_last"].as_bool().unwrap()));
            }
        }
        let want = |id: &str| {
            let id = id.to_owned();
            [
                (id.clone(), 1, false),
                (id.clone(), 2, false),
                (id, 3, true),
            ]
        };
        assert_eq!(got, [want("3-17-stderr-1"), want("3-17-stderr-2")].concat());
    }
}
