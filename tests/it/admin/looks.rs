//! What `/status` reads of the workers when somebody looks.

use std::fs;
use std::net::TcpStream;

use crate::harness::shared_port::{stop, v4};
use crate::harness::status::echo;
use crate::harness::{Runtime, Signal, example, free_port, scratch, until};

fn readings(runtime: &Runtime) -> usize {
    let lines = runtime.texts();
    let lines = lines.iter();
    lines
        .filter(|line| line.contains("read the workers' processes"))
        .count()
}

#[test]
fn the_status_has_cpu_memory_connections_queue_and_rotation_of_every_worker() {
    let port = free_port();
    let runtime = echo(port, 2).start();
    runtime.wait_for_status("/startupz", 200);
    for worker in runtime.get("/status").json()["slots"].as_array().unwrap() {
        assert!(worker["memory_bytes"].as_u64().unwrap() > 0, "{worker}");
        assert!(worker["cpu_seconds"].as_f64().unwrap() >= 0.0, "{worker}");
        assert!(worker["cpu_percent"].as_f64().unwrap() >= 0.0, "{worker}");
        assert_eq!(worker["connections"], 0, "{worker}");
        assert_eq!(worker["queue"], 0, "{worker}");
        assert_eq!(worker["in_rotation"], true, "{worker}");
    }
    let kept: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(v4(port)).unwrap())
        .collect();
    until("the connections are counted", || {
        let status = runtime.get("/status").json();
        let slots = status["slots"].as_array().unwrap().iter();
        slots
            .map(|slot| slot["connections"].as_u64().unwrap())
            .sum::<u64>()
            == 3
    });
    drop(kept);
    stop(runtime);
}

#[test]
fn nothing_is_read_of_the_workers_while_nobody_looks() {
    let runtime = echo(free_port(), 1).env("RPM_LOG_LEVEL", "debug").start();
    runtime.wait_for_status("/startupz", 200);
    for path in ["/livez", "/readyz", "/metrics", "/metrics/runtime"] {
        assert_eq!(runtime.get(path).status, 200, "{path}");
    }
    // What they might have caused would be in the log before the line of the signal.
    runtime.signal(Signal::SIGUSR1);
    runtime.wait_for_line(|line| line.contains("SIGUSR1"));
    assert_eq!(readings(&runtime), 0, "{}", runtime.shown());
    for path in ["/status", "/"] {
        assert_eq!(runtime.get(path).status, 200, "{path}");
    }
    until("the reading is logged", || readings(&runtime) > 0);
    stop(runtime);
}

#[test]
fn the_status_tells_how_reloads_ended_and_nothing_of_what_the_program_said() {
    let mark = scratch("status-reload").join("broken");
    let script = format!(
        "if [ -e {} ]; then echo password=123 >&2; exit 3; fi; exec \"$0\"",
        mark.display()
    );
    let runtime = Runtime::builder()
        .env("RPM_MIN_READY", "0s")
        .env("PORT", free_port().to_string())
        .program(["sh", "-c", &script])
        .arg(example("echo_server"))
        .start();
    runtime.wait_for_status("/startupz", 200);
    assert_eq!(
        runtime.get("/status").json()["reloads"],
        serde_json::json!([])
    );
    let reload = |number: usize, result: &str| {
        runtime.signal(Signal::SIGHUP);
        until("the reload has ended", || {
            let status = runtime.get("/status").json();
            let last = &status["reloads"][number - 1];
            last["number"] == number && last["result"] == result
        });
    };
    reload(1, "success");
    fs::write(&mark, "").unwrap();
    reload(2, "failure");
    let status = runtime.get("/status");
    let reloads = status.json()["reloads"].clone();
    assert_eq!(
        (&reloads[0]["replaced"], &reloads[0]["why"]),
        (&1.into(), &().into())
    );
    let why = reloads[1]["why"].as_str().unwrap();
    assert!(why.contains("it exited with code 3"), "{why}");
    assert!(!status.text().contains("password"), "{}", status.text());
    fs::remove_file(&mark).unwrap();
    stop(runtime);
}
