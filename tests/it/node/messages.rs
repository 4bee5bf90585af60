//! What programs send to a primary that is not there.

use serde_json::json;

use super::answered_by;
use crate::harness::nodes::{Service, with_each_node};

/// One `process.send(null)` ends pm2-runtime.
#[test]
fn any_value_may_be_sent() {
    let values = "[null, true, 0, -1.5e300, '', 'x', '\\u2028', '\\ud800', '\\udfff\\ud800', [], {}, [[null]], \
                  { cmd: 5 }, { cmd: null }, { cmd: 'NODE' }, { cmd: 'NODE_NONSENSE' }, { cmd: 'NODE_CLUSTER' }, \
                  { cmd: 'NODE_CLUSTER', act: 'nonsense', seq: 'x' }, { cmd: 'NODE_CLUSTER', act: 'queryServer' }, \
                  { cmd: 'NODE_CLUSTER', act: 'close', key: 'nobody' }, { cmd: 'NODE_CLUSTER', ack: 77 }, \
                  { cmd: 'NODE_HANDLE_ACK' }, { cmd: 'NODE_HANDLE_NACK' }, { ['\\u0000']: '\\u0000' }, \
                  JSON.parse('['.repeat(400) + ']'.repeat(400)), 'y'.repeat(1 << 20)]";
    with_each_node(|version| {
        let mut service = Service::start(version, 2, "serve(PORT)").ready();
        service.workers[0].run(&format!(
            "Promise.all({values}.map((value) => send(value)))"
        ));
        service.workers[0].run("send({ topic: 'last', data: 0 })");
        assert_eq!(service.workers[1].run("hear('last', 1)"), json!([0]));
        // Both are those who began.
        for node in &mut service.workers {
            let pid = node.pid;
            assert_eq!(node.run("process.pid"), pid);
        }
        answered_by(service.v4(), &[0, 1]);
        service.stop();
    });
}

/// Without an acknowledgement Node keeps all later messages to itself, for ever.
#[test]
fn messages_after_a_handle_arrive() {
    with_each_node(|version| {
        let mut service = Service::start(version, 2, "serve(PORT)").ready();
        let code = "new Promise((resolve) => { const server = net.createServer().listen(0, '127.0.0.1', () => { \
                    process.send('a server', server); \
                    const client = net.connect(PORT, '127.0.0.1', () => { \
                      process.send({ topic: 'with', data: 'a socket' }, client, { keepOpen: true }); \
                      resolve(1); }); }); })";
        for round in 1..=3 {
            service.workers[0].run(code);
            service.workers[0].run("send({ topic: 'last', data: 0 })");
            let heard = service.workers[1].run(&format!("hear('last', {round})"));
            assert_eq!(heard.as_array().unwrap().len(), round, "Node {version}");
        }
        service.stop();
    });
}

#[test]
fn the_last_words_of_a_worker_that_dies_are_relayed() {
    with_each_node(|version| {
        let mut service = Service::start(version, 2, "serve(PORT)").ready();
        let code = "for (let data = 0; data < 100; data++) process.send({ topic: 'last', data }); \
                    process.send('end', () => process.kill(process.pid, 'SIGKILL'))";
        service.workers[0].begin(code);
        let heard = service.workers[1].run("hear('last', 100)");
        assert_eq!(heard.as_array().unwrap().len(), 100);
        service.workers[0] = service.nodes.next();
        service.stop();
    });
}
