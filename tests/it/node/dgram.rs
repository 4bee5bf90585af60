//! UDP sockets of workers, through the channel.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::without_port;
use crate::harness::datagrams::Asker;
use crate::harness::nodes::{Service, with_each_node};
use crate::harness::shared_port::{v4, wait_ready, wait_rotation};
use crate::harness::{free_port, until};

/// Which slot answers each of the clients.
fn homes(clients: &mut [Asker]) -> Vec<String> {
    let answers = clients.iter_mut();
    answers.map(|one| one.ask().expect("an answer").1).collect()
}

#[test]
fn a_udp_port_is_shared_and_a_client_stays_with_its_slot() {
    with_each_node(|version| {
        let port = free_port();
        let mut service = without_port(version, &format!("echo('udp4', {port}, '127.0.0.1')"));
        let mut clients: Vec<Asker> = (0..30).map(|_| Asker::new(v4(port))).collect();
        let before = homes(&mut clients);
        assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 2);
        service.reload();
        wait_rotation(&service.runtime, &[0, 1]);
        assert_eq!(homes(&mut clients), before);
        service.replace(0);
        wait_ready(&service.runtime, 5);
        wait_rotation(&service.runtime, &[0, 1]);
        assert_eq!(homes(&mut clients), before);
        service.stop();
    });
}

#[test]
fn udp_port_0_is_one_port_for_all_workers() {
    with_each_node(|version| {
        let mut service = without_port(version, "echo('udp4', 0, '127.0.0.1')");
        let ports = |service: &Service| -> BTreeSet<u64> {
            let nodes = service.workers.iter();
            nodes
                .map(|node| node.started.as_ref().unwrap()["port"].as_u64().unwrap())
                .collect()
        };
        let first = ports(&service);
        assert_eq!(first.len(), 1);
        service.reload();
        assert_eq!(ports(&service), first);
        let port = u16::try_from(*first.first().unwrap()).unwrap();
        let mut seen = BTreeMap::new();
        until("both answer", || {
            let mut client = Asker::new(v4(port));
            let (pid, slot) = client.ask().expect("an answer");
            seen.insert(slot, pid);
            seen.len() == 2
        });
        service.stop();
    });
}

/// `exclusive` sockets are the worker's own; two of them on one port are shared by interception.
#[test]
fn an_exclusive_udp_socket_is_bound_by_the_worker() {
    with_each_node(|version| {
        let port = free_port();
        let start =
            format!("echo('udp4', {{ port: {port}, address: '127.0.0.1', exclusive: true }})");
        let service = without_port(version, &start);
        for node in &service.workers {
            assert_eq!(node.started.as_ref().unwrap()["port"], Value::from(port));
        }
        let mut clients: Vec<Asker> = (0..30).map(|_| Asker::new(v4(port))).collect();
        assert_eq!(homes(&mut clients).iter().collect::<BTreeSet<_>>().len(), 2);
        service.stop();
    });
}
