//! TLS sessions across workers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::nodes::{Service, with_each_node};
use crate::harness::{certificate, until};

/// A client's session, kept from one connection to the next.
struct Visitor {
    version: &'static str,
    session: Value,
}

impl Visitor {
    /// One connection, made by worker 0: the slot that served it.
    #[track_caller]
    fn visit(&mut self, service: &mut Service) -> String {
        let Self { version, session } = self;
        let port = service.nodes.port;
        let said = service.workers[0].run(&format!("visit({port}, '{version}', {session})"));
        assert_eq!(
            said["reused"],
            json!(!session.is_null()),
            "{version}: {said}"
        );
        if !said["session"].is_null() {
            *session = said["session"].clone();
        }
        assert!(!session.is_null(), "{version}: {said}");
        said["slot"].as_str().unwrap().to_owned()
    }

    /// Connections until both workers have served one.
    #[track_caller]
    fn visit_both(&mut self, service: &mut Service) {
        let mut seen = BTreeSet::new();
        until("both workers are visited", || {
            seen.insert(self.visit(service));
            seen.len() == 2
        });
    }
}

#[test]
fn sessions_are_taken_by_every_worker_and_outlive_a_crash_and_a_reload() {
    with_each_node(|node| {
        let certificate = certificate(&format!("tls-{node}"));
        let mut service = Service::with(node, 2, "secure(PORT)", |builder| {
            builder.env("CERTIFICATE", certificate)
        })
        .ready();
        let mut visitors = ["TLSv1.2", "TLSv1.3"].map(|version| Visitor {
            version,
            session: Value::Null,
        });
        for visitor in &mut visitors {
            visitor.visit_both(&mut service);
        }
        service.replace(1);
        for visitor in &mut visitors {
            visitor.visit_both(&mut service);
        }
        service.reload();
        for visitor in &mut visitors {
            visitor.visit_both(&mut service);
        }
        service.stop();
    });
}
