//! Node programs with real packages and with the channel: each serves, is reloaded under load, and stops.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::reload::{Length, SHORT, reloads_lose_nothing};
use super::{WORKERS, lost_nothing, not_cut};
use crate::harness::load::{Load, Pace, Plan, Style};
use crate::harness::nodes::{Service, node, packages, payload};
use crate::harness::programs::Program;
use crate::harness::reloads::reload;
use crate::harness::shared_port::{send, stop, v4, wait_ready, wait_rotation};
use crate::harness::{Builder, Runtime, Signal, http_get, until};

const BRIEF: Length = Length {
    reloads: 2,
    requests: 2_000,
};

fn started(program: &Program, settings: impl FnOnce(Builder) -> Builder) -> Runtime {
    let service = program.workers(WORKERS).env("NODE_PATH", packages());
    let runtime = settings(service).start();
    wait_ready(&runtime, WORKERS);
    // With the channel, and not by interception alone.
    runtime.wait_for_line(|line| line.contains("get the channel") && line.contains("cluster=true"));
    runtime
}

/// Nothing but its package is special.
fn serves(package: &str) {
    let program = Program::package(package);
    let runtime = started(&program, |builder| builder);
    reloads_lose_nothing(&program, &runtime, &BRIEF);
    stop(runtime);
}

#[test]
fn express_is_served_and_reloaded() {
    serves("express");
}

#[test]
fn fastify_is_served_and_reloaded() {
    serves("fastify");
}

#[test]
fn koa_is_served_and_reloaded() {
    serves("koa");
}

/// Whose lines are those of all answers, each once.
fn logs(package: &str) {
    let program = Program::package(package);
    let runtime = started(&program, |builder| builder);
    // Slow clients, because the harness keeps all lines.
    let think = Pace::Think(Duration::from_millis(10));
    let load = Load::run(program.plan(8, Style::Short).strict().pace(think));
    for _ in 0..BRIEF.reloads {
        load.wait_answers(100);
        reload(&runtime);
    }
    load.wait_answers(100);
    let report = load.stop();
    lost_nothing(package, &report, &runtime);
    let answered = report.answered;
    let told = |line: &String| line.starts_with('{') && line.contains("answered");
    let lines = || runtime.texts().iter().filter(|line| told(line)).count() as u64;
    until("each answer has its line", || lines() >= answered);
    assert_eq!(lines(), answered);
    stop(runtime);
}

#[test]
fn winston_is_served_and_reloaded_and_each_answer_has_its_line() {
    logs("winston");
}

#[test]
fn pino_is_served_and_reloaded_and_each_answer_has_its_line() {
    logs("pino");
}

#[test]
fn config_reads_the_file_of_the_instance() {
    let program = Program::package("config");
    let runtime = started(&program, |builder| builder);
    let check = || {
        for _ in 0..40 {
            let reply = http_get(v4(program.port), "/").unwrap().json();
            let wanted = if reply["slot"] == "1" {
                "instance 1"
            } else {
                "default"
            };
            assert_eq!(reply["name"], wanted, "{reply}");
        }
    };
    check();
    reloads_lose_nothing(&program, &runtime, &BRIEF);
    check();
    stop(runtime);
}

#[test]
fn prom_clients_cluster_registry_counts_every_answer_of_all_workers() {
    let program = Program::package("prom-client");
    let runtime = started(&program, |builder| {
        builder.env("RPM_APP_METRICS", "/metrics")
    });
    let answered = reloads_lose_nothing(&program, &runtime, &BRIEF);
    until("all are counted", || {
        runtime.metric_sum("app_requests_total", &[]) >= Some(answered)
    });
    assert_eq!(
        runtime.metric_sum("app_requests_total", &[]),
        Some(answered)
    );
    stop(runtime);
}

#[test]
fn terminus_cleans_up_when_it_is_told_to_stop() {
    let program = Program::package("terminus");
    let mut runtime = started(&program, |builder| builder);
    reloads_lose_nothing(&program, &runtime, &BRIEF);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    for word in ["cleans up", "goes"] {
        let lines = runtime
            .texts()
            .iter()
            .filter(|line| line.ends_with(word))
            .count();
        assert_eq!(lines, WORKERS * 3, "{word}: {}", runtime.shown());
    }
}

/// Clients of socket.io hear what any other says, whichever worker each is connected to.
#[track_caller]
fn all_hear_all(program: &Program) {
    let clients = 12;
    let output = Command::new(node(22))
        .arg(payload("socket_io_client.js"))
        .env("NODE_PATH", packages())
        .env("PORT", program.port.to_string())
        .env("CLIENTS", clients.to_string())
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    println!("{said}");
    let workers = said["workers"].as_array().unwrap().len();
    assert!(workers > 1, "{said}");
    assert_eq!(said["known"], clients, "{said}");
    assert_eq!(said["right"], clients, "{said}");
}

#[test]
fn socket_io_reaches_the_clients_of_all_workers() {
    let program = Program::package("socket.io");
    let runtime = started(&program, |builder| builder);
    all_hear_all(&program);
    reloads_lose_nothing(&program, &runtime, &BRIEF);
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    all_hear_all(&program);
    stop(runtime);
}

/// Listens at once, and says `ready` a while later. Until then it answers nothing but 500.
const LATE: &str = "globalThis.early = true, serve(PORT).then(() => \
                    void setTimeout(() => { early = false; process.send('ready'); }, 300))";

fn late(version: u32, workers: usize) -> Service {
    let by_message = |builder: Builder| builder.env("RPM_READY", "message");
    Service::with(version, workers, LATE, by_message).ready()
}

#[test]
fn no_request_of_a_reload_meets_a_worker_that_has_not_said_ready() {
    let service = late(22, 2);
    let load = Load::run(Plan::new(service.v4(), 8, Style::Short).strict());
    for _ in 0..SHORT.reloads {
        load.wait_answers(100);
        reload(&service.runtime);
    }
    load.wait_answers(500);
    lost_nothing("readiness by message", &load.stop(), &service.runtime);
    service.stop();
}

/// What the killed worker had in work is lost; nothing else. The requests that waited for it are answered by a ready worker.
#[test]
fn no_request_after_a_crash_meets_a_worker_that_has_not_said_ready() {
    for workers in [1, 2, 3] {
        let service = late(22, workers);
        let load = Load::run(Plan::new(service.v4(), 8, Style::Short).strict());
        load.wait_answers(200);
        send(service.workers[0].pid, Signal::SIGKILL);
        wait_ready(&service.runtime, workers + 1);
        load.wait_answers(500);
        let report = load.stop();
        println!("{report}");
        assert_eq!(not_cut(&report), 0, "{report}\n{}", service.runtime.shown());
        service.stop();
    }
}
