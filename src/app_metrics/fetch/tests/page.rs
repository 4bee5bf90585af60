use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::app_metrics::fetch::{FetchError, Fetched, page};
use crate::checks::testing::{Group, PATIENCE, SHORT, block_on, request, rest, resting, send};
use crate::checks::{Failure, Step, Target};

/// Larger than any valid page of these tests.
pub(super) const MOST: usize = 4 << 20;

pub(super) type Outcome = Result<Fetched, FetchError>;

pub(super) fn ask(group: &Group, limit: Duration, most: usize) -> Outcome {
    block_on(page(group.target(2), "/metrics", limit, most))
}

/// The result for a worker that serves in this way.
pub(super) fn told(
    limit: Duration,
    most: usize,
    serve: impl Fn(TcpStream) + Send + 'static,
) -> Outcome {
    let group = Group::new();
    group.work(2, serve);
    ask(&group, limit, most)
}

/// The result for a worker that sends `answer` and closes.
pub(super) fn answered(answer: impl AsRef<[u8]> + Send + 'static) -> Outcome {
    told(PATIENCE, MOST, move |stream| {
        request(&stream);
        send(&stream, &answer);
    })
}

pub(super) fn body(answer: impl AsRef<[u8]> + Send + 'static) -> Result<Vec<u8>, FetchError> {
    answered(answer).map(|page| page.body)
}

pub(super) fn packed(page: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(page).unwrap();
    encoder.finish().unwrap()
}

/// A whole answer with these lines in its head.
pub(super) fn with(lines: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

pub(super) fn failed(failure: Failure) -> FetchError {
    FetchError::Worker(failure)
}

pub(super) fn late(step: Step) -> FetchError {
    failed(Failure::TimedOut { step, limit: SHORT })
}

#[test]
fn exactly_the_one_worker_is_asked() {
    for (addr, v6only) in [("127.0.0.1:0", false), ("[::]:0", false), ("[::1]:0", true)] {
        let group = Group::open(addr, v6only, 4, 64);
        for number in 0..4 {
            group.work(number, move |stream| {
                request(&stream);
                send(&stream, with("", format!("slot {number}\n").as_bytes()));
            });
        }
        for _ in 0..20 {
            let page = ask(&group, PATIENCE, MOST).unwrap();
            assert_eq!(page.body, b"slot 2\n", "{addr}");
        }
    }
}

#[test]
fn the_request_is_a_scrapers() {
    let (heard, hear) = mpsc::channel();
    let group = Group::new();
    group.work(2, move |stream| {
        heard.send(request(&stream)).unwrap();
        send(&stream, with("", b""));
    });
    let asked = page(group.target(2), "/a b?c=<d>", PATIENCE, MOST);
    assert_eq!(block_on(asked).unwrap().body, b"");
    let expected = format!(
        "GET /a%20b?c=%3Cd%3E HTTP/1.1\r\nHost: localhost:{}\r\nUser-Agent: rpm-runtime/{}\r\n\
         Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n\
         Accept-Encoding: gzip\r\nConnection: close\r\nX-Prometheus-Scrape-Timeout-Seconds: 20\r\n\r\n",
        group.key.addr.port(),
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(hear.recv().unwrap(), expected);
    let part = page(group.target(2), "/", Duration::from_millis(9500), MOST);
    assert_eq!(block_on(part).unwrap().body, b"");
    assert!(hear.recv().unwrap().contains("-Seconds: 9.5\r\n"));
}

#[test]
fn every_way_to_say_where_the_page_ends_is_known() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n",
        "HTTP/1.1 200 OK\r\nCONTENT-LENGTH:4\r\nConnection: keep-alive\r\n\r\na 1\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\na 1\n",
        // The second answer was not requested.
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\nHTTP/1.1 200 OK\r\n\r\nb 2\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\na 1\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n03;a=b\r\n 1\n\r\n0\r\nA: b\r\n\r\nrest",
        "HTTP/1.1 200 OK\r\n\r\na 1\n",
        "HTTP/1.0 200 Fine\r\n\r\na 1\n",
        "HTTP/1.1 200\r\nConnection: close\r\n\r\na 1\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\na 1\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n",
    ];
    for answer in answers {
        assert_eq!(body(answer), Ok(b"a 1\n".to_vec()), "{answer}");
    }
    assert_eq!(body("HTTP/1.0 200 OK\r\n\r\n# EOF"), Ok(b"# EOF".to_vec()));
    // The length shows that the page is complete.
    assert_eq!(body(with("", b"a 1")), Ok(b"a 1".to_vec()));
}

