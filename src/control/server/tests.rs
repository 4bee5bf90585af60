//! The server with clients of this process.

mod streams;

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as Client;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::sys::links::effective_user;
use crate::sys::testing::as_nobody;

/// Serves with these limits while `clients` runs on a thread of its own. Returns what that gives, and what could not be
/// obeyed. `version` is never answered, and `env` and `reopen` are streams of numbers.
fn served<T: Send + 'static>(
    limits: Limits,
    uid: u32,
    clients: impl FnOnce(&std::path::Path) -> T + Send + 'static,
) -> (T, Told) {
    let place = std::env::temp_dir().join(format!(
        "rpm-control-{}-{:?}.sock",
        std::process::id(),
        std::thread::current().id()
    ));
    // Left by an earlier process with our PID.
    let _ = std::fs::remove_file(&place);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let refused = Rc::new(Cell::new(0));
    let counts = Rc::clone(&refused);
    let faults = Rc::new(RefCell::new(Vec::new()));
    let tell_fault = Rc::clone(&faults);
    let made = std::sync::Arc::default();
    let found = tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = UnixListener::bind(&place).unwrap();
        let service = Service {
            rule: Rule {
                uid,
                visible: false,
                ambiguous: false,
            },
            obey: Box::new(move |command, _| match command {
                Command::Env => Obeyed::Many(streams::counting(&made, None)),
                Command::Reopen => Obeyed::Many(streams::counting(&made, Some(4000))),
                _ => {
                    let text = format!("{:?}", command.name());
                    let hangs = command == Command::Version;
                    Obeyed::Once(Box::pin(async move {
                        if hangs {
                            std::future::pending::<()>().await;
                        }
                        Ok(RawValue::from_string(text).unwrap())
                    }))
                }
            }),
            refused: Box::new(move |_, _| counts.set(counts.get() + 1)),
            fault: Box::new(move |kind| tell_fault.borrow_mut().push(kind)),
            trouble: Box::new(|error| panic!("{error}")),
        };
        let server = tokio::task::spawn_local(serve(listener, service, limits, Closing::default()));
        let (tell, told) = tokio::sync::oneshot::channel();
        let path = place.clone();
        std::thread::spawn(move || tell.send(clients(&path)));
        let found = told.await.unwrap();
        server.abort();
        found
    });
    std::fs::remove_file(&place).unwrap();
    let told = Told {
        refused: refused.get(),
        faults: faults.take(),
    };
    (found, told)
}

/// What the server told the runtime.
#[derive(Debug)]
struct Told {
    refused: usize,
    faults: Vec<Kind>,
}

fn ours() -> u32 {
    effective_user()
}

/// Sends bytes, and reads all that comes until the server closes, or until `lines` lines have come.
fn asked(path: &std::path::Path, bytes: &[u8], lines: usize) -> Vec<String> {
    let mut client = Client::connect(path).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    // The server may close before it has read all.
    let _ = client.write_all(bytes);
    let mut text = Vec::new();
    let mut more = [0; 4096];
    while text.split(|byte| *byte == b'\n').count() <= lines {
        match client.read(&mut more) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(&more[..count]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&text)),
        }
    }
    let text = String::from_utf8(text).unwrap();
    text.lines().map(str::to_owned).collect()
}

const LIST: &str = "{\"v\":1,\"command\":\"list\"}\n";

#[test]
fn requests_on_one_connection_are_answered_in_their_order() {
    let (lines, _) = served(Limits::default(), ours(), |path| {
        let both = format!("{LIST}{{\"command\":\"health\",\"v\":1,\"more\":[]}}\n");
        asked(path, both.as_bytes(), 2)
    });
    assert_eq!(
        lines,
        [
            "{\"v\":1,\"result\":\"list\"}",
            "{\"v\":1,\"result\":\"health\"}"
        ]
    );
}

#[test]
fn what_is_no_request_is_told_and_ends_the_connection() {
    let bad: [&[u8]; 7] = [
        b"\n",
        b"nonsense\n",
        b"[]\n",
        b"{\"v\":\"1\",\"command\":\"list\"}\n",
        b"{\"command\":\"list\"}\n",
        b"{\"v\":1,\"v\":1,\"command\":\"list\"}\n",
        b"\xff\xfe\n",
    ];
    let (answers, told) = served(Limits::default(), ours(), move |path| {
        bad.map(|bytes| asked(path, &[bytes, LIST.as_bytes()].concat(), 2))
    });
    assert_eq!(told.faults, [Kind::Malformed; 7]);
    for (lines, bytes) in answers.iter().zip(bad) {
        assert_eq!(
            lines.len(),
            1,
            "{lines:?}, {}",
            String::from_utf8_lossy(bytes)
        );
        assert!(lines[0].contains("\"kind\":\"malformed\""), "{lines:?}");
    }
}

