use std::io::Write;
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpSocket;

use crate::checks::testing::{
    BASE, Group, PATIENCE, SHORT, answer, block_on, page, request, reset_at_the_end, rest, resting,
    send,
};
use crate::checks::{Check, Failure, Step, Target, http};
use crate::sys::clock::Clock;

/// Checks worker 2, which is not in the steering program.
fn ask(group: &Group, limit: Duration) -> Check {
    block_on(http(group.target(2), &page("/healthz"), limit))
}

/// The result of a check of a worker that serves in this way.
fn told(limit: Duration, serve: impl Fn(TcpStream) + Send + 'static) -> Check {
    let group = Group::new();
    group.work(2, serve);
    ask(&group, limit)
}

fn failed(failure: Failure) -> Check {
    Check::Failed(failure)
}

fn silent() -> Check {
    failed(Failure::TimedOut {
        step: Step::Answer,
        limit: SHORT,
    })
}

#[test]
fn exactly_the_one_worker_is_asked() {
    for (addr, v6only) in [("127.0.0.1:0", false), ("[::]:0", false), ("[::1]:0", true)] {
        let group = Group::open(addr, v6only, 4, 64);
        for number in 0..4 {
            let status = if number == 2 { "204 OK" } else { "500 No" };
            group.work(number, answer(status).0);
        }
        for _ in 0..20 {
            assert_eq!(ask(&group, PATIENCE), Check::Passed, "{addr}");
            let other = block_on(http(group.target(1), &page("/"), PATIENCE));
            assert_eq!(other, failed(Failure::Status(500)), "{addr}");
        }
    }
}

#[test]
fn the_request_is_a_kubelets() {
    let (heard, hear) = mpsc::channel();
    let group = Group::new();
    group.work(2, move |stream| {
        heard.send(request(&stream)).unwrap();
        send(&stream, "HTTP/1.1 200 OK\r\n\r\n");
    });
    assert_eq!(ask(&group, PATIENCE), Check::Passed);
    let expected = format!(
        "GET /healthz HTTP/1.1\r\nHost: localhost:{}\r\nUser-Agent: rpm-runtime/{}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n",
        group.key.addr.port(),
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(hear.recv().unwrap(), expected);
}

#[test]
fn what_a_worker_answers_is_what_it_is_told() {
    let answers = [
        ("HTTP/1.1 200 OK\r\n\r\n", Check::Passed),
        ("HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", Check::Passed),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            Check::Passed,
        ),
        (
            "HTTP/1.1 404 Not Found\r\n\r\n",
            failed(Failure::Status(404)),
        ),
        ("HTTP/1.1 503 Sick\r\n\r\n", failed(Failure::Status(503))),
        ("", failed(Failure::Closed)),
        ("HTTP/1.1 20", failed(Failure::Closed)),
        (
            "-ERR unknown command\r\n",
            failed(Failure::NotHttp("-ERR unknown command\\r\\n".into())),
        ),
    ];
    for (answer, expected) in answers {
        let check = told(PATIENCE, move |stream| {
            request(&stream);
            send(&stream, answer);
        });
        assert_eq!(check, expected, "{answer:?}");
    }
}

#[test]
fn a_worker_that_says_nothing_is_out_of_time() {
    // A worker that does not accept, one that does not answer, and one that sends one byte at a time.
    assert_eq!(ask(&Group::new(), SHORT), silent());
    assert_eq!(told(SHORT, |stream| drop(rest(&stream))), silent());
    let slow = told(SHORT, |stream| {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SHORT / 10)).unwrap();
        for byte in b"HTTP/1.1 200 OK\r\n" {
            send(&stream, [*byte]);
            let _ = rest(&stream);
        }
    });
    assert_eq!(slow, silent());
}

#[test]
fn a_full_queue_is_no_connection() {
    let group = Group::open("127.0.0.1:0", false, 4, 1);
    let _crowd = group.crowd(2, 2);
    let expected = Failure::TimedOut {
        step: Step::Connect,
        limit: SHORT,
    };
    assert_eq!(ask(&group, SHORT), failed(expected));
}

#[test]
fn endless_answers_are_ended() {
    let endless = |begin: &'static str, piece: &'static str| {
        told(PATIENCE, move |mut stream| {
            request(&stream);
            send(&stream, begin);
            while stream.write_all(piece.as_bytes()).is_ok() {}
        })
    };
    let too_long = failed(Failure::TooLong);
    assert_eq!(endless("HTTP/1.1 200 O", "K"), too_long);
    assert_eq!(endless("HTTP/1.1 100 Continue\r\n", "A: b\r\n"), too_long);
    assert_eq!(
        endless("HTTP/1.1 100\r\n\r\n", "HTTP/1.1 100\r\n\r\n"),
        too_long
    );
    // The status is known, so the rest is not read.
    assert_eq!(endless("HTTP/1.1 200 OK\r\n", "A: b\r\n"), Check::Passed);
}

