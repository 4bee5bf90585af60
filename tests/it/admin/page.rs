//! The status page in a real browser.

use std::fmt::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::browser::Browser;
use crate::harness::shared_port::stop;
use crate::harness::status::{echo, status};
use crate::harness::{Builder, Runtime, Signal, free_port, scratch, source, until};

/// A name and a status that would be a script, a picture and an element, if somebody took them for HTML.
const HOSTILE: &str = "<script>taken=1</script><img src=x onerror=taken=1>&lt;b&gt;\"'";

/// A script that returns the texts of the table, row by row.
const TABLE: &str = "return [...document.querySelectorAll('tbody tr')].map(tr => [...tr.cells].map(td => td.textContent))";

fn serving(workers: u16) -> Builder {
    echo(free_port(), workers).env("RPM_MIN_READY", "0s")
}

pub fn page_of(runtime: &Runtime) -> String {
    format!("http://{}/", runtime.admin())
}

#[track_caller]
fn table(browser: &Browser) -> Vec<Vec<String>> {
    serde_json::from_value(browser.run(TABLE)).unwrap()
}

#[track_caller]
fn text(browser: &Browser, of: &str) -> String {
    let script = format!("return document.querySelector('{of}').textContent");
    browser.run(&script).as_str().unwrap().to_owned()
}

/// The cells of the table that the server has written.
fn written(page: &str) -> Vec<Vec<String>> {
    let rows = page.split("<tr class=").skip(1);
    let cell = |cell: &str| {
        let content = cell.split_once('>').unwrap().1;
        content.split("</td>").next().unwrap().to_owned()
    };
    rows.map(|row| row.split("<td").skip(1).map(cell).collect())
        .collect()
}

/// The base64 form of a hash, as a policy has it.
fn hash(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut coded = String::new();
    for three in Sha256::digest(text).chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| {
            bits << 8 | usize::from(three.get(at).copied().unwrap_or(0))
        });
        for place in (0..=three.len()).map(|place| 18 - 6 * place) {
            coded.push(LETTERS[bits >> place & 63].into());
        }
        coded.push_str(&"=".repeat(3 - three.len()));
    }
    coded
}

#[test]
fn the_page_is_small_and_may_do_nothing_but_its_one_style_its_one_script_and_ask_this_address() {
    let runtime = serving(1).start();
    runtime.wait_for_status("/startupz", 200);
    let reply = runtime.get("/");
    let page = reply.text();
    let between = |tag: &str| {
        let parts: Vec<&str> = page.split(&format!("<{tag}>")).collect();
        let [_, after] = parts[..] else {
            panic!("not one {tag}: {page}")
        };
        after.split(&format!("</{tag}>")).next().unwrap().to_owned()
    };
    let mut policy = String::from("default-src 'none'; connect-src 'self'; img-src data:; ");
    for (kind, tag) in [("style-src", "style"), ("script-src", "script")] {
        write!(policy, "{kind} 'sha256-{}'; ", hash(&between(tag))).unwrap();
    }
    policy += "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let table = [
        ("content-security-policy", policy.as_str()),
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ];
    for (name, value) in table {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    let file = std::fs::read_to_string(source("src/admin/page.html")).unwrap();
    assert!(file.len() < 9000, "{} bytes", file.len());
    assert!(!file.contains("innerHTML"));
    assert!(!page.contains("<!--"), "a place was not filled in");
    stop(runtime);
}

#[test]
fn without_a_script_the_page_is_a_table_of_this_moment() {
    let runtime = serving(2).env("RPM_APP_NAME", "shop").start();
    runtime.wait_for_status("/startupz", 200);
    let browser = Browser::start("plain");
    browser.tool(
        "Emulation.setScriptExecutionDisabled",
        &json!({"value": true}),
    );
    browser.open(&page_of(&runtime));
    let html = browser.html();
    assert!(html.contains("<h1>shop</h1>"), "{html}");
    assert!(!html.contains("<svg"), "{html}");
    let rows = written(&html);
    assert_eq!(rows.len(), 2, "{html}");
    let status = status(&runtime);
    for (slot, row) in rows.iter().enumerate() {
        assert_eq!(row[0], slot.to_string());
        assert_eq!(row[1], "ready");
        assert_eq!(row[2], status.pid(slot).to_string());
    }
    assert!(html.contains("read-only"), "{html}");
    stop(runtime);
}

