//! Tests of the clients: servers that fail in every possible way, where each failure must be counted under its kind.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::harness::free_port;
use crate::harness::load::{Histogram, Kind, Load, Pace, Plan, Report, Style, nonce};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

/// Serves one connection after the other: `act` gets the number of the connection and its stream.
fn server(act: impl Fn(usize, TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            act(number, stream.unwrap());
        }
    });
    address
}

/// The nonce of the next request; `None` at the end of the connection.
fn question(stream: &TcpStream) -> Option<String> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    lines.find(String::is_empty)?;
    Some(first.split_once('=')?.1.split_once(' ')?.0.to_owned())
}

fn answer(mut stream: &TcpStream, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).unwrap();
}

/// Sends these bytes instead of an answer.
fn say(mut stream: &TcpStream, text: &str) {
    question(stream).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
}

/// Makes closing the stream send a reset.
fn reset(stream: &TcpStream) {
    let at_once = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(stream, sockopt::Linger, &at_once).unwrap();
}

fn one(address: SocketAddr, style: Style) -> Plan {
    Plan::new(address, 1, style).requests(1)
}

#[track_caller]
fn is_only(report: &Report, kind: Kind, count: u64) {
    assert_eq!(report.lost(), count, "{report}");
    assert_eq!(report.lost_by(kind), count, "{report}");
}

/// One request to such a server is counted under this kind.
#[track_caller]
fn fails(kind: Kind, act: impl Fn(&TcpStream) + Send + 'static) {
    let address = server(move |_, stream| act(&stream));
    let mut plan = one(address, Style::Short);
    if kind == Kind::Timeout {
        plan.patience = Duration::from_millis(500);
    }
    let report = Load::run(plan).finish();
    is_only(&report, kind, 1);
    assert_eq!((report.answered, report.resent), (0, 0), "{report}");
    assert_eq!(report.failures[0].kind, kind);
    assert!(report.failures[0].client.is_some());
}

#[test]
fn nobody_there_is_refused() {
    let address = ([127, 0, 0, 1], free_port()).into();
    is_only(
        &Load::run(one(address, Style::Short)).finish(),
        Kind::Refused,
        1,
    );
}

#[test]
fn a_reset_or_an_end_before_the_answer_is_told_from_one_within() {
    fails(Kind::ResetFresh, reset);
    fails(Kind::ClosedFresh, |stream| drop(question(stream)));
    for part in [
        "HT",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12345678",
    ] {
        fails(Kind::Truncated, move |stream| say(stream, part));
        fails(Kind::ResetWithin, move |stream| {
            reset(stream);
            say(stream, part);
        });
    }
}

