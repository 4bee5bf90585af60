use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::admin::ConnectionLimits;

use super::{Answer, SLOW, Server, one_answer, roomy, until_closed};

#[test]
fn old_clients_are_served() {
    let server = Server::start(roomy());
    let answer = Answer::parse(&server.talk(b"GET /livez HTTP/1.0\r\n\r\n"));
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
}

#[test]
fn a_connection_is_kept_and_requests_may_be_sent_ahead() {
    let server = Server::start(roomy());
    let mut stream = server.connect();
    for _ in 0..2 {
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        assert_eq!(one_answer(&mut stream).body, "ok\n");
    }
    stream
        .write_all(
            b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        )
        .unwrap();
    assert_eq!(one_answer(&mut stream).body.len(), 40);
    assert_eq!(one_answer(&mut stream).body, "ok\n");
}

#[test]
fn a_request_with_a_body_is_answered_and_its_body_never_read_as_a_request() {
    let server = Server::start(roomy());
    let inner = "GET /status HTTP/1.1\r\nHost: x\r\n\r\n";
    let request = format!(
        "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    let answer = server.talk(request.as_bytes());
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
    // A body that is announced and never comes: the server answers, then closes without waiting for it.
    let request = b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\nabc";
    assert_eq!(Answer::parse(&server.talk(request)).status, 405);
    let request = b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(Answer::parse(&server.talk(request)).status, 200);
}

#[test]
fn a_head_too_long_is_refused() {
    let server = Server::start(roomy());
    let mut stream = server.connect();
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "a".repeat(64 * 1024));
    // The server may close before everything is sent, and a reset may overtake its answer.
    let _ = stream.write_all(head.as_bytes());
    let answer = until_closed(&mut stream);
    assert!(
        answer.is_empty() || Answer::parse(&answer).status == 431,
        "{answer}"
    );
    assert_eq!(server.ask("GET", "/livez").status, 200);
}

#[test]
fn garbage_is_refused() {
    let server = Server::start(roomy());
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ] {
        let answer = server.talk(garbage);
        assert!(
            answer.is_empty() || Answer::parse(&answer).status == 400,
            "{garbage:?}: {answer}"
        );
    }
    let mut stream = server.connect();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(until_closed(&mut stream), "");
    assert_eq!(server.ask("GET", "/livez").status, 200);
}

fn hasty() -> ConnectionLimits {
    ConnectionLimits {
        idle: Duration::from_millis(150),
        ..roomy()
    }
}

#[test]
fn a_silent_client_and_a_slow_head_lose_their_place() {
    let server = Server::start(hasty());
    let mut silent = server.connect();
    assert_eq!(until_closed(&mut silent), "");
    let mut slow = server.connect();
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-")
        .unwrap();
    assert_eq!(until_closed(&mut slow), "");
}

