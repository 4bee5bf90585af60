use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use tokio::io::Interest;

use super::page::{MOST, answered, ask, body, failed, late, packed, told, with};
use crate::app_metrics::fetch::FetchError;
use crate::app_metrics::fetch::error::Redirect;
use crate::app_metrics::fetch::page::{fetch, request as asked_for};
use crate::checks::client::Connection;
use crate::checks::client::Deadline;
use crate::checks::testing::{
    Group, PATIENCE, SHORT, block_on, request, reset_at_the_end, rest, send,
};
use crate::checks::{Failure, Step};
use crate::sys::clock::Clock;

fn garbled(rule: &str) -> FetchError {
    FetchError::Garbled(rule.to_owned())
}

#[test]
fn what_cannot_be_unpacked_is_no_page() {
    let good = packed(b"a 1\nb 2\n");
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        bytes
    };
    let corrupt = "corrupt gzip stream does not have a matching checksum";
    let end = good.len();
    for (sent, expected) in [
        // The length is right, so the connection was not cut.
        (good[..end - 9].to_vec(), FetchError::Cut),
        (good[..end - 1].to_vec(), FetchError::Packed(corrupt.into())),
        (Vec::new(), FetchError::Cut),
        (changed(end - 1), FetchError::Packed(corrupt.into())),
        (changed(end - 8), FetchError::Packed(corrupt.into())),
        (
            changed(0),
            FetchError::Packed("invalid gzip header".to_owned()),
        ),
        (
            [good.clone(), b"some more than that".to_vec()].concat(),
            FetchError::Packed("invalid gzip header".to_owned()),
        ),
        (
            b"a 1\nb 2\na 1\nb 2\na 1\nb 2\n".to_vec(),
            FetchError::Packed("invalid gzip header".to_owned()),
        ),
    ] {
        let shown = sent.escape_ascii().to_string();
        let got = body(with("Content-Encoding: gzip\r\n", &sent));
        assert_eq!(got, Err(expected), "{shown}");
    }
    for (encoding, shown) in [
        ("br", "br"),
        ("gzip, gzip", "gzip, gzip"),
        ("zstd\u{e9}", "zstd\\xc3\\xa9"),
    ] {
        let lines = format!("Content-Encoding: {encoding}\r\n");
        let expected = FetchError::Encoding(shown.to_owned());
        assert_eq!(body(with(&lines, &good)), Err(expected));
    }
}

#[test]
fn a_page_is_not_longer_than_it_may_be() {
    let size = 50_000;
    let page = vec![b'a'; size];
    let bomb = packed(&vec![0; 20 << 20]);
    let chunked = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc350\r\n",
        &page[..],
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let gzip = "Content-Encoding: gzip\r\n";
    let answers = [with("", &page), with(gzip, &packed(&page)), chunked];
    let bounded = |most, answer: &[u8]| {
        let answer = answer.to_vec();
        told(PATIENCE, most, move |stream| {
            request(&stream);
            send(&stream, &answer);
        })
    };
    for answer in answers {
        assert_eq!(bounded(size, &answer).unwrap().body, page);
        let most = size - 1;
        assert_eq!(bounded(most, &answer), Err(FetchError::TooLong { most }));
    }
    let most = 1 << 20;
    assert!(bomb.len() < most);
    let fault = bounded(most, &with(gzip, &bomb));
    assert_eq!(fault, Err(FetchError::TooLong { most }));
    // The compressed length counts too.
    let (page, most) = (packed(b"a 1\n"), 10);
    let fault = bounded(most, &with(gzip, &page));
    assert_eq!(fault, Err(FetchError::TooLong { most }));
}

#[test]
fn a_page_may_come_line_by_line_and_not_letter_by_letter() {
    let pieces = |line: &'static str, times: usize| {
        told(PATIENCE, MOST, move |mut stream| {
            request(&stream);
            send(
                &stream,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            );
            let piece = format!("{:x}\r\n{line}\r\n", line.len());
            // The connection may be cut.
            let _ = stream.write_all(piece.repeat(times).as_bytes());
            let _ = stream.write_all(b"0\r\n\r\n");
        })
    };
    let line = "http_requests_total{code=\"200\"} 123456\n";
    let page = pieces(line, 60_000).unwrap();
    assert_eq!(page.body.len(), 60_000 * line.len());
    assert_eq!(pieces("a", 50_000).unwrap().body.len(), 50_000);
    assert_eq!(pieces("a", 60_000), Err(FetchError::Crumbs));
}

