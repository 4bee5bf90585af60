//! Messages of an operator on the Node channel.

use serde_json::json;

use super::Home;
use super::halt::{done, leaving};
use crate::harness::nodes::{Service, with_each_node};
use crate::harness::shared_port::{freeze, send, stop};
use crate::harness::{Builder, Runtime, Signal, free_port, until};

/// Keeps what comes.
const LISTEN: &str =
    "globalThis.sent = []; process.on('message', (message) => sent.push(message)); 1";

/// What has come, as soon as it is so much.
fn heard(count: usize) -> String {
    format!(
        "new Promise((resolve) => {{ const look = () => sent.length >= {count} ? resolve(sent) : setTimeout(look, 5); look(); }})"
    )
}

fn controlled(home: &Home) -> impl Fn(Builder) -> Builder {
    let path = home.path().to_owned();
    move |builder| builder.env("RPM_CONTROL", "on").env("RPM_HOME", &path)
}

#[test]
fn a_message_reaches_the_program_and_all_tells_how_many_got_it() {
    with_each_node(|version| {
        let home = Home::new(&format!("send{version}"));
        let mut service = Service::with(version, 2, "serve(PORT)", controlled(&home)).ready();
        let _ = service.each(LISTEN);
        let one = r#"{"topic":"cache:clear","data":[1,null,"é"]}"#;
        let said = home.ctl(&["send", "1", one]);
        assert_eq!(
            (said.code, said.out.as_str()),
            (0, "sent to 1 worker\n"),
            "{said:?}"
        );
        assert_eq!(home.json(&["send", "all", "\"refresh\""])["workers"], 2);
        let one: serde_json::Value = serde_json::from_str(one).unwrap();
        assert_eq!(service.workers[0].run(&heard(1)), json!(["refresh"]));
        assert_eq!(service.workers[1].run(&heard(2)), json!([one, "refresh"]));
        for (words, why) in [
            (["send", "2", "1"], "there is no slot 2; slots are 0 to 1"),
            (
                [
                    "send",
                    "all",
                    r#"{"cmd":"NODE_CLUSTER","act":"disconnect"}"#,
                ],
                "is one of Node itself",
            ),
        ] {
            let refused = home.ctl(&words);
            assert_eq!(refused.code, 1, "{refused:?}");
            assert!(refused.err.contains(why), "{refused:?}");
        }
        let wrong = home.ctl(&["send", "all", "refresh"]);
        assert_eq!(wrong.code, 64, "{wrong:?}");
        assert!(wrong.err.contains("needs its quotes"), "{wrong:?}");
        let told = service
            .runtime
            .wait_for_line(|line| line.contains("command=\"send 1\""));
        assert!(!told.contains("cache"), "{told}");
        service.stop();
    });
}

#[test]
fn a_worker_that_does_not_read_is_not_waited_for() {
    let home = Home::new("send-full");
    let mut service = Service::with(22, 2, "serve(PORT)", controlled(&home)).ready();
    let _ = service.each(LISTEN);
    freeze(service.workers[0].pid);
    let long = format!("\"{}\"", "x".repeat(15_000));
    let mut sent = 0;
    let mut refused = None;
    until("nothing more is taken", || {
        let said = home.ctl(&["send", "0", &long]);
        if said.code == 0 {
            sent += 1;
        } else {
            refused = Some(said);
        }
        refused.is_some()
    });
    let refused = refused.unwrap();
    assert!(
        refused
            .err
            .contains("the worker of slot 0 does not read its Node channel"),
        "{refused:?}"
    );
    // The others get it.
    assert_eq!(home.json(&["send", "all", &long])["workers"], 1);
    let code = format!("{}.then((all) => all[0].length)", heard(1));
    assert_eq!(service.workers[1].run(&code), json!(15_000));
    send(service.workers[0].pid, Signal::SIGCONT);
    let code = format!("{}.then((all) => all.length)", heard(sent));
    assert_eq!(service.workers[0].run(&code), json!(sent));
    service.stop();
}

#[test]
fn a_message_for_all_reaches_also_a_worker_that_leaves() {
    let home = Home::new("send-leaves");
    let controlled = |builder| controlled(&home)(builder).env("RPM_STOP_TIMEOUT", "1h");
    let mut service = Service::with(22, 2, "serve(PORT)", controlled).ready();
    let _ = service.each(LISTEN);
    let _ = service.workers[0].run("process.on('SIGTERM', () => {}); 1");
    done(&home, &["stop", "0"], "slot 0 stops\n");
    let old = leaving(&home);
    assert_eq!(old, service.workers[0].pid);
    assert_eq!(home.json(&["send", "all", "\"refresh\""])["workers"], 2);
    assert_eq!(service.workers[0].run(&heard(1)), json!(["refresh"]));
    let refused = home.ctl(&["send", "0", "1"]);
    assert!(
        refused.err.contains("slot 0 has no worker now"),
        "{refused:?}"
    );
    send(old, Signal::SIGKILL);
    done(
        &home,
        &["stop", "0", "--wait"],
        "slot 0 is stopped already\n",
    );
    service.stop();
}

#[test]
fn a_worker_without_a_channel_is_refused_with_the_reason() {
    let home = Home::new("send-python");
    let runtime = controlled(&home)(Runtime::builder())
        .program([
            "/usr/bin/python3",
            "-m",
            "http.server",
            &free_port().to_string(),
        ])
        .start();
    runtime.wait_for_status("/startupz", 200);
    let refused = home.ctl(&["send", "0", "{}"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains(
            "the workers have no Node channel: their command does not start Node with a file (RPM_NODE)"
        ),
        "{refused:?}"
    );
    stop(runtime);
}