#[test]
fn the_content_type_is_as_it_was_sent() {
    let type_of = |lines| answered(with(lines, b"")).unwrap().content_type;
    let text = "text/plain; version=0.0.4";
    let line = "Content-Type: text/plain; version=0.0.4\r\n";
    assert_eq!(type_of(line).as_deref(), Some(text));
    assert_eq!(type_of("Content-Type:\r\n").as_deref(), Some(""));
    assert_eq!(type_of("Content-Type: é\r\n").as_deref(), Some("é"));
    assert_eq!(type_of(""), None);
}

#[test]
fn a_page_may_come_a_byte_at_a_time() {
    for answer in [
        with("Content-Encoding: gzip\r\n", &packed(b"a 1\n")),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n".to_vec(),
    ] {
        let page = told(PATIENCE, MOST, move |stream| {
            stream.set_nodelay(true).unwrap();
            request(&stream);
            for byte in &answer {
                send(&stream, [*byte]);
            }
        });
        assert_eq!(page.unwrap().body, b"a 1\n");
    }
}

#[test]
fn packed_pages_are_unpacked() {
    let page: Vec<u8> = (0..60_000)
        .flat_map(|number| format!("a{{b=\"{number}\"}} {number}\n").into_bytes())
        .collect();
    let whole = packed(&page);
    let (left, right) = page.split_at(12_345);
    let members = [packed(left), packed(b""), packed(right)].concat();
    for (lines, sent) in [
        ("Content-Encoding: gzip\r\n", &whole),
        ("Content-Encoding: X-GZip\r\n", &whole),
        ("Content-Encoding: identity, gzip\r\n", &whole),
        (
            "Content-Encoding: gzip\r\nContent-Encoding: identity\r\n",
            &whole,
        ),
        ("Content-Encoding: gzip\r\n", &members),
        ("Content-Encoding: Identity\r\n", &page),
        ("Content-Encoding:\r\n", &page),
    ] {
        let got = body(with(lines, sent));
        assert!(got == Ok(page.clone()), "{lines}: {:?}", got.err());
    }
    let to_the_close = b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
    let got = body([to_the_close, members].concat());
    assert!(got == Ok(page), "{:?}", got.err());
}