#[test]
fn a_length_beyond_the_bound_is_not_waited_for() {
    let (heard, hear) = mpsc::channel();
    for length in [MOST + 1, usize::MAX - 2] {
        let heard = heard.clone();
        let fault = told(PATIENCE, MOST, move |stream| {
            request(&stream);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            send(&stream, answer);
            heard.send(rest(&stream).unwrap()).unwrap();
        });
        assert_eq!(fault, Err(FetchError::TooLong { most: MOST }));
        assert_eq!(hear.recv().unwrap(), 0);
    }
}

#[test]
fn endless_answers_are_ended() {
    let endless = |begin: &'static str, piece: &'static str| {
        let most = 200_000;
        told(PATIENCE, most, move |mut stream| {
            request(&stream);
            send(&stream, begin);
            let piece = piece.repeat(100);
            while stream.write_all(piece.as_bytes()).is_ok() {}
        })
    };
    let too_long = Err(FetchError::TooLong { most: 200_000 });
    assert_eq!(endless("HTTP/1.1 200 OK\r\n\r\n", "a 1\n"), too_long);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(endless(chunked, "4\r\na 1\n\r\n"), too_long);
    assert_eq!(endless(chunked, "ffffff\r\n"), too_long);
    let extension = garbled("chunk extensions over limit");
    let begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;";
    assert_eq!(endless(begin, "a=b;"), Err(extension));
    let begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    let outcome = endless(begin, "a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n");
    assert!(
        matches!(&outcome, Err(FetchError::Garbled(rule)) if rule.starts_with("chunk trailers")),
        "{outcome:?}"
    );
    let head = Err(FetchError::Head);
    assert_eq!(endless("HTTP/1.1 200 OK\r\nA: ", "b"), head);
    assert_eq!(endless("HTTP/1.1 200 OK\r\n", "A: b\r\n"), head);
    let status = Err(failed(Failure::TooLong));
    assert_eq!(endless("HTTP/1.1 200 O", "K"), status);
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(endless(interim, interim), status);
    // Too many lines or too many bytes, whichever is noticed first.
    let outcome = endless("HTTP/1.1 100 Continue\r\n", "A: b\r\n");
    assert!(outcome == head || outcome == status, "{outcome:?}");
}

#[test]
fn what_is_not_http_is_no_page() {
    // The worker sends first and waits.
    let banner = told(PATIENCE, MOST, |stream| {
        send(&stream, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
        let _ = rest(&stream);
    });
    let shown = "SSH-2.0-OpenSSH_9.2p1 Debian-2\\r\\n";
    assert_eq!(banner, Err(failed(Failure::NotHttp(shown.to_owned()))));
    for (answer, rule) in [
        ("HTTP/1.7 200 OK\r\n\r\n", "invalid HTTP version parsed"),
        (
            "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
            "invalid HTTP header parsed",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\na 1\n",
            "invalid content-length parsed",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\na 1\n",
            "invalid content-length parsed",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 3\r\n\r\na 1\n",
            "invalid content-length parsed",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na 1\n",
            "Invalid chunk size linear white space",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na 1\n\r\n0\r\n\r\n",
            "Invalid chunk body CR",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\na 1\n\r\n0\r\n\r\n",
            "Invalid chunk size line: missing size digit",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\na 1\n",
            "invalid chunk size: overflow",
        ),
    ] {
        assert_eq!(answered(answer), Err(garbled(rule)), "{answer}");
    }
}

#[test]
fn a_page_that_was_cut_off_is_none() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\na 1\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\n",
        // Cut in the middle of a line, or before the first line.
        "HTTP/1.1 200 OK\r\n\r\na 1\nb 2",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        assert_eq!(answered(answer), Err(FetchError::Cut), "{answer}");
    }
    for nothing in ["", "HTTP/1.1 20", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let closed = Err(failed(Failure::Closed));
        assert_eq!(answered(nothing), closed, "{nothing}");
    }
    let reset = |answer: &'static str, fault: FetchError| {
        let outcome = told(PATIENCE, MOST, move |stream| {
            request(&stream);
            send(&stream, answer);
            reset_at_the_end(&stream);
        });
        assert_eq!(outcome, Err(fault), "{answer}");
    };
    reset("", failed(Failure::Reset));
    reset("HTTP/1.1 2", failed(Failure::Reset));
    reset("HTTP/1.1 200 OK\r\nA: b\r\n", FetchError::Cut);
    reset("HTTP/1.1 200 OK\r\n\r\na 1\n", FetchError::Cut);
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\na 1\n";
    reset(part, FetchError::Cut);
}

