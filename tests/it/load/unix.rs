//! Reloads of programs that listen on a unix path lose nothing.

use super::lost_nothing;
use crate::harness::load::{Load, Plan, Style};
use crate::harness::reloads::reload;
use crate::harness::shared_port::{stop, wait_ready};
use crate::harness::unix_paths::UnixProgram;

/// Number of reloads; each replaces every worker.
const RELOADS: u32 = 3;

/// Clients with a new connection for each request, without pauses.
fn loses_nothing(program: &UnixProgram, workers: usize, requests: u64) {
    let runtime = program.workers(workers).start();
    wait_ready(&runtime, workers);
    let load = Load::run(Plan::unix(&program.path, 8, Style::Short).strict());
    for _ in 0..RELOADS {
        load.wait_answers(100);
        reload(&runtime);
    }
    // In steps that a slow machine completes within the time limit.
    while load.answered() < requests {
        load.wait_answers(500);
    }
    lost_nothing("a connection each", &load.stop(), &runtime);
    stop(runtime);
    let left = std::fs::read_dir(program.directory()).unwrap().count();
    let directory = program.directory().display();
    assert!(left <= 1, "names are left in {directory}");
}

#[test]
fn reloads_of_node_on_a_unix_path_lose_nothing() {
    loses_nothing(&UnixProgram::node("unix-node"), 2, 2_000);
}

#[test]
fn reloads_of_socketserver_on_a_unix_path_lose_nothing() {
    loses_nothing(&UnixProgram::socketserver("unix-py"), 2, 2_000);
}

#[test]
fn reloads_of_go_on_a_unix_path_lose_nothing() {
    loses_nothing(&UnixProgram::go("unix-go"), 2, 2_000);
}

#[test]
fn reloads_of_gunicorn_on_a_unix_path_lose_nothing() {
    loses_nothing(&UnixProgram::gunicorn("unix-gunicorn"), 2, 2_000);
}

#[test]
fn reloads_of_uvicorn_on_a_unix_path_lose_nothing() {
    loses_nothing(&UnixProgram::uvicorn("unix-uvicorn"), 2, 2_000);
}

#[test]
fn reloads_of_a_single_worker_on_a_unix_path_lose_nothing() {
    loses_nothing(&UnixProgram::gunicorn("unix-alone"), 1, 1_000);
}

#[test]
#[ignore = "long: make soak"]
fn soak_reloads_on_unix_paths() {
    loses_nothing(&UnixProgram::node("unix-node-long"), 4, 40_000);
    loses_nothing(&UnixProgram::socketserver("unix-py-long"), 4, 40_000);
    loses_nothing(&UnixProgram::go("unix-go-long"), 4, 40_000);
    loses_nothing(&UnixProgram::gunicorn("unix-gunicorn-long"), 4, 40_000);
    loses_nothing(&UnixProgram::uvicorn("unix-uvicorn-long"), 4, 40_000);
}
