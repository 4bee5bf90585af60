//! Who gets the channel, and what a program sees of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::answered_by;
use crate::harness::nodes::{Nodes, Service, node, payload, with_each_node};
use crate::harness::shared_port::{stop, v4, wait_ready};
use crate::harness::{Runtime, children, process, scratch, until};

const WHO: &str =
    "[cluster.isWorker, cluster.isPrimary, cluster.worker?.id ?? null, process.connected ?? false]";

#[test]
fn workers_are_cluster_workers_and_an_id_is_never_used_again() {
    with_each_node(|version| {
        let mut service = Service::start(version, 2, "serve(PORT)").ready();
        let mut ids = Vec::new();
        let mut check = |service: &mut Service| {
            for (node, who) in service.each(WHO).iter().enumerate() {
                let id = service.workers[node].worker.unwrap();
                assert_eq!(*who, json!([true, false, id, true]));
                ids.push(id);
            }
        };
        check(&mut service);
        service.reload();
        check(&mut service);
        ids.push(service.replace(1).worker.unwrap());
        assert_eq!(ids[..2].iter().sum::<u64>(), 3, "{ids:?}");
        assert_eq!(ids[2..4].iter().sum::<u64>(), 7, "{ids:?}");
        assert_eq!(ids[4], 5, "{ids:?}");
        service.stop();
    });
}

#[test]
fn the_environment_is_that_of_a_program_under_pm2() {
    let code = "['NODE_APP_INSTANCE', 'pm_id', 'instances', 'exec_mode', 'PM2_HOME', 'NODE_CHANNEL_FD', 'NODE_UNIQUE_ID'] \
                .map((name) => process.env[name] ?? null)";
    let mut service = Service::with(22, 2, "serve(PORT)", |builder| {
        builder.env("PM2_HOME", "/somewhere")
    });
    let seen = service.each(code);
    let wanted = |slot: &str| json!([slot, slot, "2", "cluster_mode", null, null, null]);
    assert_eq!(seen, [wanted("0"), wanted("1")]);
    service.ready().stop();
}

#[test]
fn a_program_that_would_fork_as_the_primary_serves_as_a_worker() {
    with_each_node(|version| {
        let start = "cluster.isPrimary ? cluster.fork() && null : serve(PORT)";
        let service = Service::start(version, 2, start).ready();
        answered_by(service.v4(), &[0, 1]);
        for node in &service.workers {
            assert_eq!(children(node.pid), []);
        }
        service.stop();
    });
}

#[test]
fn a_program_that_forks_without_asking_is_told_the_way_out() {
    with_each_node(|version| {
        let program = "const cluster = require('cluster'); cluster.fork();";
        let file = scratch(&format!("forks-{version}")).join("app.js");
        fs::write(&file, program).unwrap();
        let mut runtime = Runtime::builder()
            .env("RPM_MAX_RESTARTS", "1")
            .env("NODE_CLUSTER_SCHED_POLICY", "rr")
            .program([node(version), file])
            .start();
        let told = "the program starts cluster workers without asking";
        let line = runtime.wait_for_line(|line| line.contains(told));
        assert!(line.contains("RPM_NODE=off"), "{line}");
        runtime.wait_for_line(|line| line.contains("NODE_CLUSTER_SCHED_POLICY has no effect"));
        assert_eq!(runtime.wait_exit().code(), Some(1), "{}", runtime.shown());
    });
}

/// In such a process Node never sets up its cluster, so `listen` would wait for ever.
#[test]
fn a_program_without_a_file_listens() {
    with_each_node(|version| {
        let code = format!("require({:?})", payload("worker.js"));
        for words in [["-e", &code], ["-p", &code]] {
            let nodes = Nodes::new();
            let builder = nodes.started_by(2, "serve(PORT)").arg(node(version));
            let runtime = builder.program(words).start();
            wait_ready(&runtime, 2);
            for mut worker in nodes.take(2) {
                assert_eq!(worker.run("cluster.isWorker"), false, "{words:?}");
            }
            answered_by(v4(nodes.port), &[0, 1]);
            stop(runtime);
        }
    });
}