#[test]
fn a_worker_that_takes_too_long_is_out_of_time() {
    assert_eq!(ask(&Group::new(), SHORT, MOST), Err(late(Step::Answer)));
    let drip = |begin: &'static str, piece: &'static str| {
        told(SHORT, MOST, move |stream| {
            stream.set_nodelay(true).unwrap();
            request(&stream);
            stream.set_read_timeout(Some(SHORT / 20)).unwrap();
            send(&stream, begin);
            // Until it sees that we closed.
            while let Err(error) = rest(&stream) {
                if error.kind() != std::io::ErrorKind::WouldBlock {
                    break;
                }
                send(&stream, piece);
            }
        })
    };
    assert_eq!(drip("HTTP/1.1 200 O", "K"), Err(late(Step::Answer)));
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(drip(interim, interim), Err(late(Step::Answer)));
    let head = "HTTP/1.1 200 OK\r\n";
    assert_eq!(drip(head, "A: b\r\n"), Err(late(Step::Answer)));
    let close = "HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(drip(close, "a 1\n"), Err(late(Step::Page)));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(drip(chunked, "1\r\na\r\n"), Err(late(Step::Page)));
    let trailers = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    assert_eq!(drip(trailers, "A: b\r\n"), Err(late(Step::Page)));
}

#[test]
fn a_fault_is_one_short_line() {
    let hostile = "\r\nrpm_ready 1\n\u{1b}[2J".repeat(100);
    let mut faults = vec![
        Redirect::new(302, hostile.as_bytes()).into(),
        FetchError::encoding(hostile.as_bytes()),
    ];
    for answer in [
        hostile.clone(),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}\r\n\r\n",
            hostile.trim()
        ),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {hostile}\r\n\r\n"),
        format!(
            "HTTP/1.1 302 {}\r\nLocation: {}\r\n\r\n",
            "x".repeat(999),
            "é\t".repeat(999)
        ),
    ] {
        faults.push(answered(answer).unwrap_err());
    }
    for fault in faults {
        let text = fault.to_string();
        assert!(text.is_ascii() && text.len() < 400, "{text}");
        assert!(!text.contains(|letter: char| letter.is_control()), "{text}");
    }
}

/// The answer arrives before the request is sent; in the second round the worker is already gone.
#[test]
fn an_answer_is_heard_though_the_request_is_not() {
    for (gone, seen) in [(false, Interest::READABLE), (true, Interest::ERROR)] {
        let group = Group::new();
        let worker = group.accepting(2);
        let outcome = block_on(async {
            let deadline = Deadline::new(PATIENCE);
            let target = group.target(2);
            let request = asked_for(target, "/", PATIENCE).unwrap();
            let mut connection = Connection::open(target, &deadline).await.unwrap();
            let (client, _) = worker.accept().unwrap();
            send(&client, with("", b"a 1\n"));
            let client = if gone {
                reset_at_the_end(&client);
                drop(client);
                None
            } else {
                Some(client)
            };
            connection.stream().ready(seen).await.unwrap();
            let outcome = fetch(&mut connection, request, &deadline, MOST).await;
            drop(client);
            outcome
        });
        assert_eq!(outcome.unwrap().body, b"a 1\n", "{gone}");
    }
}

#[test]
fn the_worker_may_end_first() {
    let (heard, hear) = mpsc::channel();
    let group = Group::new();
    group.work(2, move |stream| {
        let clock = Clock::start();
        request(&stream);
        let wait = Some(Duration::from_millis(20));
        stream.set_read_timeout(wait).unwrap();
        let begun = clock.now();
        send(&stream, with("", b"a 1\n"));
        let left = rest(&stream).is_ok();
        heard.send((left, clock.now().since(begun))).unwrap();
    });
    // The wait is limited, and this machine may be slow.
    let left = loop {
        assert_eq!(ask(&group, PATIENCE, MOST).unwrap().body, b"a 1\n");
        let (left, took) = hear.recv().unwrap();
        if took < Duration::from_millis(150) {
            break left;
        }
    };
    assert!(!left);
}