#[test]
fn the_page_follows_a_crash_and_a_reload_without_being_loaded_again() {
    let directory = scratch("page-version");
    let version = |version: &str| {
        let package = json!({"name": "shop", "version": version}).to_string();
        std::fs::write(directory.join("package.json"), package).unwrap();
    };
    version("1.0.0");
    let runtime = serving(2).directory(&directory).start();
    runtime.wait_for_status("/startupz", 200);
    let browser = Browser::start("live");
    browser.open(&page_of(&runtime));
    browser.run("window.stays = 1");
    until("the script has drawn", || {
        browser.run("return document.querySelectorAll('td svg path').length") == 6
    });
    // The script says what the server has written; only times, CPU and memory may have moved.
    let page = runtime.get("/").text();
    let about = text(&browser, "#about");
    assert!(about.starts_with("1.0.0, "), "{about}");
    assert!(page.contains(&format!("<p id=\"about\">{about}</p>")));
    let first = written(&page);
    let drawn = table(&browser);
    assert_eq!(drawn.len(), 2);
    for (row, own) in first.iter().zip(&drawn) {
        for column in [0, 1, 2, 3, 5, 6, 9, 10, 11, 12] {
            assert_eq!(row[column], own[column], "column {column}");
        }
    }
    assert_eq!(text(&browser, "#reloads"), "none since the start");

    let killed = status(&runtime).pid(1);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    until("the page shows the crash and the next worker", || {
        let rows = table(&browser);
        rows.iter().any(|row| {
            row[0] == "1"
                && row[1] == "ready"
                && row[2] != killed.to_string()
                && row[6] == "SIGKILL"
        })
    });
    version("2.0.0");
    runtime.signal(Signal::SIGHUP);
    until("the page shows the new version", || {
        text(&browser, "#about").starts_with("2.0.0, ")
    });
    until("the page shows the reload", || {
        text(&browser, "#reloads").starts_with("reload 1 success, 2 of 2 workers replaced, ")
            && table(&browser).iter().all(|row| row[3] == "1")
    });
    let events = text(&browser, "#events");
    for part in [
        " exited, slot 1, cause signal, exit SIGKILL, next restart, pid ",
        " reload-ended, replaced 2, result success, seconds ",
    ] {
        assert!(events.contains(part), "{part}: {events}");
    }
    assert_eq!(browser.run("return window.stays"), 1);
    assert_eq!(browser.console(), Vec::<String>::new());
    // The console would have told.
    browser.run("await fetch('http://127.0.0.1:1/')");
    assert!(
        browser
            .console()
            .concat()
            .contains("Content Security Policy")
    );
    let before = text(&browser, "#lost");
    assert_eq!(before, "");
    stop(runtime);
    until("the page says that nobody answers", || {
        text(&browser, "#lost").starts_with("no answer since ")
    });
}

#[test]
fn the_path_of_a_check_is_shown_to_nobody_without_the_control_socket() {
    let worker = "import os\n\
        from http.server import BaseHTTPRequestHandler, HTTPServer\n\
        class Handler(BaseHTTPRequestHandler):\n\
        \x20   def do_GET(self):\n\
        \x20       self.send_response(404 if os.path.exists('bad') else 200)\n\
        \x20       self.send_header('Content-Length', '0')\n\
        \x20       self.end_headers()\n\
        HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()";
    let directory = scratch("page-check");
    let runtime = Runtime::builder()
        .env("RPM_READY", "http:/up?token=sesame")
        .env("RPM_READY_TIMEOUT", "2s")
        .env("RPM_MIN_READY", "0s")
        .env("PORT", free_port().to_string())
        .directory(&directory)
        .program(["python3", "-c", worker])
        .start();
    runtime.wait_for_status("/startupz", 200);
    std::fs::write(directory.join("bad"), "").unwrap();
    runtime.signal(Signal::SIGHUP);
    until("the reload has failed", || {
        runtime.get("/status").json()["reloads"][0]["result"] == "failure"
    });
    let status = runtime.get("/status");
    let why = status.json()["reloads"][0]["why"].to_string();
    assert!(
        why.contains("does not answer the path of RPM_READY"),
        "{why}"
    );
    for page in [status.text(), runtime.get("/").text()] {
        assert!(page.contains("not-up"), "{page}");
        assert!(!page.contains("sesame"), "{page}");
    }
    // The log has it.
    let failed = "a new worker did not come up";
    runtime.wait_for_line(|line| line.contains(failed) && line.contains("token=sesame"));
    stop(runtime);
}

#[test]
fn the_page_shows_the_workers_of_a_runtime_that_was_started_again() {
    let runtime = serving(1).start();
    runtime.wait_for_status("/startupz", 200);
    let browser = Browser::start("again");
    browser.open(&page_of(&runtime));
    let before = fixture(2);
    let mut after = fixture(2);
    after["runtime"]["uptime_seconds"] = json!(3.5);
    after["slots"][0]["pid"] = json!(71);
    after["slots"][1]["pid"] = json!(72);
    // In one go, so that the next answer of the runtime does not come between.
    let drawn = browser.run(&format!("show({before}); show({after}); {TABLE}"));
    let rows: Vec<Vec<String>> = serde_json::from_value(drawn).unwrap();
    let pids: Vec<&str> = rows.iter().map(|row| row[2].as_str()).collect();
    assert_eq!(pids, ["71", "72"]);
    assert_eq!(browser.console(), Vec::<String>::new());
    stop(runtime);
}

