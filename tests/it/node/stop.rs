//! The end of a worker, by the cluster and by the program itself.

use std::io::Write;

use serde_json::json;

use super::answered_by;
use crate::harness::nodes::{Service, with_each_node};
use crate::harness::shared_port::wait_rotation;
use crate::harness::{Connection, Signal};

#[test]
fn without_the_option_no_message_comes() {
    let start = "process.on('message', (message) => tell({ message })), \
                 process.on('SIGTERM', () => { tell('TERM'); process.exit(0); }), serve(PORT)";
    with_each_node(|version| {
        let mut service = Service::start(version, 1, start).ready();
        service.runtime.signal(Signal::SIGTERM);
        let told = service.workers[0].ended();
        assert_eq!(told, [json!("TERM")]);
        assert_eq!(service.runtime.wait_exit().code(), Some(0));
    });
}

/// A channel that is closed early makes `process.send` throw, and the program exits with 1.
#[test]
fn the_channel_stays_open_until_the_end_of_the_worker() {
    with_each_node(|version| {
        let start = "process.on('SIGTERM', async () => { \
                       for (let turn = 0; turn < 20; turn++) { \
                         await send({ topic: 'late', data: turn }); await new Promise((done) => setTimeout(done, 10)); } \
                       tell({ connected: process.connected, dead: cluster.worker.isDead() }); process.exit(0); }), \
                     serve(PORT)";
        let mut service = Service::start(version, 2, start).ready();
        service.runtime.signal(Signal::SIGTERM);
        for node in &mut service.workers {
            let told = node.ended();
            assert_eq!(told, [json!({ "connected": true, "dead": false })]);
        }
        assert_eq!(service.runtime.wait_exit().code(), Some(0));
    });
}

/// What a program does to leave, what it tells until its end, and the log of its end.
#[test]
fn a_worker_that_leaves_by_itself_ends_as_under_node_and_is_replaced() {
    let leaving = [
        // Ends its servers, then the channel, then itself, because nothing holds it.
        ("cluster.worker.disconnect()", true),
        ("cluster.worker.kill()", true),
        // As if the primary had died.
        ("process.disconnect()", false),
        (
            "cluster.worker.disconnect(), cluster.worker.disconnect()",
            true,
        ),
    ];
    with_each_node(|version| {
        let start = "process.on('exit', (code) => fs.writeSync(1, `left ${code} ${cluster.worker.exitedAfterDisconnect}\\n`)), \
                     serve(PORT)";
        let mut service = Service::start(version, 2, start).ready();
        for (number, (code, voluntary)) in leaving.into_iter().enumerate() {
            let node = &mut service.workers[0];
            node.begin(code);
            node.ended();
            service.workers[0] = service.nodes.next();
            assert_eq!(service.workers[0].slot, 0);
            let left = |line: &str| line.starts_with("left ");
            let lines = service.runtime.wait_for_lines(number + 1, left);
            let said = if voluntary { "true" } else { "undefined" };
            assert_eq!(
                lines[number],
                format!("left 0 {said}"),
                "Node {version}: {code}"
            );
            wait_rotation(&service.runtime, &[0, 1]);
            answered_by(service.v4(), &[0, 1]);
        }
        service.stop();
    });
}

/// A request in work is answered before the worker ends.
#[test]
fn a_worker_that_disconnects_answers_what_it_has_begun() {
    with_each_node(|version| {
        let start = "listening(http.createServer((request, response) => { \
                       tell('begun'); globalThis.finish = () => response.end('done'); }), PORT)";
        let mut service = Service::start(version, 1, start).ready();
        let mut client = Connection::open(service.v4()).unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        client.stream().write_all(request).unwrap();
        assert_eq!(service.workers[0].told(), Some(json!("begun")));
        service.workers[0].run("cluster.worker.disconnect(), setTimeout(finish, 200), 1");
        assert_eq!(client.reply().unwrap().text(), "done");
        service.workers[0].ended();
        service.workers[0] = service.nodes.next();
        service.stop();
    });
}
