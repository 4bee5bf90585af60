use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::page::{MOST, ask, packed};
use crate::checks::testing::{Group, PATIENCE, request, reset_at_the_end, send};

/// What the worker of a case does with the next client.
#[derive(Clone, Debug, Default)]
struct Script {
    bytes: Vec<u8>,
    pieces: Vec<usize>,
    reset: bool,
}

impl Script {
    fn perform(&self, stream: &TcpStream) {
        stream.set_nodelay(true).unwrap();
        request(stream);
        let mut rest = &self.bytes[..];
        for piece in &self.pieces {
            let (now, behind) = rest.split_at((*piece).min(rest.len()));
            send(stream, now);
            rest = behind;
        }
        send(stream, rest);
        if self.reset {
            reset_at_the_end(stream);
        }
    }
}

/// An answer with this page; the flag says whether its end is marked.
fn answer_with(
    page: &[u8],
    gzip: bool,
    interim: bool,
    chunks: Option<&[usize]>,
    length: bool,
) -> (Vec<u8>, bool) {
    let sent = if gzip { packed(page) } else { page.to_vec() };
    let mut answer = Vec::new();
    if interim {
        answer.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n");
    }
    answer.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n");
    if gzip {
        answer.extend_from_slice(b"Content-Encoding: gzip\r\n");
    }
    if let Some(chunks) = chunks {
        answer.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        let mut rest = &sent[..];
        let mut sizes = chunks.iter().cycle();
        while !rest.is_empty() {
            let (now, behind) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            answer.extend_from_slice(format!("{:x}\r\n", now.len()).as_bytes());
            answer.extend_from_slice(now);
            answer.extend_from_slice(b"\r\n");
            rest = behind;
        }
        answer.extend_from_slice(b"0\r\n\r\n");
    } else {
        if length {
            answer.extend_from_slice(format!("Content-Length: {}\r\n", sent.len()).as_bytes());
        }
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(&sent);
    }
    (answer, gzip || length || chunks.is_some())
}

/// However an answer is cut, the result is the whole page or none. Only a plain page without a marked end may appear to
/// end after an earlier line.
#[test]
fn a_part_of_a_page_is_never_taken_for_it() {
    let group = Group::new();
    let script = Arc::new(Mutex::new(Script::default()));
    let now = Arc::clone(&script);
    group.work(2, move |stream| {
        let script = now.lock().unwrap().clone();
        script.perform(&stream);
    });
    let cases = (
        prop::collection::vec("[a-z]{1,20} [0-9]{1,9}", 1..200),
        any::<(bool, bool, bool, bool)>(),
        prop::option::of(prop::collection::vec(1_usize..300, 1..5)),
        prop::option::weighted(0.8, any::<prop::sample::Index>()),
        prop::collection::vec(1_usize..2000, 0..8),
    );
    let mut runner = proptest::test_runner::TestRunner::default();
    let outcome = runner.run(&cases, |(lines, flags, chunks, cut, pieces)| {
        let (gzip, interim, length, reset) = flags;
        let page = (lines.join("\n") + "\n").into_bytes();
        let (bytes, marked) = answer_with(&page, gzip, interim, chunks.as_deref(), length);
        let end = cut.map_or(bytes.len(), |cut| cut.index(bytes.len()));
        *script.lock().unwrap() = Script {
            bytes: bytes[..end].to_vec(),
            pieces,
            reset,
        };
        match ask(&group, PATIENCE, MOST) {
            Ok(got) if marked => prop_assert_eq!(got.body, page),
            Ok(got) => {
                prop_assert!(page.starts_with(&got.body) && got.body.ends_with(b"\n"));
                prop_assert!(cut.is_some() || got.body == page);
            }
            Err(fault) => prop_assert!(cut.is_some() || reset, "{}", fault),
        }
        Ok(())
    });
    outcome.unwrap();
}
