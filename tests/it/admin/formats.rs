//! The forms of the metrics pages: formats, encodings, HEAD.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::exposition::{OPENMETRICS, ask, series};
use crate::harness::{Builder, Reply, Runtime, example, free_port};
use flate2::read::GzDecoder;

/// Workers that serve a port that only this test uses.
fn serving(workers: usize) -> Builder {
    Runtime::builder()
        .env("PORT", free_port().to_string())
        .env("RPM_INSTANCES", workers.to_string())
        .arg(example("echo_server"))
}

#[test]
fn the_page_comes_in_the_form_that_was_asked_for() {
    let runtime = serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    let text = "text/plain; version=0.0.4; charset=utf-8";
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
    let prometheus = "Accept: application/openmetrics-text;version=1.0.0,\
        application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let table: [(&[&str], &str, bool); 9] = [
        (&[], text, false),
        (&["Accept: */*", "Accept-Encoding: gzip;q=0"], text, false),
        (&["Accept: image/png"], text, false),
        (&["Accept: ;;q=,"], text, false),
        (&[OPENMETRICS], open, false),
        (&[prometheus, "Accept-Encoding: gzip"], open, true),
        (
            &[
                "Accept: text/plain",
                "Accept: application/openmetrics-text;q=0.9",
            ],
            text,
            false,
        ),
        (
            &[
                "Accept: text/plain;q=0.1",
                "Accept: application/openmetrics-text;q=0.9",
            ],
            open,
            false,
        ),
        (&["Accept-Encoding: br;q=1, gzip;q=0.1"], text, true),
    ];
    let names = |reply: &Reply| {
        let mut page = String::new();
        if reply.header("content-encoding") == Some("gzip") {
            let mut unpacked = GzDecoder::new(&*reply.body);
            unpacked.read_to_string(&mut page).unwrap();
        } else {
            page = reply.text();
        }
        assert_eq!(
            page.ends_with("\n# EOF\n"),
            reply.header("content-type") == Some(open)
        );
        series(&page).into_keys().collect::<Vec<_>>()
    };
    let all = names(&runtime.get("/metrics"));
    assert!(all.contains(&"rpm_ready".to_owned()), "{all:?}");
    for path in ["/metrics", "/metrics/runtime"] {
        for (headers, kind, gzip) in table {
            let reply = ask(&runtime, path, headers);
            assert_eq!(reply.status, 200, "{headers:?}");
            assert_eq!(reply.header("content-type"), Some(kind), "{headers:?}");
            let coding = gzip.then_some("gzip");
            assert_eq!(reply.header("content-encoding"), coding, "{headers:?}");
            assert_eq!(reply.header("vary"), Some("Accept, Accept-Encoding"));
            assert_eq!(names(&reply), all, "{headers:?}");
        }
    }
}

#[test]
fn head_tells_how_long_the_page_is() {
    let runtime = serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    for path in ["/metrics", "/metrics/runtime"] {
        for extra in [
            "",
            "Accept-Encoding: gzip\r\n",
            "Accept: application/openmetrics-text\r\n",
        ] {
            let mut socket = TcpStream::connect(runtime.admin()).unwrap();
            let request =
                format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n{extra}Connection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).unwrap();
            let mut text = String::new();
            socket.read_to_string(&mut text).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, "", "{text}");
            let headers: Vec<&str> = extra.lines().collect();
            let get = ask(&runtime, path, &headers);
            let length = |head: &str| {
                let head = head.to_ascii_lowercase();
                let mut lines = head.lines();
                let line = lines.find_map(|line| line.strip_prefix("content-length: "));
                line.unwrap().trim().parse::<usize>().unwrap()
            };
            // Values change between the two requests.
            let (told, came) = (length(head), get.body.len());
            assert!(told.abs_diff(came) < 200 && came > 1000, "{told} {came}");
            assert_eq!(length(&get.head), came);
            let same = |head: &str, name: &str| {
                let head = head.to_ascii_lowercase();
                let line = head.lines().find(|line| line.starts_with(name));
                line.map(str::to_owned)
            };
            for name in ["content-type", "content-encoding", "vary"] {
                assert_eq!(same(head, name), same(&get.head, name), "{text}");
            }
        }
    }
}
