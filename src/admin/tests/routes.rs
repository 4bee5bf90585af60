use std::sync::{Arc, Mutex};

use hyper::{Request, StatusCode};
use serde_json::json;

use crate::admin::routes::{Reply, answer};
use crate::model::{RunState, Snapshot, WorkerState};

use super::{Answer, Server, roomy, view};

#[test]
fn every_link_of_the_first_page_leads_somewhere() {
    let server = Server::start(roomy());
    let page = server.ask("GET", "/");
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let links: Vec<&str> = page.body.split("<a href=\"").skip(1).collect();
    assert_eq!(links.len(), 6);
    for link in links {
        // Relative, so that they are right behind a proxy that adds a path.
        let path = link.split('"').next().unwrap();
        let answer = server.ask("GET", &format!("/{path}"));
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[test]
fn the_page_has_the_words_of_the_state_the_workers_the_reloads_and_the_events() {
    let page = Server::start(roomy()).ask("GET", "/").body;
    for part in [
        "<title>shop</title>",
        "<p id=\"state\">running, 1 of 2 ready, generation 2, up 10s</p>",
        "<p id=\"about\">1.2.3, abcdef0, rpm-runtime 0.1.0, pid 1</p>",
        "<td data-of=\"Last exit\">SIGKILL (oom)</td><td data-of=\"CPU %\">23.1</td><td data-of=\"Memory\">4K</td>",
        "<tr class=\"bad\"><td data-of=\"Slot\">1</td><td data-of=\"State\">backoff 1s</td><td data-of=\"PID\">-</td>",
        "<p>reload 1 failure, 1 of 2 workers replaced, 3s: it ended</p>",
        "<p>00:01:01 UTC exited, slot 3, exit &lt;b&gt;</p>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("password"), "{page}");
}

#[test]
fn a_slot_that_an_operator_stopped_is_shown_as_one_that_does_not_run_and_null_is_not_shown() {
    let server = Server::start(roomy());
    server.change(|snapshot| snapshot.slots[0].state = WorkerState::Halted);
    let page = server.ask("GET", "/").body;
    let row = r#"<tr class="bad"><td data-of="Slot">0</td><td data-of="State">halted</td>"#;
    assert!(page.contains(row), "{page}");
    assert!(!page.contains("null</p>"), "{page}");
}

#[test]
fn liveness_is_the_answer_itself() {
    let server = Server::start(roomy());
    server.change(|snapshot| *snapshot = Snapshot::default());
    let answer = server.ask("GET", "/livez");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}

#[test]
fn liveness_ends_with_what_the_runtime_cannot_go_on_without() {
    let mut view = view(Arc::new(Mutex::new(Snapshot::default())), 1);
    view.fault = Box::new(|| Some("a thread has ended".to_owned()));
    let request = Request::builder().uri("/livez").body(()).unwrap();
    let Reply::Ready(answer) = answer(&view, &request) else {
        panic!("it is no page of metrics")
    };
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn readiness_rises_and_falls_and_says_why() {
    let server = Server::start(roomy());
    let answer = server.ask("GET", "/readyz?verbose");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"state": "running", "ready": true, "started": true, "workers_ready": 1, "desired": 2, "reason": null})
    );
    server.change(|snapshot| {
        snapshot.ready = false;
        snapshot.slots.clear();
    });
    let answer = server.ask("GET", "/readyz");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["reason"], "0 of 2 workers are ready");
    server.change(|snapshot| snapshot.state = RunState::Draining);
    let answer = server.ask("GET", "/readyz");
    assert_eq!(
        (answer.status, &answer.json()["reason"]),
        (503, &json!("the runtime is stopping"))
    );
    assert_eq!(server.ask("GET", "/startupz").status, 200);
    server.change(|snapshot| snapshot.started = false);
    assert_eq!(server.ask("GET", "/startupz").status, 503);
}

