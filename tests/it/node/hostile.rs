//! Workers that misuse their channel: each is replaced, and the runtime and the others go on.

use std::fs;

use super::answered_by;
use crate::harness::nodes::{Nodes, Service, raw, with_each_node};
use crate::harness::shared_port::{freeze, stop, wait_ready, wait_rotation};
use crate::harness::status::exits;

/// Worker 0 has ended for this reason; its successor serves, and worker 1 is the same as before.
#[track_caller]
fn is_replaced(mut service: Service, reason: &str) {
    service.workers[0] = service.nodes.next();
    assert_eq!(service.workers[0].slot, 0);
    wait_rotation(&service.runtime, &[0, 1]);
    answered_by(service.v4(), &[0, 1]);
    let pid = service.workers[1].pid;
    assert_eq!(service.workers[1].run("process.pid"), pid);
    service.runtime.wait_for_line(|line| line.contains(reason));
    assert_eq!(exits(&service.runtime, "unhealthy"), 1);
    service.stop();
}

/// A worker's line that is not JSON ends pm2-runtime.
#[test]
fn a_worker_that_sends_garbage_is_replaced() {
    with_each_node(|version| {
        let mut service = Service::start(version, 2, "serve(PORT)").ready();
        let code = "fs.writeSync(process.channel.fd, 'GET / HTTP/1.1\\r\\n')";
        service.workers[0].begin(code);
        service.workers[0].ended();
        is_replaced(service, "is not JSON");
    });
}

#[test]
fn a_worker_that_sends_a_line_without_end_is_replaced_and_costs_no_memory() {
    let nodes = Nodes::new();
    let runtime = raw(&nodes, "endless", 2, "listen()").start();
    wait_ready(&runtime, 2);
    let mut workers = nodes.take(2);
    workers[0].begin("flood(300 << 20)");
    workers[0].ended();
    let next = nodes.next();
    assert_eq!(next.slot, 0);
    wait_rotation(&runtime, &[0, 1]);
    assert_eq!(exits(&runtime, "unhealthy"), 1);
    let status = fs::read_to_string(format!("/proc/{}/status", runtime.pid())).unwrap();
    let most = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let most: u64 = most.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{most} kB resident at most");
    assert!(most < 64 << 10, "{most} kB");
    stop(runtime);
}

#[test]
fn a_worker_that_asks_for_servers_without_end_costs_no_descriptors() {
    let nodes = Nodes::new();
    let runtime = raw(&nodes, "asks", 2, "listen()").start();
    wait_ready(&runtime, 2);
    let mut workers = nodes.take(2);
    let asked = workers[0].run("ask(50000)").as_u64().unwrap();
    let open = fs::read_dir(format!("/proc/{}/fd", runtime.pid())).unwrap();
    let open = open.count();
    println!("{asked} questions, {open} descriptors");
    assert!(asked < 50_000);
    assert!(open < 900, "{open} descriptors");
    assert_eq!(runtime.get("/livez").status, 200);
    let next = workers[1].run("ask(1)");
    assert_eq!(next, 1);
    stop(runtime);
}

/// It has 30 s for that.
#[test]
fn a_worker_that_takes_nothing_for_long_is_replaced() {
    let mut service = Service::start(22, 2, "serve(PORT)").ready();
    freeze(service.workers[0].pid);
    let fill = "globalThis.timer = setInterval(() => { \
                  for (let n = 0; n < 100; n++) process.send({ topic: 'fill', data: 'x'.repeat(10000) }); }, 10), 1";
    service.workers[1].run(fill);
    service.workers[0].wait_longer();
    service.workers[0].ended();
    service.workers[1].run("clearInterval(timer), 1");
    is_replaced(service, "has read nothing");
}

/// Each round opens and closes a shared port, and a line tells of either.
#[test]
fn a_worker_that_listens_and_closes_for_ever_does_not_fill_the_log() {
    let mut service = Service::start(22, 2, "serve(PORT)").ready();
    let port = service.nodes.port + 1;
    let code = format!(
        "(async () => {{ for (let round = 0; round < 200; round++) {{\
             const server = require('net').createServer();\
             await new Promise((done, failed) => server.on('error', failed).listen({port}, done));\
             await new Promise((done) => server.close(done));\
         }} }})().then(() => 'done')"
    );
    assert_eq!(service.workers[0].run(&code), "done");
    // What comes after it is told of after it.
    service.workers[0].run(&format!("serve({}).then(() => 'up')", port + 1));
    let last = format!(":{}", port + 1);
    let opened = |line: &str| line.contains("sharing a port ");
    service
        .runtime
        .wait_for_line(|line| opened(line) && line.contains(&last));
    let here = format!(":{port} ");
    let texts = service.runtime.texts();
    let told = texts
        .iter()
        .filter(|line| opened(line) && line.contains(&here));
    assert_eq!(told.count(), 5, "{}", service.runtime.shown());
    service.stop();
}