#[test]
fn a_reset_and_a_refusal_are_told_apart() {
    let reset = told(PATIENCE, |stream| {
        request(&stream);
        reset_at_the_end(&stream);
    });
    assert_eq!(reset, failed(Failure::Reset));
    let gone = Group::new();
    let target = gone.target(2);
    drop(gone);
    let refused = block_on(http(target, &page("/"), PATIENCE));
    assert_eq!(refused, failed(Failure::Refused));
}

/// With IPv6 there is only one source address: a connection in TIME_WAIT might block the next check. And the worker
/// must not see a reset.
#[test]
fn checks_follow_each_other_and_leave_without_a_reset() {
    let (heard, hear) = mpsc::channel();
    for (addr, v6only) in [("127.0.0.1:0", false), ("[::1]:0", true)] {
        let group = Group::open(addr, v6only, 4, 64);
        let heard = heard.clone();
        // The worker keeps the connection open in spite of the request.
        group.work(2, move |stream| {
            request(&stream);
            send(&stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            heard
                .send(rest(&stream).map_err(|error| error.kind()))
                .unwrap();
        });
        for _ in 0..10 {
            assert_eq!(ask(&group, PATIENCE), Check::Passed, "{addr}");
            assert_eq!(hear.recv().unwrap(), Ok(0), "{addr}");
        }
        assert_eq!(resting(&group), 0, "{addr}");
    }
}

#[test]
fn the_rest_of_an_answer_is_waited_for() {
    let (heard, hear) = mpsc::channel();
    let group = Group::new();
    group.work(2, move |stream| {
        let clock = Clock::start();
        request(&stream);
        let wait = Some(Duration::from_millis(20));
        stream.set_read_timeout(wait).unwrap();
        let begun = clock.now();
        let mut left = false;
        for part in ["HTTP/1.1 200 OK\r\n\r\n", "one\n", "two\n"] {
            send(&stream, part);
            // The status was read long before.
            left |= rest(&stream).is_ok();
        }
        heard.send((left, clock.now().since(begun))).unwrap();
    });
    // The wait is limited, and this machine may be slow.
    let left = loop {
        assert_eq!(ask(&group, PATIENCE), Check::Passed);
        let (left, took) = hear.recv().unwrap();
        if took < Duration::from_millis(150) {
            break left;
        }
    };
    assert!(!left);
}

#[test]
fn a_source_port_that_is_not_to_be_had_says_nothing_of_the_worker() {
    // A port that no other test uses.
    let source_port = 64_900;
    let worker = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target {
        addr: worker.local_addr().unwrap(),
        source_port,
    };
    let blocker = TcpListener::bind(("0.0.0.0", source_port)).unwrap();
    let taken = "cannot use source port 64900: Address already in use";
    let check = block_on(http(target, &page("/"), PATIENCE));
    assert_eq!(check, Check::NotMade(taken.into()));
    drop(blocker);
    assert_eq!(block_on(http(target, &page("/"), SHORT)), silent());
}

/// The only source address is in use: first longer than the check, then for a moment.
#[test]
fn a_source_address_that_is_in_use_says_nothing_of_the_worker() {
    let group = Group::open("[::1]:0", true, 4, 64);
    group.work(2, answer("200 OK").0);
    let target = group.target(2);
    block_on(async {
        let socket = TcpSocket::new_v6().unwrap();
        socket.set_reuseaddr(true).unwrap();
        let source = (Ipv6Addr::LOCALHOST, BASE + 2).into();
        socket.bind(source).unwrap();
        let other = socket.connect(target.addr).await.unwrap();
        let Check::NotMade(reason) = http(target, &page("/"), SHORT / 3).await else {
            panic!("it was asked");
        };
        assert!(reason.starts_with("cannot use source port"), "{reason}");
        let asking = tokio::spawn(async move { http(target, &page("/"), PATIENCE).await });
        tokio::task::yield_now().await;
        // The reset leaves no connection behind.
        other.set_zero_linger().unwrap();
        drop(other);
        assert_eq!(asking.await.unwrap(), Check::Passed);
    });
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the runtime is frozen for so long"
)]
fn a_time_that_was_slept_over_says_nothing_of_the_worker() {
    let group = Group::new();
    let check = block_on(async {
        let asking = tokio::spawn({
            let target = group.target(2);
            async move { http(target, &page("/"), SHORT).await }
        });
        tokio::task::yield_now().await;
        thread::sleep(SHORT + Duration::from_millis(1100));
        asking.await.unwrap()
    });
    assert_eq!(
        check,
        Check::NotMade("the runtime did not run for a while".into())
    );
}
