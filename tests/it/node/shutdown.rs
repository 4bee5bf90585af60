//! `RPM_STOP_MESSAGE`: the message `shutdown` before the stop signal.

use serde_json::{Value, json};

use crate::harness::nodes::{Node, Service, with_each_node};
use crate::harness::reloads::reload;
use crate::harness::{Builder, Signal};

/// Tells the message and the signal, each with the time in ms.
const TELLS: &str = "process.on('message', (message) => tell({ message, at: Date.now() })), \
                     process.on('SIGTERM', () => { tell({ signal: 'TERM', at: Date.now() }); process.exit(0); }), \
                     serve(PORT)";

/// The same, and leaves at the message, after some work.
const LEAVES: &str = "process.on('SIGTERM', () => tell({ signal: 'TERM' })), \
                      process.on('message', (message) => { \
                        tell({ message }); \
                        if (message === 'shutdown') setTimeout(() => { tell('cleaned up'); process.exit(0); }, 200); }), \
                      serve(PORT)";

fn by_message(grace: &str) -> impl FnOnce(Builder) -> Builder {
    move |builder| {
        builder
            .env("RPM_STOP_MESSAGE", "true")
            .env("RPM_STOP_TIMEOUT", grace)
    }
}

fn at(told: &Value) -> u64 {
    told["at"].as_u64().unwrap()
}

fn cleaned_up(node: &mut Node) {
    let wanted = [json!({ "message": "shutdown" }), json!("cleaned up")];
    assert_eq!(node.ended(), wanted);
}

#[test]
fn a_program_that_leaves_at_the_message_gets_no_signal() {
    with_each_node(|version| {
        for count in [1, 2] {
            let mut service = Service::with(version, count, LEAVES, by_message("40s")).ready();
            let old: Vec<Node> = service.workers.drain(..).collect();
            reload(&service.runtime);
            service.workers = service.nodes.take(count);
            for mut node in old {
                cleaned_up(&mut node);
            }
            service.runtime.signal(Signal::SIGTERM);
            for node in &mut service.workers {
                cleaned_up(node);
            }
            assert_eq!(service.runtime.wait_exit().code(), Some(0));
        }
    });
}

#[test]
fn a_program_without_a_handler_gets_the_signal_when_half_of_the_grace_is_over() {
    with_each_node(|version| {
        let mut service = Service::with(version, 1, TELLS, by_message("2s")).ready();
        service.runtime.signal(Signal::SIGTERM);
        let told = service.workers[0].ended();
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0]["message"], "shutdown");
        assert_eq!(told[1]["signal"], "TERM");
        // Both clocks are those of the machine.
        let between = at(&told[1]) - at(&told[0]);
        assert!((900..2_000).contains(&between), "{between} ms");
        assert_eq!(service.runtime.wait_exit().code(), Some(0));
    });
}

/// Half of this grace is longer than the patience of the test.
#[test]
fn a_program_that_closes_its_channel_at_the_message_gets_the_signal_at_once() {
    with_each_node(|version| {
        let start = format!(
            "process.on('message', () => {{ cluster.worker.exitedAfterDisconnect = true; process.disconnect(); }}), \
             stay(), {TELLS}"
        );
        let mut service = Service::with(version, 1, &start, by_message("10m")).ready();
        service.runtime.signal(Signal::SIGTERM);
        let told = service.workers[0].ended();
        assert_eq!(told.last().unwrap()["signal"], "TERM", "{told:?}");
        assert_eq!(service.runtime.wait_exit().code(), Some(0));
    });
}

#[test]
fn a_worker_that_is_deaf_to_both_is_killed_when_the_grace_is_over() {
    let start = "process.on('SIGTERM', () => {}), serve(PORT)";
    let mut service = Service::with(22, 1, start, by_message("1s")).ready();
    service.runtime.signal(Signal::SIGTERM);
    assert_eq!(service.runtime.wait_exit().code(), Some(1));
}