#[test]
fn a_byte_now_and_then_buys_no_time() {
    let server = Server::start(hasty());
    let mut stream = server.connect();
    stream
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
    // Each round waits so long for the end that all rounds together stay within the patience of a test.
    let closed = (0..2000).any(|_| {
        let mut byte = [0];
        let ended = match stream.read(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        ended || stream.write_all(b"a").is_err()
    });
    assert!(closed);
}

#[test]
fn an_idle_kept_connection_is_closed() {
    let server = Server::start(hasty());
    // On a busy machine the request may arrive too late; only then is there no answer.
    let answers = (0..100).map(|_| server.talk(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"));
    let answer = answers.into_iter().find(|answer| !answer.is_empty());
    assert_eq!(Answer::parse(&answer.unwrap()).body, "ok\n");
}

#[test]
fn a_status_that_is_not_read_counts_as_unread() {
    let limits = ConnectionLimits {
        unread: 1,
        ..roomy()
    };
    let server = Server::start(limits);
    // Larger than the buffers of both sockets.
    server.change(|snapshot| {
        let one = snapshot.slots[0].clone();
        snapshot.slots = vec![one; 50_000];
    });
    let mut deaf = server.connect();
    deaf.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    deaf.read_exact(&mut [0]).unwrap();
    for page in ["/status", "/", "/metrics"] {
        assert_eq!(server.ask("GET", page).status, 503, "{page}");
    }
    assert_eq!(server.ask("GET", "/livez").status, 200);
    drop(deaf);
    let answered = (0..1000).any(|_| server.ask("GET", "/status").status == 200);
    assert!(answered, "its place was never free");
}

#[test]
fn a_client_that_does_not_read_loses_its_place() {
    let limits = ConnectionLimits {
        unread: 1,
        ..hasty()
    };
    // Larger than the buffers of both sockets.
    let server = Server::start_with(limits, 0, 64 << 20);
    let mut deaf = server.connect();
    deaf.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    // Another page is made when the one that is not read is gone.
    let answered = (0..100_000).any(|_| server.ask("GET", "/metrics").status == 200);
    assert!(answered, "its place was never free");
    assert!(until_closed(&mut deaf).len() < 64 << 20);
}

#[test]
fn an_old_connection_is_told_to_come_anew() {
    let limits = ConnectionLimits {
        lifetime: Duration::ZERO,
        ..roomy()
    };
    let server = Server::start(limits);
    let mut stream = server.connect();
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let answer = Answer::parse(&until_closed(&mut stream));
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
}

/// Requests a page that takes `seconds` minus the margin.
fn ask_slowly(stream: &mut TcpStream, seconds: &str) {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {SLOW}\r\nX-Prometheus-Scrape-Timeout-Seconds: {seconds}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
}

#[test]
fn who_waits_for_metrics_does_not_lose_its_place() {
    let limits = ConnectionLimits {
        pages: 1,
        ..hasty()
    };
    let server = Server::start(limits);
    // On a busy machine the request may arrive too late; only then is there no answer.
    for _ in 0..100 {
        let mut slow = server.connect();
        ask_slowly(&mut slow, "0.6");
        // It takes longer than a client may, and another client needs the place.
        let mut other = server.connect();
        other
            .write_all(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        let text = until_closed(&mut slow);
        if !text.is_empty() {
            assert_eq!(Answer::parse(&text).body, SLOW);
            return;
        }
    }
    panic!("no answer");
}

#[test]
fn slow_metrics_leave_places_for_probes() {
    let limits = ConnectionLimits {
        pages: 8,
        ..roomy()
    };
    let server = Server::start(limits);
    let mut slow: Vec<TcpStream> = (0..2).map(|_| server.connect()).collect();
    for stream in &mut slow {
        ask_slowly(stream, "600");
    }
    // Those two may not have been processed yet.
    let refused = (0..1000).find_map(|_| {
        let answer = server.ask("GET", "/metrics");
        (answer.status != 200).then_some(answer)
    });
    let refused = refused.expect("a third was never refused");
    assert_eq!(refused.status, 503);
    assert_eq!(
        refused.body,
        "too many pages are being made, or are not read; ask again later\n"
    );
    assert_eq!(server.ask("GET", "/livez").status, 200);
    assert_eq!(server.ask("GET", "/metrics/runtime").status, 200);
}

#[test]
fn pages_that_nobody_reads_do_not_pile_up() {
    const PAGE: usize = 16 << 20;
    let limits = ConnectionLimits {
        unread: 3 * PAGE,
        ..roomy()
    };
    let server = Server::start_with(limits, 0, PAGE);
    // Larger than the buffers of both sockets.
    let mut deaf: Vec<TcpStream> = (0..3).map(|_| server.connect()).collect();
    for stream in &mut deaf {
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(server.ask("GET", "/metrics").status, 503);
    assert_eq!(server.ask("GET", "/livez").status, 200);
    // One of them closes.
    deaf.pop();
    let answered = (0..1000).any(|_| server.ask("GET", "/metrics").status == 200);
    assert!(answered, "its place was never free");
}

#[test]
fn failed_accepts_are_waited_out() {
    let limits = ConnectionLimits {
        accept_retry: Duration::from_millis(1),
        ..roomy()
    };
    let server = Server::start_with(limits, 20, 40);
    assert_eq!(server.ask("GET", "/livez").status, 200);
}
