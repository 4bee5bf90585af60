//! Whether connections are counted for the choice of the worker: it depends on the balance and on the kernel.

use crate::harness::shared_port::{stop, wait_ready};
use crate::harness::status::echo;
use crate::harness::{Builder, Runtime, free_port};

const REASON: &str = "does not count connections on this kernel";

/// Two workers with this balance.
fn with(balance: &str) -> Builder {
    let builder = echo(free_port(), 2).env("RPM_BALANCE", balance);
    builder.env("RPM_LOG_LEVEL", "debug")
}

/// The kernel names itself 2.6 (personality UNAME26), which has no fix.
fn on_an_old_kernel(balance: &str) -> Runtime {
    let runtime = with(balance).under(["/usr/bin/setarch", "--uname-2.6"]);
    let runtime = runtime.start();
    wait_ready(&runtime, 2);
    runtime
}

/// What `/status` says of the choice. Arrivals are told if connections are counted.
fn told(runtime: &Runtime) -> serde_json::Value {
    let balance = &runtime.get("/status").json()["balance"];
    let counts = &balance["counts_connections"];
    assert_eq!(balance["arrivals"].is_u64(), counts == true, "{balance}");
    serde_json::json!({"how": balance["how"], "counts_connections": counts})
}

fn reasons(runtime: &Runtime) -> Vec<String> {
    let texts = runtime.texts().into_iter();
    texts.filter(|line| line.contains(REASON)).collect()
}

#[test]
fn adaptive_counts_no_connections_on_an_unknown_kernel_and_says_why() {
    let runtime = on_an_old_kernel("adaptive");
    let expected = serde_json::json!({"how": "adaptive", "counts_connections": false});
    assert_eq!(told(&runtime), expected);
    let reasons = reasons(&runtime);
    assert_eq!(reasons.len(), 1, "{}", runtime.shown());
    for part in [
        " debug: ",
        "kernel=2.6.",
        "CVE-2026-52910",
        "Update the kernel",
        "RPM_BALANCE=least",
    ] {
        assert!(reasons[0].contains(part), "{part}: {}", reasons[0]);
    }
    stop(runtime);
}

#[test]
fn least_counts_connections_on_every_kernel() {
    let runtime = on_an_old_kernel("least");
    let expected = serde_json::json!({"how": "least", "counts_connections": true});
    assert_eq!(told(&runtime), expected);
    assert!(reasons(&runtime).is_empty(), "{}", runtime.shown());
    stop(runtime);
}

#[test]
fn a_balance_by_chance_counts_no_connections_and_gives_no_reason() {
    let runtime = on_an_old_kernel("random");
    let expected = serde_json::json!({"how": "random", "counts_connections": false});
    assert_eq!(told(&runtime), expected);
    assert!(reasons(&runtime).is_empty(), "{}", runtime.shown());
    stop(runtime);
}
