//! A real Chromium, by its driver: WebDriver, which is JSON over plain HTTP. It reaches nothing but this machine.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{Connection, Signal, descendants, free_port, process, scratch, until};

/// Switches of Chromium: no sandbox (it needs rights that containers do not have), no names of other machines.
const SWITCHES: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// One browser with one window. Dropping it ends the browser and its driver.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    directory: PathBuf,
}

impl Browser {
    /// Starts one. `name` is that of its directory.
    #[track_caller]
    pub fn start(name: &str) -> Self {
        let directory = scratch(&format!("browser-{name}"));
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .arg("--allowed-ips=127.0.0.1")
            .env("HOME", &directory)
            .env("TMPDIR", &directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is missing: scripts/test-deps");
        let mut browser = Self {
            driver,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            session: String::new(),
            directory,
        };
        until("the driver answers", || {
            let mut connection = Connection::open(browser.address).ok();
            let reply = connection.as_mut().map(|one| one.get("/status"));
            matches!(reply, Some(Ok(reply)) if reply.json()["value"]["ready"] == true)
        });
        let mut switches: Vec<String> = SWITCHES.iter().map(|&switch| switch.to_owned()).collect();
        let data = browser.directory.join("data");
        switches.push(format!("--user-data-dir={}", data.display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": switches},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = browser.call("POST", "/session", &wanted);
        browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        browser
    }

    /// Loads a page and waits until it is there.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.command("url", &json!({"url": url}));
    }

    /// What a script returns, as the body of a function that may be asynchronous.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1]; (async () => {{ {script} }})().then(done, e => done('' + e))"
        );
        self.command("execute/async", &json!({"script": script, "args": []}))
    }

    /// A command of the DevTools protocol.
    #[track_caller]
    pub fn tool(&self, command: &str, with: &Value) -> Value {
        let body = json!({"cmd": command, "params": with});
        self.command("goog/cdp/execute", &body)
    }

    /// The HTML of the page as the browser holds it, without running a script in it.
    #[track_caller]
    pub fn html(&self) -> String {
        let document = self.tool("DOM.getDocument", &json!({}));
        // The other number, `nodeId`, ends when the browser reports that the document was updated, as at the end of its load.
        let node = json!({"backendNodeId": document["root"]["backendNodeId"]});
        let html = self.tool("DOM.getOuterHTML", &node);
        html["outerHTML"].as_str().unwrap().to_owned()
    }

    /// The size of the window, and whether the user likes dark pages.
    #[track_caller]
    pub fn look_like(&self, (width, height): (u32, u32), dark: bool) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.tool("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tool("Emulation.setEmulatedMedia", &media);
    }

    /// What the window shows, as a PNG.
    #[track_caller]
    pub fn picture(&self) -> Vec<u8> {
        let picture = self.tool("Page.captureScreenshot", &json!({"format": "png"}));
        decoded(picture["data"].as_str().unwrap())
    }

    /// What the console of the browser has said since the last call: errors of scripts, what the policy of the page
    /// forbids, what could not be loaded.
    #[track_caller]
    pub fn console(&self) -> Vec<String> {
        let said = self.command("se/log", &json!({"type": "browser"}));
        let said = said.as_array().unwrap().iter();
        said.map(ToString::to_string).collect()
    }

    #[track_caller]
    fn command(&self, path: &str, body: &Value) -> Value {
        self.call("POST", &format!("{}/{path}", self.session), body)
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut connection = Connection::open(self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = connection.stream();
        stream.write_all((head + &body).as_bytes()).unwrap();
        let reply = connection.reply().unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without a session there is no browser.
        if !self.session.is_empty() {
            let head = format!(
                "DELETE {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                self.session
            );
            if let Ok(mut connection) = Connection::open(self.address) {
                let sent = connection.stream().write_all(head.as_bytes());
                // It answers when the browser has ended.
                let _ = sent.and_then(|()| connection.reply());
            }
        }
        // If the driver did not end the browser, it still is its child.
        let left = descendants(self.driver.id().try_into().unwrap_or(i32::MAX));
        for process in left {
            // It fails only if it has ended.
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        // Both fail only if it has ended.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn a_browser_ends_though_its_driver_does_not_end_it() {
    let mut browser = Browser::start("left");
    let all = descendants(browser.driver.id().try_into().unwrap());
    assert!(!all.is_empty());
    browser.session = "/session/none".to_owned();
    drop(browser);
    let lives = |pid| process(pid).is_some_and(|one| !one.is_zombie());
    until("all of the browser has ended", || {
        !all.iter().any(|one| lives(one.pid))
    });
}

/// The bytes of base64.
fn decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = (bits << 6 | u32::from(value)) & 0xf_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff).try_into().unwrap());
        }
    }
    bytes
}