#[test]
fn unknown_commands_and_versions_are_told_and_the_connection_goes_on() {
    let (lines, told) = served(Limits::default(), ours(), |path| {
        let all =
            format!("{{\"v\":1,\"command\":\"dance\"}}\n{{\"v\":2,\"command\":\"list\"}}\n{LIST}");
        asked(path, all.as_bytes(), 3)
    });
    assert_eq!(told.faults, [Kind::Unknown; 2]);
    assert!(lines[0].contains("\"kind\":\"unknown\""), "{lines:?}");
    assert!(lines[0].contains("there are list, "), "{lines:?}");
    assert!(lines[1].contains("speaks version 1"), "{lines:?}");
    assert_eq!(lines[2], "{\"v\":1,\"result\":\"list\"}");
}

#[test]
fn an_endless_line_is_cut_off() {
    let limits = Limits {
        line: 1000,
        ..Limits::default()
    };
    let (lines, told) = served(limits, ours(), |path| asked(path, &vec![b'x'; 100_000], 2));
    assert_eq!(told.faults, [Kind::Malformed]);
    // The rest of the line was not read, so the answer may be lost with the connection.
    assert!(lines.len() <= 1, "{lines:?}");
    if let Some(line) = lines.first() {
        assert!(line.contains("at most 1000 bytes"), "{line}");
    }
}

/// A client that has been answered once, and then is silent.
fn silent(path: &std::path::Path) -> Client {
    let mut client = Client::connect(path).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    client.write_all(LIST.as_bytes()).unwrap();
    let mut some = [0; 24];
    client.read_exact(&mut some).unwrap();
    client
}

#[test]
fn a_client_that_says_nothing_is_left_after_its_time() {
    let limits = Limits {
        request: Duration::from_millis(200),
        ..Limits::default()
    };
    let (rest, _) = served(limits, ours(), |path| {
        let mut rest = Vec::new();
        silent(path).read_to_end(&mut rest).unwrap();
        rest
    });
    assert_eq!(rest, b"");
}

#[test]
fn the_oldest_silent_client_leaves_for_a_new_one() {
    let limits = Limits {
        clients: 2,
        root: 0,
        request: Duration::from_hours(1),
        ..Limits::default()
    };
    let (answer, told) = served(limits, ours(), |path| {
        let (mut first, mut second) = (silent(path), silent(path));
        let answer = asked(path, LIST.as_bytes(), 1);
        let mut rest = Vec::new();
        first.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "it was closed");
        second.write_all(LIST.as_bytes()).unwrap();
        second.read_exact(&mut [0; 24]).unwrap();
        answer
    });
    assert_eq!(answer, ["{\"v\":1,\"result\":\"list\"}"]);
    assert_eq!(told.faults, []);
}

#[test]
fn while_all_clients_are_served_one_more_is_told_so() {
    let limits = Limits {
        clients: 1,
        root: 0,
        ..Limits::default()
    };
    let (answer, told) = served(limits, ours(), |path| {
        loop {
            let mut client = Client::connect(path).unwrap();
            let both = format!("{LIST}{{\"v\":1,\"command\":\"version\"}}\n");
            client.write_all(both.as_bytes()).unwrap();
            client.read_exact(&mut [0; 24]).unwrap();
            // Either it leaves, because the server has not come to its second request, or it is served for ever.
            let answer = asked(path, LIST.as_bytes(), 1);
            if answer.iter().any(|line| line.contains("busy")) {
                return answer;
            }
        }
    });
    assert!(answer[0].contains("there are 1 clients"), "{answer:?}");
    assert_eq!(told.faults, [Kind::Busy]);
}

#[test]
fn refused_peers_are_told_and_after_some_of_them_nobody_is_accepted_for_a_while() {
    let pause = Duration::from_millis(100);
    let limits = Limits {
        refusals: 2,
        refusal_pause: pause,
        ..Limits::default()
    };
    let begin = Instant::now();
    let (answers, told) = served(limits, ours(), |path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
        as_nobody(|| [(); 6].map(|()| asked(path, b"", 1)))
    });
    for answer in answers {
        assert!(answer[0].contains("\"kind\":\"not-allowed\""), "{answer:?}");
    }
    assert_eq!(told.refused, 6);
    assert!(begin.elapsed() >= pause * 3);
}

#[test]
fn a_client_that_takes_no_answer_is_left_after_its_time() {
    let limits = Limits {
        clients: 1,
        root: 0,
        burst_of_all: 1 << 20,
        answer: Duration::from_millis(200),
        burst: 1 << 20,
        ..Limits::default()
    };
    let (lines, _) = served(limits, ours(), |path| {
        let mut deaf = Client::connect(path).unwrap();
        // Until the server gives up on it: more answers than any buffer holds.
        while deaf.write_all(LIST.as_bytes()).is_ok() {}
        asked(path, LIST.as_bytes(), 1)
    });
    assert_eq!(lines, ["{\"v\":1,\"result\":\"list\"}"]);
}
