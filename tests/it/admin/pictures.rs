//! The pictures of the status page in the documents, and the time that it takes for many workers.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::unistd::Pid;

use super::page::{fixture, page_of};
use crate::harness::browser::Browser;
use crate::harness::shared_port::{stop, v4};
use crate::harness::status::{echo, status, wait_status};
use crate::harness::{Connection, Signal, free_port, source, until};

/// Clients that come and go, more and fewer in turn.
fn load(target: SocketAddr, over: &AtomicBool) {
    thread::scope(|scope| {
        for client in 1..=12_u64 {
            scope.spawn(move || {
                for round in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let work = 40 * (1 + (round * client) % 17);
                    // A worker that is killed answers nobody.
                    let _ = Connection::open(target)
                        .and_then(|mut one| one.get(&format!("/slow/{work}")));
                }
            });
        }
    });
}

#[test]
#[ignore = "draws pictures: make screenshots"]
fn screenshots_of_the_status_page() {
    let port = free_port();
    let runtime = echo(port, 4)
        .env("RPM_APP_NAME", "shop")
        .env("RPM_APP_VERSION", "2.4.1")
        .env("RPM_APP_REVISION", "5f3c9ab")
        .env("RPM_DRAIN_TIMEOUT", "30s")
        .env("RPM_MIN_READY", "3s")
        .start();
    runtime.wait_for_status("/startupz", 200);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| load(v4(port), &over));
        let browser = Browser::start("pictures");
        browser.open(&page_of(&runtime));
        runtime.signal(Signal::SIGHUP);
        until("a reload has ended", || {
            runtime.get("/status").json()["reloads"][0]["result"] == "success"
        });
        until("the lines are long", || {
            let points = browser.run(
                "return document.querySelector('td path').getAttribute('d').split('L').length",
            );
            points.as_u64() == Some(30)
        });
        let victim = Pid::from_raw(status(&runtime).pid(3));
        nix::sys::signal::kill(victim, Signal::SIGKILL).unwrap();
        wait_status(&runtime, "its successor serves", |status| {
            status.ready() == 4
        });
        runtime.signal(Signal::SIGHUP);
        until("the second reload is at work", || {
            runtime.get("/status").json()["reloads"][1]["replaced"] == 2
        });
        until("the page shows it", || {
            let shown = browser.run("return document.querySelector('#progress').textContent");
            shown.as_str().unwrap().contains("2 of 4")
        });
        for (name, size, dark) in [
            ("status-light", (1180, 560), false),
            ("status-dark", (1180, 560), true),
            ("status-phone", (390, 844), false),
        ] {
            browser.look_like(size, dark);
            let path = source("docs/pictures").join(format!("{name}.png"));
            fs::write(path, browser.picture()).unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    stop(runtime);
}

#[test]
#[ignore = "measures: see docs/benchmarks.md"]
fn figures_of_an_update_of_512_slots_in_the_page() {
    let runtime = echo(free_port(), 1).start();
    runtime.wait_for_status("/startupz", 200);
    let browser = Browser::start("figures");
    browser.look_like((1180, 900), false);
    browser.open(&page_of(&runtime));
    // Each look has other values, and the layout is part of the time. The page itself asks nobody meanwhile.
    let script = format!(
        "asking = true; clearTimeout(timer)
        const times = [], seen = {}
        for (let look = 0; look < 40; look++) {{
            seen.runtime.uptime_seconds += 1
            for (const slot of seen.slots) {{
                slot.uptime_seconds += 1
                slot.cpu_seconds += (look * slot.slot) % 10 / 10
                slot.connections = (look * 7 + slot.slot) % 50
                slot.queue = (look * 3 + slot.slot) % 5
                slot.memory_bytes += 40960
            }}
            const began = performance.now()
            show(seen)
            document.body.offsetHeight
            times.push(performance.now() - began)
            await new Promise(next => setTimeout(next, 50))
        }}
        return times",
        fixture(512)
    );
    let times: Vec<f64> = serde_json::from_value(browser.run(&script)).unwrap();
    let mut later = times[1..].to_vec();
    later.sort_by(f64::total_cmp);
    println!(
        "an update of 512 slots: the first {:.0} ms, then {:.0} ms in the middle, at most {:.0} ms",
        times[0],
        later[later.len() / 2],
        later[later.len() - 1]
    );
    stop(runtime);
}