#[test]
fn what_others_wrote_is_text_in_the_page() {
    let worker = "import os, socket, time\n\
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
        a = os.environ['NOTIFY_SOCKET']\n\
        s.connect('\\0' + a[1:] if a[0] == '@' else a)\n\
        s.send(('READY=1\\nSTATUS=' + os.environ['WORDS']).encode())\n\
        while True: time.sleep(100)";
    let runtime = Runtime::builder()
        .env("RPM_APP_NAME", HOSTILE)
        .env("RPM_READY", "notify")
        .env("WORDS", HOSTILE)
        .env("SECRET", "a-value-of-the-environment")
        .program(["python3", "-c", worker])
        .start();
    runtime.wait_for_status("/startupz", 200);
    let page = runtime.get("/").text();
    assert!(!page.contains("taken=1</script>"), "{page}");
    assert!(!page.contains("<img"), "{page}");
    assert!(!page.contains("a-value-of-the-environment") && !page.contains("SECRET"));
    let browser = Browser::start("hostile");
    browser.open(&page_of(&runtime));
    until("the script has drawn", || {
        browser.run("return document.querySelectorAll('td svg').length") == 3
    });
    assert_eq!(table(&browser)[0][12], HOSTILE);
    assert_eq!(text(&browser, "h1"), HOSTILE);
    assert_eq!(browser.run("return document.title"), HOSTILE);
    let elements = "return [window.taken, document.images.length, document.scripts.length, document.querySelectorAll('b').length]";
    assert_eq!(browser.run(elements), json!([null, 0, 1, 0]));
    assert_eq!(browser.console(), Vec::<String>::new());
    stop(runtime);
}

/// `/status` of this many slots, of which some need attention.
pub fn fixture(slots: u32) -> Value {
    let worker = |slot: u32| {
        let state = match slot {
            300 => "backoff",
            200 => "starting",
            _ => "ready",
        };
        json!({
            "slot": slot, "state": state, "pid": 1000 + slot, "generation": 3, "uptime_seconds": 5000.0 + f64::from(slot),
            "restarts": slot % 7, "streak": 0, "last_exit": {"code": 1}, "last_cause": "oom", "status": null,
            "due_seconds": null, "cpu_seconds": f64::from(slot) * 1.5, "cpu_percent": 3.25,
            "memory_bytes": 60_000_000 + slot, "connections": slot % 50, "queue": slot % 3, "in_rotation": true
        })
    };
    json!({
        "app": {"name": "shop", "version": null, "revision": null, "branch": null},
        "runtime": {"uptime_seconds": 1e6, "state": "reloading", "desired": slots, "generation": 3},
        "slots": (0..slots).map(worker).collect::<Vec<Value>>(), "rising": [], "retiring": [],
        "reloads": [{"number": 1, "generation": 3, "workers": slots, "replaced": 12, "result": null, "why": null, "seconds": 61.0}],
        "events": [],
    })
}

#[test]
fn every_row_of_512_slots_is_drawn_and_what_needs_attention_is_first() {
    let runtime = serving(1).start();
    runtime.wait_for_status("/startupz", 200);
    let browser = Browser::start("many");
    browser.open(&page_of(&runtime));
    // In one go, so that the next answer of the runtime does not come between.
    let drawn = browser.run(&format!("show({}); {TABLE}", fixture(512)));
    let rows: Vec<Vec<String>> = serde_json::from_value(drawn).unwrap();
    let slots: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(slots.len(), 512);
    assert_eq!(slots[..4], ["300", "200", "0", "1"]);
    assert_eq!(slots[511], "511");
    let shown = [
        "300",
        "backoff",
        "1300",
        "3",
        "1h28m",
        "6",
        "exit code 1 (oom)",
        "3.3",
        "57.2M",
        "0",
        "0",
        "yes",
        "",
    ];
    assert_eq!(rows[0], shown);
    let told = browser.run(&format!(
        "show({}); return [document.querySelector('#progress').textContent, document.querySelector('progress').value]",
        fixture(512)
    ));
    assert_eq!(told, json!([" reload 1: 12 of 512 workers replaced", 12]));
    assert_eq!(browser.console(), Vec::<String>::new());
    stop(runtime);
}

#[test]
fn on_a_phone_nothing_is_wider_than_the_screen_and_every_value_has_its_name() {
    let runtime = serving(2).env("RPM_APP_NAME", "a-name-".repeat(9)).start();
    runtime.wait_for_status("/startupz", 200);
    let browser = Browser::start("phone");
    browser.look_like((390, 844), false);
    browser.open(&page_of(&runtime));
    until("the script has drawn", || {
        browser.run("return document.querySelectorAll('td svg').length") == 6
    });
    assert_eq!(
        browser.run("return document.documentElement.scrollWidth"),
        390
    );
    let name = "return getComputedStyle(document.querySelector('tbody td:nth-child(9)'), '::before').content";
    assert_eq!(browser.run(name), "\"Memory\"");
    // Dark and light differ.
    let back = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(back);
    browser.look_like((390, 844), true);
    assert_ne!(browser.run(back), light);
    stop(runtime);
}
