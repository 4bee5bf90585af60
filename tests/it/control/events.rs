//! `rpmctl events`.

use std::process::Stdio;

use serde_json::Value;

use super::follower::Follower;
use super::{Home, begun, ended, json_lines};
use crate::harness::shared_port::stop;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::harness::nodes::Service;
use crate::harness::{Builder, Signal, until, until_some};

fn names(events: &[Value]) -> Vec<&str> {
    let names = events.iter().map(|event| event["event"].as_str().unwrap());
    names.collect()
}

#[test]
fn events_tell_starts_ends_commands_and_the_steps_of_a_reload_in_their_order() {
    let home = Home::new("events");
    let runtime = home.start(2);
    assert_eq!(home.ctl(&["reload", "--wait"]).code, 0);
    until("both old workers have ended", || {
        let said = home.ctl(&["events", "--json"]);
        let all = json_lines(&said.out);
        names(&all).iter().filter(|name| **name == "exited").count() == 2
    });
    let all = json_lines(&home.ctl(&["events", "--json"]).out);
    let mut rest = names(&all).into_iter();
    for next in [
        "started",
        "ready",
        "command",
        "reload-began",
        "started",
        "ready",
        "replaced",
        "reload-step",
        "started",
        "ready",
        "replaced",
        "reload-ended",
    ] {
        assert!(rest.any(|name| name == next), "{next}: {all:?}");
    }
    let of = |name: &str| {
        let mut these = all.iter().filter(|event| event["event"] == name);
        these.next().unwrap().clone()
    };
    assert_eq!(of("command")["command"], "reload");
    assert_eq!(of("command")["uid"], 0);
    assert_eq!(of("reload-began")["trigger"], "asked-for");
    assert_eq!(of("reload-ended")["result"], "success");
    assert_eq!(of("reload-step")["replaced"], 1);
    assert_eq!(of("reload-step")["workers"], 2);
    let exited = of("exited");
    assert_eq!(
        (&exited["cause"], &exited["exit"]),
        (&"reload".into(), &"SIGTERM".into())
    );
    let times: Vec<f64> = all
        .iter()
        .map(|event| event["time"].as_f64().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    // For people, and only the last ones.
    let said = home.ctl(&["events", "--lines", "3"]);
    assert_eq!(said.out.lines().count(), 3, "{said:?}");
    let said = home.ctl(&["events"]);
    let line = "reload ended: success, workers replaced: 2";
    assert!(said.out.contains(line), "{said:?}");
    let series = "rpm_control_commands_total{command=\"events\",result=\"ok\"}";
    assert!(runtime.metric(series) >= Some(4.0));
    stop(runtime);
}

#[test]
fn events_are_followed_until_the_runtime_ends() {
    let home = Home::new("follow");
    let runtime = home.start(1);
    let mut follower = Follower::start(&home, &["events", "-f", "--json", "--lines", "1"]);
    // The last one before.
    let ready = follower.next();
    assert!(ready.contains("\"event\":\"ready\""), "{ready}");
    let pid = serde_json::from_str::<Value>(&ready).unwrap()["pid"]
        .as_i64()
        .unwrap();
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
    let exited: Value = serde_json::from_str(&follower.next()).unwrap();
    assert_eq!(
        (
            &exited["event"],
            &exited["exit"],
            &exited["cause"],
            &exited["next"]
        ),
        (
            &"exited".into(),
            &"SIGKILL".into(),
            &"signal".into(),
            &"restart".into()
        )
    );
    follower.until("\"event\":\"ready\"");
    stop(runtime);
    let rest = follower.rest();
    let last = json_lines(&rest);
    assert!(names(&last).contains(&"stopping"), "{rest}");
    assert_eq!(last.last().unwrap()["cause"], "stop", "{rest}");
    assert_eq!(follower.code(), 0);
}

#[test]
fn messages_of_node_workers_to_their_primary_are_events() {
    let home = Home::new("bus");
    let of = |builder: Builder| {
        builder
            .env("RPM_CONTROL", "on")
            .env("RPM_HOME", home.path())
    };
    let mut service = Service::with(22, 2, "serve(PORT)", of).ready();
    let code = "Promise.all([send({ type: 'tick', data: 7 }), send({ topic: 'x', data: 'é'.repeat(5000) })])";
    service.workers[1].run(code);
    let messages = until_some("both are told", || {
        let all = json_lines(&home.ctl(&["events", "--json"]).out);
        let messages = all.into_iter().filter(|event| event["event"] == "message");
        let messages: Vec<Value> = messages.collect();
        (messages.len() == 2).then_some(messages)
    });
    let pid = service.workers[1].pid;
    assert!(
        messages.iter().all(|event| event["pid"] == pid),
        "{messages:?}"
    );
    assert_eq!(messages[0]["text"], r#"{"type":"tick","data":7}"#);
    let long = messages[1]["text"].as_str().unwrap();
    assert_eq!(long.chars().count(), 201, "{long}");
    assert!(long.starts_with(r#"{"topic":"x","data":"éé"#) && long.ends_with('…'));
    service.stop();
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let home = Home::new("head");
    let runtime = home.start(2);
    let mut command = home.command(&["events"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer).stderr(Stdio::piped());
    let said = ended(command.spawn().unwrap());
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    stop(runtime);
    let gone = ended(begun(home.command(&["events", "-f"])));
    assert_eq!(gone.code, 69, "{gone:?}");
}