#[test]
fn the_status_tells_all() {
    let server = Server::start(roomy());
    let answer = server.ask("GET", "/status");
    assert_eq!(
        answer.json(),
        json!({
            "app": {"name": "shop", "version": "1.2.3", "revision": "abcdef0", "branch": null},
            "runtime": {
                "version": "0.1.0", "revision": null, "pid": 1, "uptime_seconds": 10.5, "state": "running",
                "ready": true, "started": true, "desired": 2, "generation": 2
            },
            "handover": {"handover": "intercept", "steering": "least", "reason": "as wished"},
            "balance": {
                "how": "least", "counts_connections": true, "changes": 12, "arrivals": 7, "counts": 3, "spread": 1.0
            },
            "observation": {
                "ready": "listen", "health": "unavailable", "app_metrics": "off", "reason": "no port is shared",
            },
            "queues": [{"listener": "[::]:3000", "worker": null, "unit": "connections", "length": 1, "limit": 4096, "in_rotation": false}],
            "slots": [
                {
                    "slot": 0, "state": "ready", "pid": 7, "generation": 2, "uptime_seconds": 6.5, "restarts": 3,
                    "streak": 0,
            "status": "42 jobs", "last_exit": {"signal": "SIGKILL"}, "last_cause": "oom",
                    "due_seconds": null, "cpu_seconds": 1.5, "cpu_percent": 23.1, "memory_bytes": 4096,
                    "connections": 5, "queue": 2, "in_rotation": true
                },
                {
                    "slot": 1, "state": "backoff", "pid": null, "generation": 2, "uptime_seconds": null,
                    "restarts": 3, "streak": 1,
            "status": "42 jobs", "last_exit": {"code": 1}, "last_cause": "exit",
                    "due_seconds": 1.499, "cpu_seconds": null, "cpu_percent": null, "memory_bytes": null,
                    "connections": null, "queue": null, "in_rotation": null
                }
            ],
            "rising": [],
            "retiring": [],
            "reloads": [{
                "number": 1, "generation": 1, "workers": 2, "replaced": 1, "result": "failure", "why": "it ended",
                "seconds": 3.0
            }],
            "events": [{"time": 86461.5, "event": "exited", "slot": 3, "exit": "<b>", "pid": null}]
        })
    );
}

#[test]
fn both_metrics_pages_carry_their_type() {
    let server = Server::start(roomy());
    for path in ["/metrics", "/metrics/runtime"] {
        let answer = server.ask("GET", path);
        assert_eq!((answer.status, answer.body.len()), (200, 40));
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        assert_eq!(answer.header("vary"), Some("accept, accept-encoding"));
        assert_eq!(answer.header("content-encoding"), None);
    }
}

#[test]
fn wishes_reach_the_metrics_as_one_list_each() {
    let server = Server::start(roomy());
    for path in ["/metrics", "/metrics/runtime"] {
        for method in ["GET", "HEAD"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: a/b;q=0.5\r\n\
                 accept: c/d, e/f\r\nAccept: \u{e9}\r\nAccept-Encoding: gzip\r\n\r\n"
            );
            let answer = Answer::parse(&server.talk(request.as_bytes()));
            let wished = "a/b;q=0.5, c/d, e/f";
            assert_eq!(answer.body, if method == "GET" { wished } else { "" });
            let length = wished.len().to_string();
            assert_eq!(answer.header("content-length"), Some(length.as_str()));
            assert_eq!(answer.header("content-encoding"), Some("gzip"));
        }
    }
}

#[test]
fn head_has_the_length_and_not_the_body() {
    let server = Server::start(roomy());
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/startupz",
        "/status",
        "/metrics",
        "/nowhere",
    ] {
        let (get, head) = (server.ask("GET", path), server.ask("HEAD", path));
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.body, "", "{path}");
        assert_eq!(
            head.header("content-length"),
            Some(get.body.len().to_string().as_str()),
            "{path}"
        );
    }
}

#[test]
fn other_paths_and_methods_are_refused() {
    let server = Server::start(roomy());
    for path in ["/metricsx", "/metrics/", "/readyz/x", "//", "/../status"] {
        assert_eq!(server.ask("GET", path).status, 404, "{path}");
    }
    assert_eq!(server.ask("POST", "/nowhere").status, 404);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let answer = server.ask(method, "/status");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("get, head"));
    }
}
