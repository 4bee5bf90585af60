//! Messages from one worker to all others.

use serde_json::{Value, json};

use crate::harness::nodes::{Node, Nodes, Service, raw, with_each_node};
use crate::harness::reloads::reload;
use crate::harness::shared_port::{stop, wait_ready};

/// Ready when the test lets it listen: `go()`.
const HELD: &str = "new Promise((resolve) => { globalThis.go = () => serve(PORT); resolve(1); })";

fn numbers(count: u32) -> Value {
    (0..count).map(Value::from).collect()
}

fn send_many(node: &mut Node, topic: &str, count: u32) {
    let code = format!(
        "Promise.all(Array.from({{ length: {count} }}, (_, data) => send({{ topic: '{topic}', data }})))"
    );
    node.run(&code);
}

#[test]
fn what_a_worker_sends_reaches_every_other_slot_once_and_in_order() {
    with_each_node(|version| {
        let mut service = Service::start(version, 3, "serve(PORT)").ready();
        for slot in 0..3_usize {
            send_many(&mut service.workers[slot], &format!("from{slot}"), 500);
        }
        for slot in 0..3_usize {
            for sender in (0..3).filter(|sender| *sender != slot) {
                let heard = service.workers[slot].run(&format!("hear('from{sender}', 500)"));
                assert_eq!(heard, numbers(500), "Node {version}: {sender} to {slot}");
            }
        }
        // Another message from each, so that a second copy would have come before.
        service.each("send({ topic: 'end', data: 0 })");
        for slot in 0..3_usize {
            let node = &mut service.workers[slot];
            assert_eq!(node.run("hear('end', 2)"), json!([0, 0]));
            assert_eq!(node.run("got.length"), 1002);
            assert_eq!(node.run(&format!("heard('from{slot}')")), json!([]));
        }
        service.stop();
    });
}

/// Messages that no parser and writer would leave as they are.
const EXACT: &[&str] = &[
    r#"{"topic":"t","data":1}"#,
    r#"{ "data" : [ 1.0 , 1e5, -0, 12345678901234567890123 ] , "topic" : "t" }"#,
    r#"{"topic":"t","data":"\ud800\u0041\/"}"#,
    r#"{"z":{"topic":1},"topic":"ü","data":null}"#,
    r#"{"topic":["t"],"data":false,"cmd":"other"}"#,
];

/// The workers are Python programs under the name `node`, which see the bytes of the channel.
#[test]
fn a_message_is_relayed_byte_for_byte() {
    let nodes = Nodes::new();
    let runtime = raw(&nodes, "intercom-raw", 2, "listen()").start();
    wait_ready(&runtime, 2);
    let mut workers = nodes.take(2);
    let depth = 400;
    let deep = format!(
        "{{\"topic\":\"deep\",\"data\":{}{}}}",
        "[".repeat(depth),
        "]".repeat(depth)
    );
    let messages = EXACT.iter().copied().chain([deep.as_str()]);
    for message in messages {
        println!("{message}");
        workers[0].run(&format!("write({} + '\\n')", json!(message)));
        assert_eq!(workers[1].run("read_line()"), message);
    }
    stop(runtime);
}

#[test]
fn what_is_for_a_worker_that_is_not_ready_is_held_until_it_is() {
    with_each_node(|version| {
        let mut service = Service::start(version, 2, HELD);
        send_many(&mut service.workers[0], "first", 100);
        for node in &mut service.workers {
            node.run("go()");
        }
        let mut service = service.ready();
        assert_eq!(service.workers[1].run("hear('first', 100)"), numbers(100));
        service.replace(1);
        send_many(&mut service.workers[0], "second", 100);
        assert_eq!(service.workers[1].run("got.length"), 0);
        service.workers[1].run("go()");
        assert_eq!(service.workers[1].run("hear('second', 100)"), numbers(100));
        assert_eq!(service.workers[1].run("got.length"), 100);
        service.stop();
    });
}

/// A message of the old worker 0 does not come to its successor, which is the same slot.
#[test]
fn in_a_reload_each_message_reaches_one_worker_of_the_slot() {
    with_each_node(|version| {
        let mut service = Service::start(version, 2, "serve(PORT)").ready();
        let sending = "globalThis.count = 0, globalThis.timer = setInterval(() => \
                       process.send({ topic: 'tick', data: count++ }), 1), 1";
        service.workers[0].run(sending);
        let mut old = service.workers.remove(1);
        let mut sender = service.workers.remove(0);
        sender.run("process.on('SIGTERM', () => { clearInterval(timer); tell({ count }); process.exit(0); }), 1");
        old.run("process.on('SIGTERM', () => { tell(heard('tick')); process.exit(0); }), 1");
        reload(&service.runtime);
        let sent = sender.ended().last().unwrap()["count"].as_u64().unwrap();
        service.workers = service.nodes.take(2);
        let old = old.ended().pop().unwrap();
        let until = old.as_array().unwrap().len() as u64;
        let new = service.workers[1].run(&format!("hear('tick', {})", sent - until));
        let all: Vec<Value> = [old, new]
            .into_iter()
            .flat_map(|part| part.as_array().unwrap().clone())
            .collect();
        assert_eq!(Value::from(all), numbers(u32::try_from(sent).unwrap()));
        assert_eq!(service.workers[0].run("heard('tick')"), json!([]));
        service.stop();
    });
}

#[test]
fn bare_values_and_packets_of_the_bus_are_not_relayed() {
    let others = "[null, true, 7, 'ready', 'shutdown', 'x', [1], {}, { topic: 't' }, { data: 1 }, { topic: '', data: 1 }, \
                  { topic: 0, data: 1 }, { type: 'axm:monitor', data: {} }, { type: 'process:msg', data: 'x' }, \
                  { topic: null, data: 1 }]";
    with_each_node(|version| {
        let mut service = Service::start(version, 2, "serve(PORT)").ready();
        let code = format!("Promise.all({others}.map((value) => send(value)))");
        service.workers[0].run(&code);
        service.workers[0].run("send({ topic: 'last', data: 0 })");
        service.workers[1].run("hear('last', 1)");
        assert_eq!(
            service.workers[1].run("got"),
            json!([{ "topic": "last", "data": 0 }])
        );
        assert_eq!(service.workers[0].run("got"), json!([]));
        service.stop();
    });
}

/// The answer to a later question of the same channel shows that the message was read and dropped.
#[test]
fn nothing_is_relayed_when_the_intercom_is_off() {
    with_each_node(|version| {
        let mut service = Service::with(version, 2, "serve(PORT)", |builder| {
            builder.env("RPM_NODE_INTERCOM", "off")
        })
        .ready();
        service.workers[0].run("send({ topic: 'all', data: 0 })");
        service.each("serve(0)");
        assert_eq!(service.each("got"), [json!([]), json!([])]);
        service.stop();
    });
}

#[test]
fn a_message_of_16_mib_is_relayed() {
    let mut service = Service::start(22, 2, "serve(PORT)").ready();
    service.workers[0].run("send({ topic: 'big', data: 'x'.repeat((16 << 20) - 100) })");
    let length = service.workers[1].run("hear('big', 1).then(([data]) => data.length)");
    assert_eq!(length, (16 << 20) - 100);
    service.stop();
}
