use std::sync::{Mutex, mpsc};

use super::page::{MOST, Outcome, ask, failed, with};
use crate::checks::Failure;
use crate::checks::testing::{Group, PATIENCE, request, send};

/// The requests that a worker got, and the answer to the client. It answers each with the first line of `heads` that is
/// left; without one it sends a page. `PORT` stands for its port.
fn redirected(heads: &'static [&'static str]) -> (Vec<String>, Outcome) {
    let group = Group::new();
    let port = group.target(2).addr.port().to_string();
    let (told, requests) = mpsc::channel();
    let left = Mutex::new(heads.iter());
    group.work(2, move |stream| {
        let text = request(&stream);
        let line = text.lines().next().unwrap_or_default();
        told.send(line.to_owned()).unwrap();
        match left.lock().unwrap().next() {
            Some(head) => {
                let head = head.replace("PORT", &port);
                send(
                    &stream,
                    format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n"),
                );
            }
            None => send(&stream, with("", b"a 1\n")),
        }
    });
    let answer = ask(&group, PATIENCE, MOST);
    (requests.try_iter().collect(), answer)
}

#[test]
fn one_redirect_on_the_same_port_is_followed() {
    let heads: [&'static [&'static str]; 6] = [
        &["301 Moved\r\nLocation: /metrics/"],
        &["302 Found\r\nLocation: metrics/"],
        &["307 Temporary\r\nLocation: http://localhost:PORT/metrics/"],
        &["308 Permanent\r\nLocation: http://127.0.0.1:PORT/metrics/"],
        &[
            "302 Found\r\nLocation: /metrics/",
            "302 Found\r\nLocation: /metrics",
        ],
        &["307 Temporary\r\nLocation: /metrics/", "404 Not Found"],
    ];
    for head in heads {
        let (requests, answer) = redirected(head);
        assert_eq!(
            requests,
            ["GET /metrics HTTP/1.1", "GET /metrics/ HTTP/1.1"]
        );
        match head {
            [_] => assert_eq!(answer.unwrap().body, b"a 1\n"),
            [_, second] if second.starts_with("404") => {
                assert_eq!(answer, Err(failed(Failure::Status(404))));
            }
            _ => assert_eq!(
                answer.unwrap_err().to_string(),
                "status 302: a second redirect to \"/metrics\", only one is followed; RPM_APP_METRICS has to name the path of the metrics"
            ),
        }
    }
}

#[test]
fn a_redirect_elsewhere_is_told_and_not_followed() {
    let heads: [&'static [&'static str]; 5] = [
        &["301 Moved\r\nLocation: https://localhost:PORT/metrics/"],
        &["302 Found\r\nLocation: http://localhost:1/metrics/"],
        &["302 Found\r\nLocation: http://example.org:PORT/metrics/"],
        &["303 See Other\r\nLocation: /metrics/"],
        &["302 Found\r\nLocation: /metrics"],
    ];
    for head in heads {
        let (requests, answer) = redirected(head);
        assert_eq!(requests, ["GET /metrics HTTP/1.1"], "{head:?}");
        let told = answer.unwrap_err().to_string();
        let why = "only one to another path of the same host and port over http is followed; RPM_APP_METRICS has to name the path of the metrics";
        assert!(
            told.contains(": a redirect to \"") && told.ends_with(why),
            "{told}"
        );
    }
}