#[test]
fn every_status_but_200_is_no_page() {
    for (status, failure) in [
        ("204 No Content", 204),
        ("206 Part", 206),
        ("503 Sick", 503),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\na 1\n");
        assert_eq!(answered(answer), Err(failed(Failure::Status(failure))));
    }
    let other = answered("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\na 1\n");
    assert_eq!(other, Err(failed(Failure::Status(101))));
    let lost = answered("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap_err();
    assert_eq!(lost, failed(Failure::Status(404)));
    let hint = "RPM_APP_METRICS has to name the path of the metrics";
    assert_eq!(lost.to_string(), format!("status 404: {hint}"));
    let nowhere = answered("HTTP/1.1 304 Not Modified\r\n\r\n").unwrap_err();
    assert_eq!(
        nowhere.to_string(),
        format!("status 304: a redirect that names no other path; {hint}")
    );
}

#[test]
fn a_port_that_speaks_tls_is_known_for_it() {
    let instead = "RPM_APP_METRICS can name a plain port as :PORT/path, or be multiproc";
    let seen = |answer: &'static [u8]| answered(answer).unwrap_err().to_string();
    assert_eq!(
        seen(b"\x15\x03\x01\x00\x02\x02\x46"),
        format!(
            "the answer is not HTTP: \"\\x15\\x03\\x01\\x00\\x02\\x02F\": the port speaks TLS; {instead}"
        )
    );
    let byte = answered(b"\x15");
    assert_eq!(
        byte,
        Err(FetchError::Tls(Failure::NotHttp("\\x15".to_owned())))
    );
    for told in [
        &b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"[..],
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 63\r\n\r\n\
          <center>The plain HTTP request was sent to HTTPS port</center>\n",
    ] {
        let expected = format!("status 400: the port speaks TLS; {instead}");
        assert_eq!(seen(told), expected);
    }
    // As OpenSSL answers.
    assert_eq!(
        seen(b""),
        format!("it closed the connection without an answer; if the port speaks TLS: {instead}")
    );
    // Other answers that look similar.
    for other in ["\\x15\\x03", "\x15\x02", "\x14\x03"] {
        let outcome = answered(other);
        assert!(
            matches!(outcome, Err(FetchError::Worker(Failure::NotHttp(_)))),
            "{outcome:?}"
        );
    }
    let bad = answered("HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nno such thing");
    assert_eq!(bad, Err(failed(Failure::Status(400))));
    // The rest is not waited for.
    let open = told(PATIENCE, MOST, |stream| {
        request(&stream);
        send(&stream, "HTTP/1.1 400 Bad Request\r\n\r\nbecause");
        let _ = rest(&stream);
    });
    assert_eq!(open, Err(failed(Failure::Status(400))));
}

#[test]
fn a_full_queue_is_no_connection() {
    let group = Group::open("127.0.0.1:0", false, 4, 1);
    let _crowd = group.crowd(2, 2);
    assert_eq!(ask(&group, SHORT, MOST), Err(late(Step::Connect)));
}

#[test]
fn what_is_our_fault_is_not_the_workers() {
    // A port that no other test uses.
    let source_port = 64_901;
    let worker = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target {
        addr: worker.local_addr().unwrap(),
        source_port,
    };
    let _blocker = TcpListener::bind(("0.0.0.0", source_port)).unwrap();
    let fault = block_on(page(target, "/", PATIENCE, MOST)).unwrap_err();
    assert!(fault.is_ours());
    assert_eq!(
        fault.to_string(),
        "not asked: cannot use source port 64901: Address already in use"
    );
    let long = format!("/{}", "a".repeat(70_000));
    let fault = block_on(page(target, &long, PATIENCE, MOST)).unwrap_err();
    assert!(fault.is_ours(), "{fault}");
    let gone = Group::new();
    let target = gone.target(2);
    drop(gone);
    let refused = block_on(page(target, "/", PATIENCE, MOST)).unwrap_err();
    assert!(!refused.is_ours());
    assert_eq!(refused.to_string(), "connection refused");
}

/// With IPv6 there is only one source address: a connection in TIME_WAIT might block the next page.
#[test]
fn pages_follow_each_other_and_leave_without_a_reset() {
    let (heard, hear) = mpsc::channel();
    for (addr, v6only) in [("127.0.0.1:0", false), ("[::1]:0", true)] {
        for keeps in [true, false] {
            let group = Group::open(addr, v6only, 4, 64);
            let heard = heard.clone();
            group.work(2, move |stream| {
                request(&stream);
                send(&stream, with("", b"a 1\n"));
                if keeps {
                    let end = rest(&stream).map_err(|error| error.kind());
                    heard.send(end).unwrap();
                }
            });
            for _ in 0..5 {
                assert_eq!(ask(&group, PATIENCE, MOST).unwrap().body, b"a 1\n");
                if keeps {
                    assert_eq!(hear.recv().unwrap(), Ok(0), "{addr}");
                }
            }
            assert_eq!(resting(&group), 0, "{addr} {keeps}");
        }
    }
}

#[test]
fn one_that_is_dropped_leaves_nothing_open() {
    for begin in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\na 1\n"] {
        let group = Group::new();
        let worker = group.accepting(2);
        let target = group.target(2);
        let client = block_on(async {
            let asking = tokio::spawn(page(target, "/", PATIENCE, MOST));
            let queue = group.queue(2);
            while queue() != Some(1) {
                tokio::task::yield_now().await;
            }
            let (client, _) = worker.accept().unwrap();
            client.set_nonblocking(true).unwrap();
            // The request has arrived.
            while client.peek(&mut [0]).is_err() {
                tokio::task::yield_now().await;
            }
            send(&client, begin);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            asking.abort();
            assert!(asking.await.unwrap_err().is_cancelled());
            client
        });
        client.set_nonblocking(false).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(request(&client).starts_with("GET / HTTP/1.1\r\n"));
        // Data that was sent but not read may cause a reset.
        let end = rest(&client).map_err(|error| error.kind());
        let reset = Err(std::io::ErrorKind::ConnectionReset);
        assert!(end == Ok(0) || end == reset, "{begin}: {end:?}");
    }
}

/// Many at once on one thread, as in the runtime.
#[test]
fn pages_of_many_workers_are_fetched_together() {
    let group = Group::new();
    let page_of = |number: usize| vec![b'0' + u8::try_from(number).unwrap(); 2 << 20];
    for number in 0..4 {
        group.work(number, move |stream| {
            request(&stream);
            send(&stream, with("", &page_of(number)));
        });
    }
    block_on(async {
        let asked: Vec<_> = (0..4)
            .map(|number| tokio::spawn(page(group.target(number), "/", PATIENCE, MOST)))
            .collect();
        for (number, asked) in asked.into_iter().enumerate() {
            assert!(asked.await.unwrap().unwrap().body == page_of(number));
        }
    });
}