/// npm would keep the channel to itself.
#[test]
fn npm_start_shares_its_port_by_interception() {
    let directory = scratch("npm-start");
    let package = json!({ "scripts": { "start": "node \"$WORKER\"" } });
    fs::write(directory.join("package.json"), package.to_string()).unwrap();
    let nodes = Nodes::new();
    let runtime = nodes
        .started_by(2, "serve(PORT)")
        .env("WORKER", payload("worker.js"))
        .env("HOME", &directory)
        .env("npm_config_update_notifier", "false")
        .directory(&directory)
        .program(["npm", "start"])
        .start();
    wait_ready(&runtime, 2);
    for mut worker in nodes.take(2) {
        assert_eq!(worker.run(WHO), json!([false, true, null, false]));
    }
    answered_by(v4(nodes.port), &[0, 1]);
    stop(runtime);
}

#[test]
fn without_the_channel_a_worker_is_on_its_own_and_still_shares_the_port() {
    let mut service = Service::with(22, 2, "serve(PORT)", |builder| {
        builder.env("RPM_NODE", "off")
    })
    .ready();
    let alone = json!([false, true, null, false]);
    assert_eq!(service.each(WHO), [alone.clone(), alone]);
    answered_by(service.v4(), &[0, 1]);
    service.stop();
}

#[test]
fn a_wrong_value_is_refused() {
    for name in ["RPM_NODE", "RPM_NODE_INTERCOM", "RPM_STOP_MESSAGE"] {
        let mut runtime = Runtime::builder()
            .env(name, "perhaps")
            .program(["node", "server.js"])
            .start();
        assert_eq!(runtime.wait_exit().code(), Some(64));
        let said = runtime.shown();
        assert!(said.contains(&format!("{name}=\"perhaps\"")), "{said}");
    }
}

#[test]
fn a_child_by_fork_has_a_channel_of_its_own() {
    with_each_node(|version| {
        let mut service = Service::start(version, 2, "serve(PORT)").ready();
        let child = "process.on('message', (message) => process.send([message, require('node:cluster').isWorker]))";
        let file = scratch(&format!("child-{version}")).join("child.js");
        fs::write(&file, child).unwrap();
        let code = format!(
            "new Promise((resolve) => {{ \
             const child = child_process.fork({file:?}); \
             child.on('message', (message) => {{ child.disconnect(); resolve(message); }}); \
             child.send({{ topic: 'mine', data: 1 }}); }})"
        );
        let answer = service.workers[0].run(&code);
        assert_eq!(answer, json!([{ "topic": "mine", "data": 1 }, false]));
        // What the child was sent went to nobody else, and the worker's own channel works.
        service.workers[0].run("send({ topic: 'all', data: 2 })");
        service.workers[1].run("hear('all', 1)");
        assert_eq!(service.workers[1].run("heard('mine')"), json!([]));
        service.stop();
    });
}

/// The environment names no channel, so that a child which is Node as well does not take it for its own.
#[test]
fn a_child_of_a_worker_is_told_of_no_channel() {
    with_each_node(|version| {
        let mut service = Service::start(version, 1, "serve(PORT)");
        let code = "child_process.execFileSync(process.execPath, ['-p', \
                    '[typeof process.send, Object.keys(process.env).filter((name) => /CHANNEL|UNIQUE/.test(name)).length] + \"\"'])\
                    .toString().trim()";
        assert_eq!(service.workers[0].run(code), "undefined,0");
        service.stop();
    });
}

/// Node leaves the channel open in its children, so its end does not tell the death of the worker.
#[test]
fn a_child_that_outlives_its_worker_does_not_hide_its_death() {
    let mut service = Service::start(22, 2, "serve(PORT)").ready();
    let code = "child_process.spawn('sleep', ['600'], { detached: true, stdio: 'ignore' }).pid";
    let sleeper = i32::try_from(service.workers[0].run(code).as_i64().unwrap()).unwrap();
    let old = service.workers[0].pid;
    service.replace(0);
    until("the old worker is gone", || process(old).is_none());
    answered_by(service.v4(), &[0, 1]);
    // The runtime may have ended what its worker left.
    let _ = kill(Pid::from_raw(sleeper), Signal::SIGKILL);
    service.stop();
}

#[test]
fn a_script_whose_first_line_names_node_has_the_channel() {
    let file = scratch("script").join("server");
    let text = format!(
        "#!/usr/bin/env node\nrequire({:?});\n",
        payload("worker.js")
    );
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let nodes = Nodes::new();
    let runtime = nodes.started_by(2, "serve(PORT)").arg(&file).start();
    wait_ready(&runtime, 2);
    for mut worker in nodes.take(2) {
        assert_eq!(worker.run("cluster.isWorker"), Value::Bool(true));
    }
    answered_by(v4(nodes.port), &[0, 1]);
    stop(runtime);
}