#[test]
fn an_answer_to_another_question_is_wrong() {
    fails(Kind::WrongBody, |stream| {
        question(stream);
        answer(stream, &nonce(7));
    });
    fails(Kind::WrongBody, |stream| {
        say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n12");
    });
    fails(Kind::WrongStatus, |stream| {
        say(stream, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    });
    fails(Kind::Other, |stream| {
        say(stream, "220 mail.example.com ESMTP\r\n\r\n");
    });
}

/// Even if bytes arrive in small pieces, the clients wait no longer than their limit.
#[test]
fn no_answer_in_time_is_a_timeout() {
    let (forever, waits) = mpsc::channel::<()>();
    fails(Kind::Timeout, move |stream| {
        question(stream);
        let _ = waits.recv();
    });
    drop(forever);
    fails(Kind::Timeout, |mut stream| {
        while stream.write_all(b"H").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
}

/// Answers once on each connection, then ends it during the next request.
fn once(by_reset: bool) -> SocketAddr {
    server(move |_, stream| {
        if let Some(word) = question(&stream) {
            answer(&stream, &word);
            question(&stream);
            if by_reset {
                reset(&stream);
            }
        }
    })
}

#[test]
fn the_end_of_a_used_connection_is_met_by_sending_again_unless_it_is_counted() {
    for (by_reset, kind) in [(true, Kind::ResetReused), (false, Kind::ClosedReused)] {
        let plan = one(once(by_reset), Style::KeepAlive).requests(4);
        let report = Load::run(plan.clone()).finish();
        assert_eq!(
            (report.answered, report.resent, report.lost()),
            (4, 3, 0),
            "{report}"
        );
        let report = Load::run(plan.strict()).finish();
        assert_eq!((report.answered, report.resent), (2, 0), "{report}");
        is_only(&report, kind, 2);
    }
}

#[test]
fn a_connection_that_ended_between_two_requests_is_not_used_again() {
    let address = server(|_, stream| {
        let word = question(&stream).unwrap();
        answer(&stream, &word);
    });
    let think = Pace::Think(Duration::from_millis(100));
    let plan = one(address, Style::KeepAlive).requests(3).pace(think);
    let report = Load::run(plan).finish();
    assert_eq!((report.answered, report.lost()), (3, 0), "{report}");
    // The end arrives long before the next request, unless the server was delayed.
    assert_eq!(report.ended + report.resent, 2, "{report}");
}

/// Answers everything on each connection. Its PID is made of the numbers of the connection and of the client.
fn faithful() -> SocketAddr {
    server(|number, stream| {
        let client = stream.peer_addr().unwrap();
        while let Some(word) = question(&stream) {
            let pid = 100 + number;
            answer(
                &stream,
                &format!("{{\"pid\":{pid},\"nonce\":\"{word}\",\"client\":\"{client}\"}}"),
            );
        }
    })
}

#[test]
fn a_bounded_client_leaves_after_so_many_answers() {
    let asked = |style| Load::run(one(faithful(), style).requests(12)).finish();
    let counts = |report: Report| report.by_pid.into_values().collect::<Vec<_>>();
    assert_eq!(counts(asked(Style::Bounded(5))), [5, 5, 2]);
    assert_eq!(counts(asked(Style::KeepAlive)), [12]);
    assert_eq!(counts(asked(Style::Short)), [1; 12]);
}

#[test]
fn clients_come_from_as_many_addresses_as_they_shall() {
    let (seen, clients) = mpsc::channel();
    let address = server(move |_, stream| {
        seen.send(stream.peer_addr().unwrap().ip()).unwrap();
        let word = question(&stream).unwrap();
        answer(&stream, &word);
    });
    let report = Load::run(one(address, Style::Short).requests(9).sources(3)).finish();
    assert_eq!(report.answered, 9, "{report}");
    let mut clients: Vec<_> = clients.try_iter().map(|ip| ip.to_string()).collect();
    clients.sort();
    let wanted = ["127.1.0.1", "127.1.0.2", "127.1.0.3"].map(|ip| [ip; 3]);
    assert_eq!(clients, wanted.concat());
}

/// The server pauses once. Clients that wait for it send little meanwhile and notice little; at a fixed rate,
/// everything that was due counts.
#[test]
fn at_a_fixed_rate_a_pause_of_the_server_counts_for_all_who_would_have_come() {
    let pausing = || {
        server(|number, stream| {
            if number == 0 {
                thread::sleep(Duration::from_millis(400));
            }
            let word = question(&stream).unwrap();
            answer(&stream, &word);
        })
    };
    let plan = one(pausing(), Style::Short).requests(50);
    let report = Load::run(plan.pace(Pace::Full)).finish();
    assert_eq!(report.answered, 50, "{report}");
    let (most, many) = (report.latency.most(), report.latency.permille(900));
    assert!(most >= 400_000 && many < most, "{report}");
    let plan = one(pausing(), Style::Short).requests(50);
    // The last request is due after 98 ms and cannot be answered before 400 ms.
    let report = Load::run(plan.pace(Pace::Rate(500.0))).finish();
    assert_eq!(report.answered, 50, "{report}");
    assert!(report.latency.permille(20) >= 300_000, "{report}");
}

#[test]
fn times_are_kept_to_three_percent() {
    let mut times = Histogram::default();
    assert_eq!((times.permille(990), times.total()), (0, 0));
    let mut more = Histogram::default();
    for micros in 1..=100_000 {
        if micros % 2 == 0 {
            &mut times
        } else {
            &mut more
        }
        .add(micros);
    }
    times.merge(&more);
    assert_eq!((times.total(), times.most()), (100_000, 100_000));
    for (permille, exact) in [
        (1, 100),
        (10, 1_000),
        (500, 50_000),
        (990, 99_000),
        (1000, 100_000),
    ] {
        let kept = times.permille(permille);
        assert!(
            (exact..=exact + exact / 32 + 1).contains(&kept),
            "{permille}: {kept}"
        );
    }
}

#[test]
fn uneven_shares_are_told_with_those_who_got_nothing() {
    let mut report = Report {
        answered: 400,
        by_pid: [(1, 100), (2, 100), (3, 100), (4, 100)].into(),
        ..Report::default()
    };
    assert!(report.variation(4) < 1e-9);
    // The mean is 50, and all deviations are 50.
    assert!((report.variation(8) - 1.0).abs() < 1e-9);
    report.by_pid = [(1, 110), (2, 90), (3, 110), (4, 90)].into();
    assert!((report.variation(4) - 0.1).abs() < 1e-9);
}
